//! `no-ready-endpoint`: no pod was chosen, because nobody was ready (C10).
//!
//! A proxy says so (`no healthy upstream`); a service proxy rejects the connection, which looks
//! like a refusal by a pod (facts 1.9, 9.10). The slices tell whether anybody was left.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::{LinkKind, Shape};
use crate::evidence::{Interval, RunOffset};

/// Routes follow the slices within this time in a quiet cluster (facts 8.15).
const USUAL_DELAY: i64 = 1_100_000_000;

/// A change that comes alone is applied at once: the service proxy waits only where its last sync is
/// less than its period ago (facts 1.9).
const AT_ONCE: i64 = 100_000_000;

/// And within this time in a large or busy one (facts 9.13).
const SLOW_DELAY: i64 = 15_000_000_000;

pub(super) fn explain(scene: &Scene<'_>, case: &Case<'_>, found: &mut Vec<Hypothesis>) {
    let direct = match case.shape {
        Shape::NobodyChosen => true,
        Shape::Link(link)
            if link.hop == Hop::Pod && link.kind == LinkKind::Refused && !case.meshed =>
        {
            false
        }
        _ => return,
    };
    if case.pointed() {
        return;
    }
    let sent = case.sent();
    let nobody = nobody_ready(scene, case);
    if direct {
        let proposal = Hypothesis::new(
            Cause::NoReadyEndpoint,
            None,
            Hop::Routing,
            5.0 * nobody.max(0.05),
            Because::NobodyReady,
        );
        found.push(proposal.tight(nobody >= 1.0));
        return;
    }
    if nobody <= 0.0 {
        return;
    }
    // A connect that nobody answers, sent after this one, shows that the routes still led to a pod.
    let still = if scene.routes.dead_after(sent) {
        0.1
    } else {
        1.0
    };
    let proposal = Hypothesis::new(
        Cause::NoReadyEndpoint,
        None,
        Hop::Routing,
        3.0 * nobody * still,
        Because::NobodyReady,
    );
    found.push(proposal.tight(nobody >= 1.0 && still >= 1.0));
}

/// 1.0: nobody could be chosen all the time; between: only at some time of it, the less the longer
/// ago, the more where the routes had no reason to wait; 0.0: somebody could be chosen all the time,
/// or the slices were not seen.
pub(super) fn nobody_ready(scene: &Scene<'_>, case: &Case<'_>) -> f64 {
    let since = |ago: i64| Interval {
        lo: RunOffset(case.sent().0 - ago),
        hi: case.end,
    };
    let usual = empty_within(scene, case, since(USUAL_DELAY));
    match usual {
        Some((true, _)) => 1.0,
        Some((false, true)) if at_once(scene, case) => 0.9,
        Some((false, true)) => 0.6,
        _ => match empty_within(scene, case, since(SLOW_DELAY)) {
            Some((_, true)) => 0.15,
            _ => 0.0,
        },
    }
}

/// Nobody can be chosen since a little while, and the change that made it so came alone: nothing of
/// this Service changed for a sync period before it. Other Services may have kept the proxy busy.
fn at_once(scene: &Scene<'_>, case: &Case<'_>) -> bool {
    let since = |ago: i64| Interval {
        lo: RunOffset(case.sent().0 - ago),
        hi: case.sent(),
    };
    let now = since(AT_ONCE);
    if !matches!(empty_within(scene, case, now), Some((true, _))) {
        return false;
    }
    let totals = &scene.endpoints.totals;
    let empty = |index: &usize| is_empty(case, totals[*index]);
    let until = totals.partition_point(|(seen, _, _)| *seen <= now.lo);
    let Some(began) = (0..until).rev().take_while(empty).last() else {
        return false;
    };
    let quiet = |before: usize| totals[began].0.0 - totals[before].0.0 > USUAL_DELAY;
    began.checked_sub(1).is_none_or(quiet)
}

fn is_empty(case: &Case<'_>, (_, ready, fallback): (RunOffset, usize, usize)) -> bool {
    ready == 0 && (case.meshed || fallback == 0)
}

/// Whether nobody could be chosen at all times of a span, and at some time of it; `None`: not seen.
/// The service proxy falls back to endpoints that still serve while they terminate, a mesh's proxy
/// does not (facts 1.9, 3.7).
fn empty_within(scene: &Scene<'_>, case: &Case<'_>, span: Interval) -> Option<(bool, bool)> {
    let endpoints = &scene.endpoints;
    if !endpoints.seen || scene.blind("endpointslices", span) {
        return None;
    }
    let begun = endpoints
        .totals
        .partition_point(|(seen, _, _)| *seen <= span.lo);
    let first = endpoints.totals.get(begun.saturating_sub(1))?;
    let within = endpoints.totals[begun..]
        .iter()
        .take_while(|(seen, _, _)| *seen <= span.hi);
    let states = std::iter::once(first).chain(within);
    let empty = states.map(|state| is_empty(case, *state));
    Some(empty.fold((true, false), |(all, any), empty| {
        (all && empty, any || empty)
    }))
}
