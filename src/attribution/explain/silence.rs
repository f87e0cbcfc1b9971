//! Which pods are unlikely because their sidecar, which would have logged the request, did not?
//!
//! A sidecar logs what it took, when it is over, and writes within a second (facts 4.6); a SIGKILL
//! loses that second. So a line that is missing says something only of a sidecar that went on
//! logging well after the end of the request. It speaks against the pod; it proves nothing, since a
//! log may have lost a line on its way.

use super::{Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::{LinkKind, Shape};
use crate::attribution::scene::{Pod, place};
use crate::evidence::{Interval, RunOffset};
use std::collections::HashMap;

/// Envoy's flush, and what a runtime needs.
const WRITTEN: i64 = 1_500_000_000;

/// What a candidate still weighs whose sidecar is silent.
const SILENT: f64 = 0.2;

/// Weighs down the pods that would have logged the request.
pub(super) fn weigh(scene: &Scene<'_>, case: &Case<'_>, found: &mut [Hypothesis]) {
    if case.pod.is_some() || !reached_a_sidecar(case) {
        return;
    }
    // A pod is proposed for several causes, and asked once.
    let mut asked: HashMap<usize, bool> = HashMap::new();
    for hypothesis in found {
        let needs_the_sidecar = !matches!(
            hypothesis.cause,
            Cause::NewPodNotReady | Cause::StaleConnection | Cause::NodeLost
        );
        let Some(pod) = hypothesis.pod.filter(|_| needs_the_sidecar) else {
            continue;
        };
        let ask = || silent(scene, case, &scene.pods[pod]);
        if *asked.entry(pod).or_insert_with(ask) {
            hypothesis.weight *= SILENT;
        }
    }
}

/// In this shape a sidecar beside the app had the request: it answered itself, passed the app's
/// answer on, or its connection was lost well after the request went out.
fn reached_a_sidecar(case: &Case<'_>) -> bool {
    match case.shape {
        Shape::AppReply(_) => true,
        Shape::Link(link) => {
            link.hop == Hop::ServerSidecar || link.kind == LinkKind::Cut && !link.fast
        }
        _ => false,
    }
}

/// The pod's sidecar logged requests before this one, went on writing well after it, nothing of its
/// log is missing, and no line of it can be this request's.
fn silent(scene: &Scene<'_>, case: &Case<'_>, pod: &Pod) -> bool {
    let Some(proxy) = pod.life.sidecar() else {
        return false;
    };
    let around = Interval {
        lo: case.sent(),
        hi: RunOffset(case.end.0 + WRITTEN),
    };
    let place = |stamp| place(&scene.offsets, pod.life.node.as_deref(), stamp);
    let Some((first, last)) = pod.proxy.written else {
        return false;
    };
    let logged_before = place(first).is_some_and(|at| at.hi <= case.sent());
    let logged_after = place(last).is_some_and(|at| at.lo >= around.hi);
    logged_before
        && logged_after
        && !scene.blind_to_log(&pod.life.name, &proxy.name, around)
        && !scene.may_have_logged(case.event, case.request, &pod.life.name)
}
