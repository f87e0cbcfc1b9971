//! What speaks against the explanations that did not win?

use super::{on_its_node, seconds};
use crate::attribution::case::{Case, Shape};
use crate::attribution::explain::Hypothesis;
use crate::attribution::scene::{Pod, Reaction, Scene};
use crate::attribution::{Cause, Evidence, RunnerUp, Stance};

/// What speaks against a competitor that has some support.
pub(in crate::attribution) fn against(
    scene: &Scene<'_>,
    case: &Case<'_>,
    loser: &Hypothesis,
    winner: &Hypothesis,
) -> String {
    match (winner.cause, loser.cause) {
        (Cause::TermSignalUnhandled, Cause::GraceExceeded) => {
            "the app's log has no line that tells of a signal or a shutdown".to_owned()
        }
        (Cause::GraceExceeded, Cause::TermSignalUnhandled) if closed(scene, winner) => {
            "the app had closed its port long before its end".to_owned()
        }
        (Cause::GraceExceeded, Cause::TermSignalUnhandled) => {
            "the app's log tells of its shutdown".to_owned()
        }
        (Cause::StaleConnection, Cause::InFlightCut) => format!(
            "it failed {} after the sending: the connection was dead before",
            seconds(case.end.0 - case.sent().0)
        ),
        (_, Cause::StaleConnection) => match case.shape {
            Shape::Link(link) if link.reused == Some(true) => format!(
                "the connection had been idle for {} only",
                seconds(case.request.connection.idle)
            ),
            _ => "nothing shows that the connection had been used before".to_owned(),
        },
        (Cause::ApplicationError, Cause::ShutdownRefusal) => {
            "answers like it were as frequent before anything was disturbed".to_owned()
        }
        (_, Cause::NewPodNotReady) if guarded(scene, loser) => {
            "new pods are in the routes only once their readiness probe has succeeded".to_owned()
        }
        (_, Cause::NoReadyEndpoint) => match scene.endpoints.totals_at(case.sent()) {
            Some((ready, _)) => {
                let place = on_its_node(scene, case);
                format!("slices showed {ready} ready endpoints{place}")
            }
            None => "no slice was seen".to_owned(),
        },
        _ => {
            let share = 100.0 * loser.weight / (loser.weight + winner.weight);
            format!("its instants fit worse ({share:.0} % of the weight)")
        }
    }
}

/// The pod that is meant has a probe that kept it out of the routes.
fn guarded(scene: &Scene<'_>, hypothesis: &Hypothesis) -> bool {
    let pod = hypothesis.pod.map(|pod| &scene.pods[pod]);
    pod.is_some_and(Pod::guarded)
}

/// The pod that is meant closed its port, its end coming later.
fn closed(scene: &Scene<'_>, hypothesis: &Hypothesis) -> bool {
    let pod = hypothesis.pod.map(|pod| &scene.pods[pod]);
    pod.is_some_and(|pod| pod.reaction == Reaction::Closed)
}

/// The usual competitor where none has support, and what refuted it.
pub(in crate::attribution) fn refuted(
    scene: &Scene<'_>,
    case: &Case<'_>,
    winner: &Hypothesis,
) -> Option<RunnerUp> {
    let (cause, against) = match winner.cause {
        Cause::EndpointPropagation => {
            let ready = scene
                .endpoints
                .totals_at(case.sent())
                .map(|(ready, _)| ready);
            match ready {
                Some(ready) if ready > 0 => (
                    Cause::NoReadyEndpoint,
                    format!("slices showed {ready} ready endpoints"),
                ),
                _ => (
                    Cause::ContainerCrashed,
                    "no container ended without a deletion".to_owned(),
                ),
            }
        }
        Cause::InFlightCut => (
            Cause::GraceExceeded,
            "the app ended by itself, before the end of its grace period".to_owned(),
        ),
        Cause::ShutdownRefusal => (
            Cause::ApplicationError,
            "the pod was being deleted, and the baseline has no such answer".to_owned(),
        ),
        Cause::ContainerCrashed => (
            Cause::EndpointPropagation,
            "the pod was not being deleted".to_owned(),
        ),
        Cause::SidecarExitedFirst => (
            Cause::EndpointPropagation,
            "the app was alive: its end came later".to_owned(),
        ),
        Cause::NewPodNotReady => (
            Cause::EndpointPropagation,
            "the pod was not being deleted".to_owned(),
        ),
        _ => return None,
    };
    Some(RunnerUp { cause, against })
}

/// Keeps the words of a refuted competitor with the evidence.
pub(in crate::attribution) fn as_evidence(runner_up: &RunnerUp) -> Evidence {
    Evidence {
        stance: Stance::Against,
        at: None,
        text: format!("not `{}`: {}", runner_up.cause, runner_up.against),
        events: Vec::new(),
        line: None,
    }
}
