//! By which clock, and how sure, is an instant known?

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds since the start of the run on the harness's monotonic clock. Negative before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RunOffset(pub i64);

impl RunOffset {
    /// Whole milliseconds from the start of the run.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Whole microseconds from the start of the run.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros * 1_000)
    }

    /// Seconds since the start of the run, for people.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add<Duration> for RunOffset {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(rhs.as_nanos()).unwrap_or(i64::MAX)),
        )
    }
}

impl Sub<Duration> for RunOffset {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(rhs.as_nanos()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Display for RunOffset {
    /// `+12.345s`: seconds since the start of the run with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.3}s", self.as_secs_f64())
    }
}

/// An instant known to lie between `lo` and `hi`, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// Not before.
    pub lo: RunOffset,
    /// Not after.
    pub hi: RunOffset,
}

impl Interval {
    /// An instant that the harness itself saw.
    pub const fn point(at: RunOffset) -> Self {
        Self { lo: at, hi: at }
    }

    /// An instant between the two bounds, in whichever order they are given.
    pub fn between(a: RunOffset, b: RunOffset) -> Self {
        Self {
            lo: a.min(b),
            hi: a.max(b),
        }
    }

    /// Certainly over before `other` begins.
    pub fn before(self, other: Self) -> bool {
        self.hi < other.lo
    }

    /// The instants that both allow, or `None` when they contradict each other.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let (lo, hi) = (self.lo.max(other.lo), self.hi.min(other.hi));
        (lo <= hi).then_some(Self { lo, hi })
    }

    /// Moved by a number of nanoseconds.
    #[must_use]
    pub const fn shift(self, nanos: i64) -> Self {
        Self {
            lo: RunOffset(self.lo.0.saturating_add(nanos)),
            hi: RunOffset(self.hi.0.saturating_add(nanos)),
        }
    }

    /// How far apart the bounds are.
    pub const fn width(self) -> i64 {
        self.hi.0 - self.lo.0
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.width() < 1_000_000 {
            write!(f, "{}", self.lo)
        } else {
            write!(f, "{}..{}", self.lo, self.hi)
        }
    }
}

/// Whose clock made a stamp. Clocks agree only as far as their offsets are bounded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// The machine that runs `lastwatch` (or that recorded the capture).
    Harness,
    /// The API server: `creationTimestamp`, `deletionTimestamp`.
    Apiserver,
    /// The controllers: conditions of workloads, their events.
    ControllerManager,
    /// The kubelet, the runtime, agent, Envoy and apps of one node.
    Node(String),
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Harness => f.write_str("harness"),
            Self::Apiserver => f.write_str("API server"),
            Self::ControllerManager => f.write_str("controllers"),
            Self::Node(node) => write!(f, "node {node}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_that_contradict_each_other_do_not_intersect() {
        let early = Interval::between(RunOffset(0), RunOffset(5));
        let late = Interval::between(RunOffset(9), RunOffset(6));
        assert_eq!(late.lo, RunOffset(6));
        assert!(early.before(late));
        assert_eq!(early.intersect(late), None);
        assert_eq!(
            early.intersect(late.shift(-3)),
            Some(Interval {
                lo: RunOffset(3),
                hi: RunOffset(5)
            })
        );
    }
}
