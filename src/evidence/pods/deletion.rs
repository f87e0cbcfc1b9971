//! How long does a deletion leave to a pod, and what becomes of it where a later one shortens it?

use crate::evidence::stamp::RunOffset;

/// A deletion as the first pair of stamps tells it (facts 1.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Deletion {
    /// The request, epoch nanoseconds by the apiserver's clock, floored to a second.
    pub requested: i64,
    /// The grace period in nanoseconds.
    pub grace: i64,
    /// When the watch showed it first.
    pub seen: RunOffset,
    /// The event that showed it.
    pub event: u64,
    /// The last of the later requests, which can only shorten the grace period.
    pub shortened: Option<Shortening>,
}

/// A later request to delete a pod that was being deleted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shortening {
    /// The new grace period in nanoseconds, which the API still counts from the first request.
    pub grace: i64,
    /// When the watch showed it.
    pub seen: RunOffset,
}

impl Deletion {
    /// How long after the deletion the grace period is over at the earliest, nanoseconds. By the API a
    /// shortened one ends where it would have, had it been so short from the beginning, but not before
    /// it was shortened; a kubelet begins anew then (facts 1.2, 1.3).
    pub fn shortest_grace(&self) -> i64 {
        self.shortened.map_or(self.grace, |cut| {
            cut.grace.max(cut.seen.0 - self.seen.0).min(self.grace)
        })
    }

    /// How long after the deletion a preStop hook that sleeps for `hook` is over: at the earliest and at
    /// the latest. The grace period bounds it; where that is shortened meanwhile, the hook is dropped,
    /// or begins anew (facts 1.3).
    pub fn slept(&self, hook: i64) -> (i64, i64) {
        let whole = hook.min(self.grace);
        let Some(cut) = self.shortened else {
            return (whole, whole);
        };
        let shortened = (cut.seen.0 - self.seen.0).max(0);
        if whole <= shortened {
            return (whole, whole);
        }
        (shortened, whole.max(shortened + hook.min(cut.grace)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// A deletion with a grace period of 60 s, shortened at a second to so many.
    fn deletion(shortened: Option<(i64, i64)>) -> Deletion {
        Deletion {
            requested: 0,
            grace: 60 * SECOND,
            seen: RunOffset(10 * SECOND),
            event: 0,
            shortened: shortened.map(|(at, grace)| Shortening {
                grace: grace * SECOND,
                seen: RunOffset((10 + at) * SECOND),
            }),
        }
    }

    #[test]
    fn a_shortened_grace_period_is_not_over_before_it_was_shortened() {
        for (shortened, seconds) in [
            (None, 60),
            (Some((1, 8)), 8),
            (Some((20, 8)), 20),
            (Some((70, 8)), 60),
        ] {
            let shortest = deletion(shortened).shortest_grace();
            assert_eq!(shortest, seconds * SECOND, "{shortened:?}");
        }
    }

    #[test]
    fn a_hook_is_dropped_or_begins_anew_where_the_grace_period_is_shortened() {
        for (hook, shortened, soonest, latest) in [
            (0, Some((1, 8)), 0, 0),
            (15, None, 15, 15),
            (90, None, 60, 60),
            (15, Some((20, 8)), 15, 15),
            (15, Some((4, 8)), 4, 15),
            (15, Some((12, 8)), 12, 20),
        ] {
            let over = deletion(shortened).slept(hook * SECOND);
            let expected = (soonest * SECOND, latest * SECOND);
            assert_eq!(over, expected, "{hook} {shortened:?}");
        }
    }
}
