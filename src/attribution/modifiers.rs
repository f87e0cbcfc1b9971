//! Which circumstances belong to a failure, beside its cause (design 7)?
//!
//! Each is added only where something shows it: what was not seen adds nothing.

use super::case::{Case, Link, Shape};
use super::explain::{Because, Hypothesis};
use super::scene::{Pod, Scene};
use super::{Cause, Modifier};
use crate::evidence::{EndpointChange, Interval, RunOffset};

/// An autoscaler's decision deletes pods within this time.
const SCALED: i64 = 10_000_000_000;

/// Readiness that came back is in the routes again within this time.
const BACK: i64 = 2_000_000_000;

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
    if let Some(pod) = winner.pod.map(|pod| &scene.pods[pod]) {
        if evicted_without_budget(scene, pod) {
            found.push(Modifier::EvictedWithoutBudget);
        }
        if autoscaled(scene, pod) {
            found.push(Modifier::Autoscaler);
        }
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

fn evicted_without_budget(scene: &Scene<'_>, pod: &Pod) -> bool {
    let evicted = pod.life.disruption.as_deref() == Some("EvictionByEvictionAPI");
    evicted
        && pod
            .deleted
            .is_some_and(|at| scene.budgets.covers(&pod.life, at.hi) == Some(false))
}

fn autoscaled(scene: &Scene<'_>, pod: &Pod) -> bool {
    let Some(deleted) = pod.deleted else {
        return false;
    };
    let near = |at: &RunOffset| deleted.hi.0 >= at.0 - SCALED / 10 && deleted.lo.0 <= at.0 + SCALED;
    scene.shrunk.iter().any(near)
}

/// A pod that nobody deleted, and that did not crash, was out of the routes for a while and came
/// back; for a cause without a pod any such pod counts.
fn flapped(scene: &Scene<'_>, case: &Case<'_>, winner: &Hypothesis) -> bool {
    if winner.pod.is_none() && winner.cause != Cause::NoReadyEndpoint {
        return false;
    }
    let pods = scene.pods.iter().enumerate();
    let mut meant = pods.filter(|(index, _)| winner.pod.is_none_or(|pod| pod == *index));
    meant.any(|(_, pod)| {
        let changes = scene.endpoints.pods.get(&pod.life.uid);
        changes.is_some_and(|changes| down(changes, pod, case.span()))
    })
}

fn down(changes: &[EndpointChange], pod: &Pod, span: Interval) -> bool {
    changes.windows(3).any(|three| {
        let [before, down, up] = three else {
            return false;
        };
        let out = before.state.ready
            && !down.state.ready
            && down.state.listed
            && !down.state.terminating
            && up.state.ready;
        let gap = Interval::between(down.seen, RunOffset(up.seen.0 + BACK));
        let crashed = pod
            .crashes
            .iter()
            .any(|crash| crash.at.intersect(gap).is_some());
        let deleted = pod.deleted.is_some_and(|deleted| deleted.lo <= down.seen);
        out && !crashed && !deleted && gap.intersect(span).is_some()
    })
}
