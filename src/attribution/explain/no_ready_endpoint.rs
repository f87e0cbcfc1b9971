//! `no-ready-endpoint`: no pod was chosen, because nobody was ready (C10).
//!
//! A proxy says so (`no healthy upstream`); a service proxy rejects the connection, which looks
//! like a refusal by a pod (facts 1.9, 9.10). The slices tell whether anybody was left.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::{LinkKind, Shape};
use crate::attribution::scene::Totals;
use crate::evidence::{Interval, RequestPhase, RunOffset};

/// Routes follow the slices within this time in a quiet cluster (facts 8.15).
const USUAL_DELAY: i64 = 1_100_000_000;

/// A change that comes alone is applied at once: the service proxy waits only where its last sync is
/// less than its period ago (facts 1.9).
const AT_ONCE: i64 = 100_000_000;

/// And within this time in a large or busy one (facts 9.13).
const SLOW_DELAY: i64 = 15_000_000_000;

/// On which node the client is, is not known: the one without an endpoint may be another.
const SOME_NODE: f64 = 0.5;

/// With ready endpoints on other nodes, kube-proxy drops what it has nobody for, since 1.25; before
/// that, and with others in its place, it is refused (<https://github.com/kubernetes/kubernetes/issues/112233>,
/// <https://github.com/kubernetes/kubernetes/issues/121371>).
const REFUSED_BESIDE_OTHERS: f64 = 0.5;

pub(super) fn explain(scene: &Scene<'_>, case: &Case<'_>, found: &mut Vec<Hypothesis>) {
    if case.pointed() {
        return;
    }
    let anywhere = nobody_among(scene, case, &scene.endpoints.totals);
    let near = nobody_near(scene, case);
    let (weight, tight) = match case.shape {
        Shape::NobodyChosen => (5.0 * anywhere.max(near).max(0.05), anywhere >= 1.0),
        Shape::Link(link) if link.hop != Hop::Pod || case.meshed => return,
        Shape::Link(link) if link.kind == LinkKind::Refused => {
            // A connect that nobody answers, sent after this one, shows that the routes still led to
            // a pod. It is dropped for want of one only where others are ready on other nodes.
            let dead = scene.routes.dead_after(case.sent());
            let still = if dead { 0.1 } else { 1.0 };
            let alone = if near > anywhere { near } else { 0.0 };
            let beside = 3.0 * REFUSED_BESIDE_OTHERS * alone;
            let weight = (3.0 * anywhere * still).max(beside);
            (weight, anywhere >= 1.0 && !dead)
        }
        Shape::Link(link) if link.kind == LinkKind::Vanished && anywhere < 1.0 => {
            let connecting = case.request.phase == RequestPhase::Connect;
            (if connecting { 3.0 * near } else { 0.0 }, false)
        }
        _ => return,
    };
    if weight <= 0.0 {
        return;
    }
    let proposal = Hypothesis::new(
        Cause::NoReadyEndpoint,
        None,
        Hop::Routing,
        weight,
        Because::NobodyReady,
    );
    found.push(proposal.tight(tight).open(near > anywhere));
}

/// How surely nobody could be chosen, as [`nobody_among`] has it, of all endpoints or of those that the
/// Service's rules leave the client.
pub(super) fn nobody_ready(scene: &Scene<'_>, case: &Case<'_>) -> f64 {
    nobody_among(scene, case, &scene.endpoints.totals).max(nobody_near(scene, case))
}

/// The same of the client's own node, where the Service leaves a client the pods of its node.
fn nobody_near(scene: &Scene<'_>, case: &Case<'_>) -> f64 {
    let nodes = scene.reach.on_its_node(case.client).into_iter();
    let most = nodes
        .map(|totals| nobody_among(scene, case, totals))
        .fold(0.0, f64::max);
    if scene.reach.knows_its_node(case.client) {
        most
    } else {
        most * SOME_NODE
    }
}

/// 1.0: nobody could be chosen all the time; between: only at some time of it, the less the longer
/// ago, the more where the routes had no reason to wait; 0.0: somebody could be chosen all the time,
/// or the slices were not seen.
fn nobody_among(scene: &Scene<'_>, case: &Case<'_>, totals: &Totals) -> f64 {
    let since = |ago: i64| Interval {
        lo: RunOffset(case.sent().0 - ago),
        hi: case.end,
    };
    let usual = empty_within(scene, case, totals, since(USUAL_DELAY));
    match usual {
        Some((true, _)) => 1.0,
        Some((false, true)) if at_once(scene, case, totals) => 0.9,
        Some((false, true)) => 0.6,
        _ => match empty_within(scene, case, totals, since(SLOW_DELAY)) {
            Some((_, true)) => 0.15,
            _ => 0.0,
        },
    }
}

/// Nobody can be chosen since a little while, and the change that made it so came alone: nothing of
/// this Service changed for a sync period before it. Other Services may have kept the proxy busy.
fn at_once(scene: &Scene<'_>, case: &Case<'_>, totals: &Totals) -> bool {
    let since = |ago: i64| Interval {
        lo: RunOffset(case.sent().0 - ago),
        hi: case.sent(),
    };
    let now = since(AT_ONCE);
    if !matches!(empty_within(scene, case, totals, now), Some((true, _))) {
        return false;
    }
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
fn empty_within(
    scene: &Scene<'_>,
    case: &Case<'_>,
    totals: &Totals,
    span: Interval,
) -> Option<(bool, bool)> {
    if !scene.endpoints.seen || scene.blind("endpointslices", span) {
        return None;
    }
    let begun = totals.partition_point(|(seen, _, _)| *seen <= span.lo);
    let first = totals.get(begun.saturating_sub(1))?;
    let within = totals[begun..]
        .iter()
        .take_while(|(seen, _, _)| *seen <= span.hi);
    let states = std::iter::once(first).chain(within);
    let empty = states.map(|state| is_empty(case, *state));
    Some(empty.fold((true, false), |(all, any), empty| {
        (all && empty, any || empty)
    }))
}
