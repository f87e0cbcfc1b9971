//! By how much does each clock differ from the harness's, at least and at most (facts 6)?
//!
//! An offset is `clock - harness`. No stamp is ever moved by a guess: each piece of causality
//! bounds an offset on one side ([`Constraint`]), and [`ClockOffsets::solve`] intersects them. What
//! was stamped before we saw it gives "at least"; what was stamped after something that we saw
//! gives "at most". Constraints that lean on a usual watch latency are weaker: they are used only
//! where the strict ones leave room. Strict ones that contradict each other mark the clock as
//! unreliable.

mod objects;

pub use objects::object_constraints;

use super::pods::FLOOR;
use super::stamp::{Clock, Interval, RunOffset};
use super::timeline::Timeline;
use std::collections::BTreeMap;

/// A watch usually delivers a change within this time (facts 6.4: "usually <100 ms").
pub const WATCH_LATENCY: i64 = 150_000_000;

/// How far a node's second-grained stamp may lie before its instant: a second for the floor, and
/// another because a stamp that was moved between clocks and written again has been floored twice.
/// Arrivals bound that side anyway, so the second one costs little.
pub const STAMP_WIDTH: i64 = 2 * FLOOR;

/// Strict constraints may overlap by this much before a clock counts as unreliable: granularity
/// and the harness's own reading of its clock.
const TOLERANCE: i64 = 5_000_000;

/// An offset that nothing bounds lies within this.
const UNBOUNDED: i64 = 400 * 24 * 3_600 * FLOOR;

/// One piece of causality about one clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// The clock.
    pub clock: Clock,
    /// The side and the value: `clock - harness`, nanoseconds.
    pub bound: Bound,
    /// It leans on a usual latency and yields to the strict ones.
    pub soft: bool,
    /// What it comes from, for the report.
    pub method: &'static str,
}

/// One side of an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The offset is at least this.
    AtLeast(i64),
    /// The offset is at most this.
    AtMost(i64),
}

/// What is known of one clock's offset.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetBound {
    /// At least.
    pub lo: i64,
    /// At most.
    pub hi: i64,
    /// What bounded it.
    pub method: String,
    /// Strict constraints contradicted each other: stamps of this clock prove nothing.
    pub unreliable: bool,
    /// The upper and the lower side both come from strict constraints.
    pub strict: bool,
}

impl OffsetBound {
    /// The lower side, where something bounds it.
    pub fn at_least(&self) -> Option<i64> {
        (self.lo > -UNBOUNDED).then_some(self.lo)
    }

    /// The upper side, where something bounds it.
    pub fn at_most(&self) -> Option<i64> {
        (self.hi < UNBOUNDED).then_some(self.hi)
    }
}

/// The offsets of all clocks of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClockOffsets {
    bounds: BTreeMap<Clock, OffsetBound>,
    started_at: i64,
}

impl Constraint {
    /// A stamp (with its floor) that the harness knew of at `seen`: the clock is not behind by more.
    pub fn stamped_before(clock: Clock, stamp: i64, seen: i64, method: &'static str) -> Self {
        Self {
            clock,
            bound: Bound::AtLeast(stamp - seen),
            soft: false,
            method,
        }
    }

    /// A stamp (with its floor) that was made after the harness's instant `known`.
    pub fn stamped_after(
        clock: Clock,
        stamp: i64,
        floor: i64,
        known: i64,
        soft: bool,
        method: &'static str,
    ) -> Self {
        Self {
            clock,
            bound: Bound::AtMost(stamp + floor - known),
            soft,
            method,
        }
    }
}

impl ClockOffsets {
    /// Intersects the constraints.
    pub fn solve(timeline: &Timeline, constraints: &[Constraint]) -> Self {
        let mut by_clock: BTreeMap<&Clock, Vec<&Constraint>> = BTreeMap::new();
        for constraint in constraints {
            by_clock
                .entry(&constraint.clock)
                .or_default()
                .push(constraint);
        }
        Self {
            bounds: by_clock
                .into_iter()
                .map(|(clock, constraints)| (clock.clone(), intersect(&constraints)))
                .collect(),
            started_at: timeline.run.started_at,
        }
    }

