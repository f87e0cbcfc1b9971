//! Targets without a sidecar: every way to end, each way to meet it (facts 5.3, 8, 9.13).

use super::new_pods::new_pods;
use super::stage::{
    AT, Ending, Line, MILLI, SECOND, STAYS, Stage, address, both, stamp, transport,
};
use super::{Cause, Confidence};
use crate::evidence::{Change, ConnectionKind, ErrorClass, Outcome, RequestPhase, Resource};
use serde_json::json;

/// `old-1` is deleted and ends like this.
fn ending(ending: Ending) -> Stage {
    let mut stage = Stage::new().with_old_pods();
    stage.client("mesh", true);
    stage.end("old-1", AT, ending, STAYS);
    stage
}

fn cut(stage: &mut Stage, sent: i64, end: i64, kind: ConnectionKind, idle: i64) {
    let request = stage.fail(
        sent,
        end - sent,
        transport(ErrorClass::Closed),
        RequestPhase::WaitHeaders,
    );
    request.connection.kind = kind;
    request.connection.requests_before = u64::from(kind == ConnectionKind::Reused);
    request.connection.idle = idle;
}

fn vanished(stage: &mut Stage, sent: i64) {
    let timeout = transport(ErrorClass::Timeout);
    stage.fail(sent, 5 * SECOND, timeout, RequestPhase::Connect);
}

fn expect(what: &str, stage: Stage, causes: &[Cause]) {
    assert_eq!(stage.causes(), causes, "{what}");
}

fn killed(reacts: Option<i64>) -> Ending {
    Ending {
        grace: 8 * SECOND,
        reacts,
        app: (8_050 * MILLI, 137),
        ..Ending::at_once()
    }
}

#[test]
fn an_app_that_ends_at_once_is_refused_missed_found_dead_and_cut() {
    let mut stage = ending(Ending::at_once());
    stage.refused(AT + 100 * MILLI);
    vanished(&mut stage, AT + 700 * MILLI);
    vanished(&mut stage, AT + 6 * SECOND);
    let idle = 400 * MILLI;
    cut(
        &mut stage,
        AT + 300 * MILLI,
        AT + 301 * MILLI,
        ConnectionKind::Reused,
        idle,
    );
    cut(
        &mut stage,
        AT - 3 * SECOND,
        AT + 25 * MILLI,
        ConnectionKind::New,
        0,
    );
    // The record is in the order of the ends.
    expect(
        "exits at once",
        stage,
        &[
            Cause::InFlightCut,
            Cause::EndpointPropagation,
            Cause::StaleConnection,
            Cause::EndpointPropagation,
            Cause::EndpointPropagation,
        ],
    );
}

#[test]
fn an_app_that_drains_refuses_from_its_signal_on() {
    let drains = Ending {
        reacts: Some(30 * MILLI),
        app: (4 * SECOND, 0),
        ..Ending::at_once()
    };
    let mut stage = ending(drains);
    for after in [100 * MILLI, 900 * MILLI, 3 * SECOND] {
        stage.refused(AT + after);
    }
    vanished(&mut stage, AT + 5 * SECOND);
    expect("drains", stage, &[Cause::EndpointPropagation; 4]);
}

#[test]
fn a_relay_passes_a_refusal_on_as_an_end_of_its_own() {
    // A service proxy in user space accepts first, then finds nobody behind.
    let mut stage = ending(Ending::at_once());
    for (after, class) in [
        (300, ErrorClass::Reset),
        (400, ErrorClass::Reset),
        (450, ErrorClass::Reset),
        (2_000, ErrorClass::Closed),
    ] {
        let sent = AT + after * MILLI;
        let ended = transport(class);
        stage.fail(sent, 2 * MILLI, ended, RequestPhase::WaitHeaders);
    }
    let found = stage.explain();
    for failure in &found.failures {
        assert_eq!(failure.cause, Cause::EndpointPropagation);
        assert_ne!(failure.confidence, Confidence::Proved);
    }
}

