//! A 504 by a proxy: whose time was it that ran out (facts 9.13)?

use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage, address};
use super::{Cause, Confidence, SidecarKind};
use crate::attribution::Attribution;
use crate::evidence::{Outcome, RequestPhase};

const PATIENCE: i64 = 3 * SECOND;

/// A meshed client's request that a timeout of its proxy ended; `line`: what the proxy logged of
/// its last attempt, and for whom.
fn timed_out(stage: &mut Stage, sent: i64, line: Option<(Line<'_>, &str)>) {
    let id = format!("t{sent}");
    let took = PATIENCE + 2 * MILLI;
    let status = Outcome::Status {
        code: 504,
        grpc: None,
    };
    let request = stage.fail(sent, took, status, RequestPhase::Body);
    request.client = "mesh".to_owned();
    request.request_id.clone_from(&id);
    request.response.body = Some("upstream request timeout".to_owned());
    request.response.server = Some("envoy".to_owned());
    if let Some((line, pod)) = line {
        let host = format!("{}:8080", address(pod));
        stage.client_line(&id, sent, took, &host, line);
    }
}

fn explained(
    kind: Option<SidecarKind>,
    ending: Ending,
    sent: i64,
    line: Option<(Line<'_>, &str)>,
) -> Attribution {
    let mut stage = Stage::with_sidecar(kind).with_old_pods();
    stage.client("mesh", true);
    stage.end("old-1", AT, ending, STAYS);
    timed_out(&mut stage, sent, line);
    stage.explain().failures.remove(0)
}

#[test]
fn a_proxy_s_timeout_is_the_fault_of_the_pod_that_it_waited_for() {
    let classic = Some(SidecarKind::Classic);
    let ends_under = Ending {
        app: (2 * SECOND, 0),
        ..Ending::at_once()
    };
    let (waits, connects) = (Line::TIMED_OUT, Line::CONNECTING);
    let per_try = Line {
        details: "upstream_per_try_timeout",
        flags: "URX,UT",
        ..connects
    };
    let idle = Line {
        details: "stream_idle_timeout",
        flags: "SI",
        ..connects
    };
    let gone = Cause::EndpointPropagation;
    for (what, kind, ending, sent, line, cause, named) in [
        (
            "hung on a gone address",
            None,
            Ending::at_once(),
            AT + SECOND,
            Some((connects, "old-1")),
            gone,
            true,
        ),
        (
            "each try hung",
            None,
            Ending::at_once(),
            AT + SECOND,
            Some((per_try, "old-1")),
            gone,
            true,
        ),
        (
            "the stream was idle in the connect",
            None,
            Ending::at_once(),
            AT + SECOND,
            Some((idle, "old-1")),
            gone,
            true,
        ),
        (
            "hung, both processes gone",
            classic,
            Ending::at_once(),
            AT + 6 * SECOND,
            Some((connects, "old-1")),
            gone,
            true,
        ),
        (
            "a kept connection to a gone pod",
            None,
            Ending::at_once(),
            AT + SECOND,
            Some((waits, "old-1")),
            gone,
            true,
        ),
        (
            "no line, a pod gone from under its routes",
            None,
            Ending::at_once(),
            AT + SECOND,
            None,
            gone,
            false,
        ),
        (
            "the app ended under it",
            None,
            ends_under,
            AT + SECOND,
            Some((waits, "old-1")),
            Cause::InFlightCut,
            true,
        ),
        (
            "the proxy ended under it",
            classic,
            Ending::serves_on(),
            AT + 4 * SECOND,
            Some((waits, "old-1")),
            Cause::SidecarExitedFirst,
            true,
        ),
        (
            "a steady pod was slow",
            None,
            Ending::at_once(),
            AT + SECOND,
            Some((waits, "old-2")),
            Cause::ClientSide,
            false,
        ),
        (
            "a steady pod did not accept",
            None,
            Ending::at_once(),
            AT + SECOND,
            Some((connects, "old-2")),
            Cause::ClientSide,
            false,
        ),
        (
            "nothing was being deleted yet",
            None,
            Ending::at_once(),
            AT - 5 * SECOND,
            None,
            Cause::ClientSide,
            false,
        ),
    ] {
        let found = explained(kind, ending, sent, line);
        assert_eq!(found.cause, cause, "{what}");
        assert_eq!(found.pod.is_some(), named, "{what}: {:?}", found.pod);
        if line.is_none() {
            assert_ne!(found.confidence, Confidence::Proved, "{what}");
        }
    }
}

#[test]
fn a_pod_that_lived_when_the_patience_ended_does_not_hide_the_one_that_ate_it() {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.client("mesh", true);
    stage.end("old-1", AT, Ending::at_once(), STAYS);
    let sent = AT + 6 * SECOND;
    timed_out(&mut stage, sent, None);
    let given_up = Line {
        code: 0,
        flags: "DC",
        details: "downstream_remote_disconnect",
        ..Line::TIMED_OUT
    };
    stage.server_line(
        "old-2",
        &format!("t{sent}"),
        sent + 2_900 * MILLI,
        100 * MILLI,
        given_up,
    );
    assert_eq!(stage.causes(), [Cause::EndpointPropagation]);
}

#[test]
fn timeouts_as_in_the_baseline_are_no_termination_s() {
    let mut stage = Stage::new().with_old_pods();
    for second in 0..20 {
        stage.counts(second, 98, 2);
        for part in 0..2 {
            let sent = second * SECOND + part * 400 * MILLI;
            let request = stage.status(sent, 504, "upstream request timeout", "envoy");
            request.end.0 = sent + 1_500 * MILLI;
        }
    }
    stage.end("old-1", AT, Ending::at_once(), STAYS);
    assert!(
        stage
            .causes()
            .iter()
            .all(|cause| *cause == Cause::ClientSide)
    );
}
