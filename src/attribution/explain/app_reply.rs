//! `shutdown-refusal` and `application-error`: the app itself answered so (C9).
//!
//! An app that is shutting down may refuse by an answer of its own; the same answer of a pod that
//! nobody deletes, or as often as in the baseline, is the app's own error.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::Shape;
use crate::attribution::scene::Pod;

pub(super) fn explain(scene: &Scene<'_>, case: &Case<'_>, found: &mut Vec<Hypothesis>) {
    let Shape::AppReply(code) = case.shape else {
        return;
    };
    let before = scene.baseline.before_disruption(case.request);
    let alike = before || scene.baseline.explains(case.request);
    // An answer that came as often before the disruption may be a refusal all the same where a pod
    // is being deleted; it is the less likely (design 6, control).
    let share = match (before, alike) {
        (true, _) => 0.0,
        (_, true) => 0.25,
        _ => 1.0,
    };
    let mut refused = 0.0_f64;
    for (index, pod) in super::candidates(scene, case) {
        let weight = share * refusal(scene, pod, case, code);
        if weight > 0.0 {
            refused = refused.max(weight);
            let proposal = Hypothesis::new(
                Cause::ShutdownRefusal,
                Some(index),
                Hop::App,
                weight,
                Because::Refusal,
            );
            let tight = case.pod.is_some()
                && pod.deleted.is_some_and(|deleted| deleted.hi <= case.end)
                && pod.life.deletion.is_some();
            found.push(proposal.tight(tight));
        }
    }
    let steady = case
        .pod
        .as_ref()
        .is_some_and(|known| scene.pods[known.pod].deleted.is_none());
    let (weight, because) = match (alike, refused > 0.0) {
        (true, _) => (4.0, Because::AsBaseline),
        (false, true) => {
            let weight = refused * own_odds(scene, case);
            (weight.max(0.2), Because::OwnError)
        }
        (false, false) => (1.0, Because::OwnError),
    };
    let cause = Cause::ApplicationError;
    let proposal = Hypothesis::new(cause, known(case), Hop::App, weight, because);
    found.push(proposal.tight((alike || steady) && refused <= 0.0));
}

fn known(case: &Case<'_>) -> Option<usize> {
    case.pod.as_ref().map(|known| known.pod)
}

/// How likely it is the app's own error for each time that it is a refusal, no oftener than the
/// baseline's share of such answers makes it.
fn own_odds(scene: &Scene<'_>, case: &Case<'_>) -> f64 {
    let part = scene.baseline.part(case.request);
    (part / (1.0 - part)).clamp(0.1, 1.0)
}

/// The pod was being deleted, and its app told to end and alive, when the answer came.
fn refusal(scene: &Scene<'_>, pod: &Pod, case: &Case<'_>, code: u16) -> f64 {
    let told = pod.told(&scene.offsets);
    if told.and_then(|told| told.intersect(case.span())).is_none() {
        return 0.0;
    }
    // An app that is shutting down says 503; other codes are more often errors of their own.
    if code == 503 { 2.0 } else { 0.6 }
}