#[test]
fn slow_routes_outlive_a_short_prestop_hook() {
    let hooked = Ending {
        reacts: Some(3_020 * MILLI),
        app: (3_050 * MILLI, 0),
        ..Ending::at_once()
    };
    let mut stage = ending(hooked);
    stage.refused(AT + 3_100 * MILLI);
    vanished(&mut stage, AT + 5 * SECOND);
    expect("preStop of 3 s", stage, &[Cause::EndpointPropagation; 2]);
}

#[test]
fn sigkill_is_told_by_what_the_app_said_before_it() {
    for (reacts, cause) in [
        (Some(30 * MILLI), Cause::GraceExceeded),
        (None, Cause::TermSignalUnhandled),
    ] {
        let mut stage = ending(killed(reacts));
        cut(
            &mut stage,
            AT + 4 * SECOND,
            AT + 8_060 * MILLI,
            ConnectionKind::Reused,
            100 * MILLI,
        );
        stage.refused(AT + 8_200 * MILLI);
        vanished(&mut stage, AT + 9 * SECOND);
        let late = Cause::EndpointPropagation;
        expect("killed", stage, &[cause, late, late]);
    }
}

#[test]
fn an_app_that_drains_too_long_refuses_until_it_is_killed() {
    let mut stage = ending(killed(Some(30 * MILLI)));
    stage.refused(AT + 500 * MILLI);
    stage.refused(AT + 6 * SECOND);
    expect(
        "drains until SIGKILL",
        stage,
        &[Cause::EndpointPropagation; 2],
    );
}

#[test]
fn routes_that_follow_late_refuse_after_somebody_is_ready_again() {
    let mut stage = Stage::new().with_old_pods();
    stage.slice(AT, &both((false, true, true)));
    stage.slice(AT + 3 * SECOND, &[]);
    stage.slice(AT + 8 * SECOND, &[("new-1", true, true, false)]);
    stage.refused(AT + 7 * SECOND);
    stage.refused(AT + 8_500 * MILLI);
    stage.refused(AT + 14 * SECOND);
    expect("zero, slow", stage, &[Cause::NoReadyEndpoint; 3]);
}

#[test]
fn a_mesh_s_client_has_nobody_while_all_terminate() {
    let mut stage = Stage::new().with_old_pods();
    stage.client("mesh", true);
    stage.slice(AT, &both((false, true, true)));
    stage.slice(AT + 3 * SECOND, &[]);
    stage.slice(AT + 8 * SECOND, &both((true, true, false)));
    for after in [SECOND, 5 * SECOND, 9 * SECOND, 14 * SECOND] {
        let request = stage.status(AT + after, 503, "no healthy upstream", "envoy");
        request.client = "mesh".to_owned();
        request.request_id = format!("z{after}");
        stage.client_line(&format!("z{after}"), AT + after, MILLI, "-", Line::NOBODY);
    }
    expect("zero, meshed", stage, &[Cause::NoReadyEndpoint; 4]);
}

#[test]
fn hosts_that_are_there_and_not_chosen_were_ejected() {
    let mut stage = Stage::new().with_old_pods();
    stage.client("mesh", true);
    stage.status(AT, 503, "no healthy upstream", "envoy").client = "mesh".to_owned();
    expect("ejected", stage, &[Cause::ProxyOverload]);
}

#[test]
fn a_container_that_is_stopped_for_its_liveness_refuses_before_its_end() {
    let mut stage = Stage::new().with_old_pods();
    stage.crash("old-1", AT + 4 * SECOND, 143, "Error");
    let killing = json!({"involvedObject": {"kind": "Pod", "uid": "old-1", "name": "old-1",
            "fieldPath": "spec.containers{app}"},
        "reason": "Killing", "message": "Container app failed liveness probe, will be restarted",
        "lastTimestamp": stamp(AT), "source": {"component": "kubelet", "host": "node1"}});
    stage.object(AT + 50 * MILLI, Resource::Events, Change::Added, killing);
    stage.refused(AT + SECOND);
    stage.refused(AT + 4_300 * MILLI);
    cut(
        &mut stage,
        AT + SECOND,
        AT + 4 * SECOND,
        ConnectionKind::New,
        0,
    );
    cut(
        &mut stage,
        AT + 4_100 * MILLI,
        AT + 4_101 * MILLI,
        ConnectionKind::Reused,
        SECOND,
    );
    expect("liveness", stage, &[Cause::ContainerCrashed; 4]);
}

