//! By which clock does a node stamp?

use jiff::{SignedDuration, Timestamp};

/// A node's clock, which may be ahead of or behind this machine's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NodeClock {
    skew: SignedDuration,
}

impl NodeClock {
    /// A clock that is ahead by so many seconds; behind for a negative number.
    pub(crate) fn ahead(seconds: f64) -> Self {
        Self {
            skew: SignedDuration::try_from_secs_f64(seconds).unwrap_or_default(),
        }
    }

    /// What it shows now.
    pub(crate) fn now(self) -> Timestamp {
        Timestamp::now() + self.skew
    }

    /// What it showed at an instant of this machine's clock, in epoch nanoseconds.
    pub(crate) fn at(self, nanos: i64) -> Timestamp {
        Timestamp::from_nanosecond(nanos.into()).unwrap_or_default() + self.skew
    }

    /// By how much it is ahead.
    pub(crate) fn skew(self) -> SignedDuration {
        self.skew
    }

    /// By how many nanoseconds it is ahead.
    pub(crate) fn skew_nanos(self) -> i128 {
        self.skew.as_nanos()
    }
}
