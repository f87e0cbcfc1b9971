//! `new-pod-not-ready`: the pod was not being deleted, and its listener not open yet (C8).
//!
//! It was in the routes because it has no readiness probe, or one that a proxy answers, or because its
//! Service publishes addresses that are not ready. A pod that had answered before, or was listening
//! before, is no new pod.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::{LinkKind, Shape};
use crate::attribution::scene::{Pod, SAME, overlap};
use crate::evidence::{Interval, RunOffset, WATCH_LATENCY};

/// A pod whose first listening was not seen counts as new for this long after it became ready.
const YOUNG: i64 = 30_000_000_000;

pub(super) fn explain(
    scene: &Scene<'_>,
    case: &Case<'_>,
    index: usize,
    pod: &Pod,
    found: &mut Vec<Hypothesis>,
) {
    let Shape::Link(link) = case.shape else {
        return;
    };
    // The proxy accepts before the app listens; only a proxy that is not up yet refuses, and its own
    // probe keeps such a pod out of the routes, unless the Service minds none (facts 3.2).
    let by_proxy = link.hop == Hop::Pod && pod.sidecar.is_some();
    if by_proxy && !pod.published_early() {
        return;
    }
    let begun = if by_proxy { pod.proxied } else { pod.listened };
    if link.kind != LinkKind::Refused || pod.life.initial && begun.is_none() {
        return;
    }
    let routed = match pod.routed {
        Some(seen) => RunOffset(seen.0 - 1_000_000_000),
        None if case.pointed() || !scene.endpoints.seen => pod.life.first_seen,
        None => return,
    };
    // The client still chose a pod that was withdrawn before this one came.
    let followed = pod.routed.filter(|_| !case.pointed() && !scene.outer);
    if followed.is_some_and(|seen| scene.routes.behind(case.client, seen, case.sent())) {
        return;
    }
    let until = match begun {
        Some(begun) => RunOffset(begun.hi.0 + SAME),
        None => RunOffset(routed.0.saturating_add(YOUNG)),
    };
    let closed = Interval {
        lo: routed.min(until),
        hi: until,
    };
    if closed.intersect(case.span()).is_none() || until < routed {
        return;
    }
    if pod
        .answers
        .earliest_end
        .is_some_and(|answered| answered.0 + SAME < case.sent().0)
    {
        return;
    }
    if pod.deleted.is_some_and(|deleted| deleted.lo < case.sent()) && begun.is_none() {
        return;
    }
    let weight = match (pod.guarded(), case.pointed()) {
        (_, true) => 2.0,
        (false, false) => 1.5 * routed_to(scene, case, link.hop, pod.routed, begun),
        (true, false) => 0.05,
    };
    let weight = weight * early(pod.routed, begun, case.sent());
    let tight = begun.is_some_and(|begun| begun.lo >= case.end);
    found.push(
        Hypothesis::new(
            Cause::NewPodNotReady,
            Some(index),
            link.hop,
            weight,
            Because::NotListening,
        )
        .tight(tight)
        // Chance alone keeps a pod that is in the routes from being chosen (facts 8.8).
        .open(!pod.guarded()),
    );
}

/// How likely it is that the client's routes led to the pod: it must then have refused its share.
/// Chance alone can be otherwise, so it never rules the pod out.
fn routed_to(
    scene: &Scene<'_>,
    case: &Case<'_>,
    hop: Hop,
    routed: Option<RunOffset>,
    begun: Option<Interval>,
) -> f64 {
    match (routed, begun) {
        (Some(ready), Some(begun))
            if hop == Hop::Pod && !case.meshed && scene.reach.tells(case.client) =>
        {
            let routes = &scene.routes;
            let share = routes.arrived(case.client, ready, case.sent(), begun.lo);
            share.max(0.15)
        }
        _ => 1.0,
    }
}

/// How surely the pod did not listen yet, and was in the routes already, when the attempt was sent.
fn early(routed: Option<RunOffset>, begun: Option<Interval>, sent: RunOffset) -> f64 {
    let deaf = begun.map_or(1.0, |begun| {
        let later = Interval {
            lo: RunOffset(sent.0 - SAME / 4),
            hi: RunOffset(i64::MAX),
        };
        overlap(begun, later)
    });
    let routed = routed.is_none_or(|routed| routed.0 - sent.0 <= WATCH_LATENCY);
    if routed { deaf } else { 0.3 * deaf }
}