/// What a client behind a sidecar of its own meets: the app itself, through its proxy.
fn meshed(
    stage: &mut Stage,
    id: &str,
    (sent, end): (i64, i64),
    host: &str,
    line: Line<'_>,
    body: &str,
) {
    let request = if line.code == 0 {
        let timeout = transport(ErrorClass::Timeout);
        stage.fail(sent, end - sent, timeout, RequestPhase::WaitHeaders)
    } else {
        let status = Outcome::Status {
            code: line.code,
            grpc: None,
        };
        stage.fail(sent, end - sent, status, RequestPhase::Body)
    };
    request.client = "mesh".to_owned();
    id.clone_into(&mut request.request_id);
    request.response.body = Some(body.to_owned());
    if line.answered {
        let name = "x-envoy-upstream-service-time".to_owned();
        request.response.envoy.insert(name, "3".to_owned());
    }
    stage.client_line(id, sent, end - sent, host, line);
}

const CUT: &str = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
const REFUSED: &str = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure, transport failure reason: delayed connect error: Connection refused";

#[test]
fn a_meshed_client_names_the_pod_that_its_proxy_chose() {
    let host = |name: &str| format!("{}:8080", address(name));
    let old = host("old-1");
    let mut stage = ending(Ending::at_once());
    meshed(
        &mut stage,
        "a",
        (AT - 2 * SECOND, AT + 20 * MILLI),
        &old,
        Line::CUT,
        CUT,
    );
    meshed(
        &mut stage,
        "b",
        (AT + 100 * MILLI, AT + 140 * MILLI),
        &old,
        Line::REFUSED,
        REFUSED,
    );
    meshed(
        &mut stage,
        "c",
        (AT + SECOND, AT + 11 * SECOND),
        &old,
        Line::HUNG,
        "",
    );
    expect(
        "ends at once",
        stage,
        &[
            Cause::InFlightCut,
            Cause::EndpointPropagation,
            Cause::EndpointPropagation,
        ],
    );

    let mut stage = ending(killed(None));
    meshed(
        &mut stage,
        "a",
        (AT + 4 * SECOND, AT + 8_060 * MILLI),
        &old,
        Line::CUT,
        CUT,
    );
    expect("deaf", stage, &[Cause::TermSignalUnhandled]);

    let refuses = Ending {
        reacts: Some(30 * MILLI),
        app: (4 * SECOND, 0),
        ..Ending::at_once()
    };
    let mut stage = ending(refuses);
    meshed(
        &mut stage,
        "a",
        (AT + SECOND, AT + SECOND + 3 * MILLI),
        &old,
        Line::PASSED_ON,
        "shutting down",
    );
    expect("refuses", stage, &[Cause::ShutdownRefusal]);

    let mut stage = new_pods(false, &[("new-1", AT + 3 * SECOND)]);
    stage.client("mesh", true);
    stage.end(
        "old-1",
        AT,
        Ending::at_once(),
        &[("old-2", true, true, false), ("new-1", true, true, false)],
    );
    meshed(
        &mut stage,
        "a",
        (AT + 100 * MILLI, AT + 140 * MILLI),
        &host("new-1"),
        Line::REFUSED,
        REFUSED,
    );
    expect("new", stage, &[Cause::NewPodNotReady]);

    let mut stage = Stage::new().with_old_pods();
    stage.client("mesh", true);
    stage.crash("old-2", AT, 3, "Error");
    let two = host("old-2");
    meshed(
        &mut stage,
        "a",
        (AT - SECOND, AT + 10 * MILLI),
        &two,
        Line::CUT,
        CUT,
    );
    meshed(
        &mut stage,
        "b",
        (AT + 500 * MILLI, AT + 540 * MILLI),
        &two,
        Line::REFUSED,
        REFUSED,
    );
    expect("crashed", stage, &[Cause::ContainerCrashed; 2]);

    let mut stage = Stage::new().with_old_pods();
    stage.client("mesh", true);
    meshed(&mut stage, "a", (AT, AT + MILLI), &two, Line::CUT, CUT);
    expect("closed while idle", stage, &[Cause::StaleConnection]);
}
