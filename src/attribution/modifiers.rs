//! Which circumstances belong to a failure, beside its cause (design 7)?
//!
//! Each is added only where something shows it: what was not seen adds nothing.

use super::case::{Case, Link, Shape};
use super::explain::{Because, Hypothesis};
use super::scene::{Circumstances, Scene};
use super::{Cause, Modifier};

/// The circumstances of a failure whose cause is named.
pub(super) fn of(scene: &Scene<'_>, case: &Case<'_>, winner: &Hypothesis) -> Vec<Modifier> {
    let mut found = winner.modifiers.clone();
    if case.retried {
        found.push(Modifier::RetriesExhausted);
    }
    if winner.because == Because::HungAttempt && case.connected == Some(true) {
        // The proxy had gone on to another pod: the attempt that failed was hidden.
        found.push(Modifier::MaskedByRetry);
    }
    if waited(case) && winner.cause == Cause::InFlightCut {
        found.push(Modifier::AcceptQueue);
    }
    if let Some(pod) = winner.pod {
        found.extend(&scene.circumstances[pod].deletion);
    }
    if flapped(scene, case, winner) {
        found.push(Modifier::ReadinessFlapping);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A new connection that was cut at once had not been accepted yet.
fn waited(case: &Case<'_>) -> bool {
    matches!(
        case.shape,
        Shape::Link(Link {
            fast: true,
            reused: Some(false),
            ..
        })
    )
}

/// A pod that nobody deleted, and that did not crash, was out of the routes for a while and came
/// back; for a cause without a pod any such pod counts.
fn flapped(scene: &Scene<'_>, case: &Case<'_>, winner: &Hypothesis) -> bool {
    let within = |of: &Circumstances| {
        let mut gaps = of.flaps.iter();
        gaps.any(|gap| gap.intersect(case.span()).is_some())
    };
    match winner.pod {
        Some(pod) => within(&scene.circumstances[pod]),
        None => winner.cause == Cause::NoReadyEndpoint && scene.circumstances.iter().any(within),
    }
}
