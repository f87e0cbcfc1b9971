//! Does what failed before explain what failed later (design 6, control)?
//!
//! [`Share::allows`] excuses failures, so the doubt is on its side: with a handful of failures in the
//! control chance is no excuse, since it would cover any increase.

use statrs::distribution::{Binomial, DiscreteCDF};

/// So many failed of so many that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Share {
    pub(super) failed: u64,
    pub(super) sent: u64,
}

/// So many failures tell how often it fails well enough that twice the share is no chance any more.
const MANY: u64 = 20;

/// What comes as seldom as this by chance has another reason.
const CHANCE: f64 = 0.001;

impl Share {
    /// Later failures are no oftener than these: no more than chance makes of the same share or, where
    /// too little is known of it, half as much again, for what was under way at the border of both.
    pub(super) fn allows(self, later: Self) -> bool {
        if self.failed == 0 || self.sent == 0 || later.sent == 0 {
            return false;
        }
        let across = |one: Self, other: Self| u128::from(one.failed) * u128::from(other.sent);
        let (later_part, part) = (across(later, self), across(self, later));
        if self.failed < MANY {
            2 * later_part <= 3 * part
        } else {
            later_part <= part || self.chance(later) >= CHANCE
        }
    }

    /// How probable it is that so many or more of all failures are the later ones, each request being
    /// as likely to fail as any other (the exact test of two rates, one-sided).
    fn chance(self, later: Self) -> f64 {
        let part = later.sent as f64 / (self.sent + later.sent) as f64;
        let Ok(later_ones) = Binomial::new(part, self.failed + later.failed) else {
            return 0.0;
        };
        match later.failed.checked_sub(1) {
            Some(fewer) => later_ones.sf(fewer),
            None => 1.0,
        }
    }

    /// The part of the later failures that would have come anyway, at this share.
    pub(super) fn part_of(self, later: Self) -> f64 {
        if self.sent == 0 || later.failed == 0 {
            return 0.0;
        }
        let expected = self.failed as f64 / self.sent as f64 * later.sent as f64;
        (expected / later.failed as f64).min(1.0)
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            failed: self.failed + other.failed,
            sent: self.sent + other.sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::Discrete;

    fn share(failed: u64, sent: u64) -> Share {
        Share { failed, sent }
    }

    #[test]
    fn chance_excuses_nothing_where_little_is_known_and_no_doubling_where_much_is() {
        for (before, later, allowed) in [
            ((0, 1_000), (1, 1_000), false),
            ((1, 0), (1, 1_000), false),
            ((1, 213), (7, 1_088), true),
            ((1, 213), (8, 1_088), false),
            ((1, 213), (20, 1_088), false),
            ((2, 213), (30, 1_088), false),
            ((18, 982), (22, 1_018), true),
            ((19, 1_000), (57, 2_000), true),
            ((19, 1_000), (58, 2_000), false),
            ((20, 1_000), (55, 2_000), true),
            ((20, 1_000), (400, 10_000), false),
            ((50, 1_000), (150, 3_000), true),
            ((50, 1_000), (190, 3_000), true),
            ((50, 1_000), (300, 3_000), false),
        ] {
            let given = share(before.0, before.1).allows(share(later.0, later.1));
            assert_eq!(given, allowed, "{before:?}, then {later:?}");
        }
    }

    #[test]
    fn an_app_that_fails_at_a_constant_rate_is_excused_all_but_once_in_a_thousand_runs() {
        // `scenarios/app-fails-by-itself.yaml`: ten seconds of 100/s, of which one in twenty fails,
        // then the restart of three pods and what settles, some ten to forty seconds.
        let before = Binomial::new(0.05, 1_000).expect("a share");
        for sent in [1_000, 2_000, 4_000] {
            let later = Binomial::new(0.05, sent).expect("a share");
            let mut blamed = 0.0;
            for failed in 1..=120 {
                let control = share(failed, 1_000);
                let mut excess = 1;
                while control.allows(share(excess, sent)) {
                    excess += 1;
                }
                blamed += before.pmf(failed) * later.sf(excess - 1);
            }
            assert!(blamed < 0.001_1, "{blamed} of {sent}");
        }
    }

    #[test]
    fn of_four_times_as_many_a_quarter_would_have_come_anyway() {
        let part = share(1, 200).part_of(share(20, 1_000));
        assert!((part - 0.25).abs() < 1e-9, "{part}");
        assert!(share(0, 200).part_of(share(20, 1_000)).abs() < 1e-9);
        assert!((share(9, 10).part_of(share(1, 10)) - 1.0).abs() < 1e-9);
    }
}
