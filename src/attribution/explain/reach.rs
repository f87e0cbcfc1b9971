//! Which pods are unlikely because the Service's own rules keep them from the client?
//!
//! An affinity, hints and a traffic policy say whom a new connection is sent to. They are read off the
//! API's objects, and what carries them out is not seen: they weigh a pod down and prove nothing.

use super::{Case, Hypothesis, Scene};
use crate::evidence::ConnectionKind;

/// Weighs down the pods that the client is not sent to; what is left of them stays open.
pub(super) fn weigh(scene: &Scene<'_>, case: &Case<'_>, found: &mut [Hypothesis]) {
    let kept = case.request.connection.kind == ConnectionKind::Reused;
    if case.pointed() || kept {
        return;
    }
    for hypothesis in found {
        let Some(pod) = hypothesis.pod else {
            continue;
        };
        let weight = scene
            .reach
            .weight(case.client, &scene.pods, pod, case.sent());
        if weight < 1.0 {
            hypothesis.weight *= weight;
            (hypothesis.open, hypothesis.tight) = (true, false);
        }
    }
}
