//! How far behind its log is a follower?
//!
//! By the stamps of the lines themselves: what a line took from its stamp to us, beyond the least
//! that any line of this log took. Two clocks need not agree for that.

use std::time::Duration;

/// A reader that is further behind than this has not kept up. Envoy's flush and a busy machine stay
/// below it.
pub(super) const KEPT_UP: Duration = Duration::from_secs(2);

/// The way of the lines of one log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lag {
    least: Option<i64>,
    last: i64,
}

impl Lag {
    /// A line with this stamp was read at this instant; both in nanoseconds, by any clock each.
    pub(super) fn read(&mut self, stamp: i64, at: i64) {
        self.last = at - stamp;
        self.least = Some(self.least.map_or(self.last, |least| least.min(self.last)));
    }

    /// The reader waits for a line: whatever was late has been read.
    pub(super) fn caught_up(&mut self) {
        self.last = self.least.unwrap_or(self.last);
    }

    /// By how much the last line was late, where that is more than a reader that keeps up is.
    pub(super) fn behind(&self) -> Option<Duration> {
        let late = u64::try_from(self.last - self.least?).ok()?;
        Some(Duration::from_nanos(late)).filter(|late| *late > KEPT_UP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn lateness_counts_from_the_quickest_line_and_no_clocks_need_agree() {
        let mut lag = Lag::default();
        assert_eq!(lag.behind(), None, "nothing was read");
        // A node whose clock is an hour ahead, and an old line first.
        let hour = 3_600 * SECOND;
        for (stamp, at, behind) in [
            (hour - 90 * SECOND, SECOND, None),
            (hour + SECOND, SECOND, None),
            (hour + 2 * SECOND, 3 * SECOND, None),
            (hour + 2 * SECOND, 5 * SECOND, Some(Duration::from_secs(3))),
            (hour + 6 * SECOND, 6 * SECOND, None),
        ] {
            lag.read(stamp, at);
            assert_eq!(lag.behind(), behind, "{stamp} {at}");
        }
        lag.read(hour + 6 * SECOND, 60 * SECOND);
        assert!(lag.behind().is_some());
        lag.caught_up();
        assert_eq!(lag.behind(), None, "a reader that waits is not behind");
    }
}