    /// What is known of a clock.
    pub fn bound(&self, clock: &Clock) -> OffsetBound {
        if *clock == Clock::Harness {
            return OffsetBound {
                lo: 0,
                hi: 0,
                method: "the harness's own clock".to_owned(),
                unreliable: false,
                strict: true,
            };
        }
        self.bounds.get(clock).cloned().unwrap_or(OffsetBound {
            lo: -UNBOUNDED,
            hi: UNBOUNDED,
            method: "nothing bounds it".to_owned(),
            unreliable: true,
            strict: false,
        })
    }

    /// All clocks that anything was known of.
    pub fn iter(&self) -> impl Iterator<Item = (&Clock, &OffsetBound)> {
        self.bounds.iter()
    }

    /// A stamp (epoch nanoseconds, floored by `floor`) as an interval on the harness's clock.
    /// `None` where the clock is unreliable.
    pub fn place(&self, clock: &Clock, stamp: i64, floor: i64) -> Option<Interval> {
        let bound = self.bound(clock);
        (!bound.unreliable).then(|| {
            let at = stamp - self.started_at;
            Interval {
                lo: RunOffset(at - bound.hi),
                hi: RunOffset(at + floor - bound.lo),
            }
        })
    }
}

fn intersect(constraints: &[&Constraint]) -> OffsetBound {
    let side = |soft: bool| {
        let (mut lo, mut hi) = ((-UNBOUNDED, ""), (UNBOUNDED, ""));
        for constraint in constraints
            .iter()
            .filter(|constraint| constraint.soft == soft)
        {
            match constraint.bound {
                Bound::AtLeast(value) if value > lo.0 => lo = (value, constraint.method),
                Bound::AtMost(value) if value < hi.0 => hi = (value, constraint.method),
                _ => {}
            }
        }
        (lo, hi)
    };
    let (mut lo, mut hi) = side(false);
    let unreliable = lo.0 > hi.0 + TOLERANCE || (lo.0 == -UNBOUNDED && hi.0 == UNBOUNDED);
    let mut strict = lo.0 > -UNBOUNDED && hi.0 < UNBOUNDED;
    let (soft_lo, soft_hi) = side(true);
    if soft_hi.0 < hi.0 && soft_hi.0 >= lo.0 {
        hi = soft_hi;
        strict = false;
    }
    if soft_lo.0 > lo.0 && soft_lo.0 <= hi.0 {
        lo = soft_lo;
        strict = false;
    }
    let mut methods: Vec<&str> = vec![lo.1, hi.1];
    methods.retain(|method| !method.is_empty());
    methods.dedup();
    OffsetBound {
        lo: lo.0.min(hi.0),
        hi: hi.0.max(lo.0),
        method: methods.join("; "),
        unreliable,
        strict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constraint(bound: Bound, soft: bool) -> Constraint {
        Constraint {
            clock: Clock::Apiserver,
            bound,
            soft,
            method: "test",
        }
    }

    fn solved(constraints: &[Constraint]) -> OffsetBound {
        intersect(&constraints.iter().collect::<Vec<_>>())
    }

    #[test]
    fn one_side_bounds_what_it_can_and_the_other_stays_open() {
        let bound = solved(&[constraint(Bound::AtLeast(-3), false)]);
        assert_eq!(
            (bound.lo, bound.hi, bound.unreliable),
            (-3, UNBOUNDED, false)
        );
        assert_eq!((bound.at_least(), bound.at_most()), (Some(-3), None));
    }

    #[test]
    fn a_soft_constraint_narrows_but_never_contradicts_a_strict_one() {
        let strict = [
            constraint(Bound::AtLeast(10), false),
            constraint(Bound::AtMost(90), false),
        ];
        let mut with = strict.to_vec();
        with.push(constraint(Bound::AtMost(40), true));
        assert_eq!(solved(&with).hi, 40);
        with.push(constraint(Bound::AtMost(5), true));
        assert_eq!(
            solved(&with).hi,
            90,
            "5 is impossible, so soft ones are not to be trusted"
        );
        assert!(solved(&strict).strict);
    }

    #[test]
    fn strict_constraints_that_contradict_each_other_make_a_clock_unreliable() {
        let bound = solved(&[
            constraint(Bound::AtLeast(FLOOR), false),
            constraint(Bound::AtMost(0), false),
        ]);
        assert!(bound.unreliable);
    }
}
