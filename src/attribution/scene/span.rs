//! How do two intervals of uncertain instants relate?

use crate::evidence::{Interval, RunOffset};

use super::SAME;

/// The share of `uncertain` that lies within `window`: 1.0 when it is contained, 0.0 when they do
/// not meet. A point counts as contained or not.
pub(in crate::attribution) fn overlap(uncertain: Interval, window: Interval) -> f64 {
    let Some(common) = uncertain.intersect(window) else {
        return 0.0;
    };
    let width = uncertain.width();
    if width <= 0 {
        return 1.0;
    }
    (common.width() as f64 / width as f64).clamp(0.0, 1.0)
}

/// So far from an uncertain instant nothing is explained by it: what is uncertain is in the interval.
const FAR: i64 = 1_500_000_000;

/// How near an instant is to an uncertain one: 1.0 within it or as good as within it, then ever
/// less, 0.0 from where it is far on.
pub(in crate::attribution) fn nearness(uncertain: Interval, at: RunOffset) -> f64 {
    let outside =
        (uncertain.lo.0.saturating_sub(at.0)).max(at.0.saturating_sub(uncertain.hi.0)) - SAME;
    if outside <= 0 {
        1.0
    } else if outside > FAR {
        0.0
    } else {
        0.5 * (-(outside as f64) / 7e8).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_that_of_the_uncertain_instant() {
        let span = |lo, hi| Interval::between(RunOffset(lo), RunOffset(hi));
        assert!((overlap(span(0, 10), span(5, 100)) - 0.5).abs() < 1e-9);
        assert!((overlap(span(3, 3), span(0, 10)) - 1.0).abs() < 1e-9);
        assert!(overlap(span(11, 12), span(0, 10)) < 1e-9);
    }
}
