//! Requests that only a proxy's retry saved, and requests that two apps got.

use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage, both, fine_stamp, stamp};
use super::{Findings, SidecarKind};
use crate::evidence::{Change, Outcome, RequestPhase, Resource};
use serde_json::json;

const WELL: Line<'static> = Line {
    code: 200,
    flags: "-",
    details: "via_upstream",
    answered: true,
    local: "10.0.2.9:40112",
};

const OUTBOUND: &str = "outbound|80||demo.n.svc.cluster.local";

/// A stage on whose node lines are placed, because an app there told when it was told to end.
fn stage() -> Stage {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.meshed_client();
    let ending = Ending {
        reacts: Some(10 * MILLI),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, ending, STAYS);
    stage
}

/// A line that counts attempts.
fn counting(stage: &mut Stage, pod: &str, id: &str, cluster: &str, attempts: u64, code: u16) {
    flagged(stage, pod, id, cluster, attempts, (code, "-"));
}

fn flagged(
    stage: &mut Stage,
    pod: &str,
    id: &str,
    cluster: &str,
    attempts: u64,
    (code, flags): (u16, &str),
) {
    let line = json!({
        "start_time": fine_stamp(AT + SECOND, 3),
        "response_code": code, "response_flags": flags, "request_id": id,
        "upstream_cluster": cluster, "upstream_service_time": "3",
        "upstream_request_attempt_count": attempts, "method": "GET", "path": "/",
    });
    stage.log(pod, "istio-proxy", AT + SECOND, &line.to_string());
}

fn counts(found: &Findings) -> (Option<u64>, u64, u64) {
    (found.masked, found.masked_at_least, found.doubled)
}

/// The app of one pod got it and was cut, that of the other answered.
fn done_twice(stage: &mut Stage, id: &str) {
    stage.server_line("old-1", id, AT + SECOND, 3 * MILLI, Line::CUT);
    stage.server_line("old-2", id, AT + SECOND + 5 * MILLI, 3 * MILLI, WELL);
}

#[test]
fn a_request_that_one_app_was_cut_under_and_another_answered_is_doubled_and_no_measurement() {
    let mut stage = stage();
    done_twice(&mut stage, "id-1");
    stage.server_line("old-1", "id-2", AT + SECOND, 3 * MILLI, Line::REFUSED);
    stage.server_line("old-2", "id-2", AT + SECOND, 3 * MILLI, WELL);
    let found = stage.explain();
    assert_eq!(
        counts(&found),
        (None, 1, 1),
        "a refused one reached one app"
    );
    let hint = found.masked_hint.expect("it is not measured");
    assert!(hint.contains("UPSTREAM_REQUEST_ATTEMPT_COUNT"), "{hint}");
}

#[test]
fn a_request_that_failed_in_the_end_was_not_saved() {
    let mut stage = stage();
    let status = Outcome::Status {
        code: 503,
        grpc: None,
    };
    let request = stage.fail(AT + SECOND, 9 * MILLI, status, RequestPhase::Body);
    request.request_id = "id-1".to_owned();
    done_twice(&mut stage, "id-1");
    counting(&mut stage, "loadgen", "id-1", OUTBOUND, 2, 200);
    assert_eq!(counts(&stage.explain()), (Some(0), 0, 0));
}

#[test]
fn lines_of_both_sides_about_one_request_count_it_once() {
    let mut stage = stage();
    counting(&mut stage, "loadgen", "id-1", OUTBOUND, 2, 200);
    counting(&mut stage, "old-1", "id-1", "inbound|8080||", 2, 200);
    counting(&mut stage, "loadgen", "id-2", OUTBOUND, 1, 200);
    let found = stage.explain();
    assert_eq!(counts(&found), (Some(1), 1, 0));
    assert_eq!(found.masked_hint, None);
}

#[test]
fn neither_a_client_that_left_nor_a_grpc_failure_was_saved() {
    let mut stage = stage();
    flagged(&mut stage, "loadgen", "id-1", OUTBOUND, 3, (0, "DC"));
    flagged(&mut stage, "loadgen", "id-2", OUTBOUND, 3, (200, "URX,UF"));
    counting(&mut stage, "loadgen", "id-3", OUTBOUND, 3, 503);
    assert_eq!(counts(&stage.explain()), (Some(0), 0, 0));
}

#[test]
fn calls_of_the_workloads_own_pods_are_no_requests_to_it() {
    let mut stage = stage();
    counting(&mut stage, "old-1", "id-1", OUTBOUND, 2, 200);
    counting(&mut stage, "loadgen", "id-2", OUTBOUND, 1, 200);
    assert_eq!(counts(&stage.explain()), (Some(0), 0, 0));
}

#[test]
fn what_the_servers_count_does_not_measure_what_the_clients_proxy_tried() {
    let mut stage = stage();
    counting(&mut stage, "old-1", "id-1", "inbound|8080||", 2, 200);
    let found = stage.explain();
    assert_eq!(counts(&found), (None, 1, 0));
    assert!(found.masked_hint.is_some());
}

#[test]
fn answers_that_all_tell_their_attempts_measure_what_was_saved() {
    let cases = [
        ((90, 7), (Some(7), 7, 0)),
        ((90, 0), (Some(0), 0, 0)),
        ((80, 7), (None, 7, 0)),
        ((0, 0), (None, 0, 0)),
    ];
    for ((told, retried), wanted) in cases {
        let mut stage = stage();
        stage.counts(0, 90, 0);
        stage.echoed(90, 50);
        stage.counts(AT / SECOND + 1, 90, 0);
        stage.echoed(told, retried);
        let found = stage.explain();
        assert_eq!(counts(&found), wanted, "{told} of 90 told");
        assert_eq!(found.masked_hint.is_none(), wanted.0.is_some());
    }
}

#[test]
fn a_log_that_was_mostly_not_understood_does_not_measure_what_was_saved() {
    for (foreign, measured) in [(2, true), (8, false)] {
        for (meshed, pod, cluster) in [
            (true, "loadgen", OUTBOUND),
            (false, "old-2", "inbound|8080||"),
        ] {
            let mut stage = if meshed {
                stage()
            } else {
                Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods()
            };
            counting(&mut stage, pod, "id-1", cluster, 2, 200);
            for _ in 0..foreign {
                stage.log(pod, "istio-proxy", AT, "GET / 200 2");
            }
            let found = stage.explain();
            assert_eq!(found.masked.is_some(), measured, "{foreign}, {pod}");
            let hint = found.masked_hint.unwrap_or_default();
            assert_eq!(hint.contains("accessLogFormat`"), !measured, "{hint}");
        }
    }
}

#[test]
fn the_log_of_a_pod_that_nobody_was_sent_to_hides_nothing() {
    let never = ("new-1", false, false, false);
    let [one, other] = both((true, true, false));
    for (listed, slices, measured) in [
        (never, true, true),
        (("new-1", true, true, false), true, false),
        // Whether it was in the routes is not known.
        (never, false, false),
    ] {
        let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
        let running = json!({"running": {"startedAt": stamp(AT)}});
        let pod = stage.pod("new-1", running, None, false);
        stage.object(AT, Resource::Pods, Change::Added, pod);
        stage.slice(AT, &[one, other, listed]);
        if !slices {
            stage.without_slices();
        }
        counting(&mut stage, "old-2", "id-1", "inbound|8080||", 2, 200);
        for _ in 0..4 {
            stage.log("new-1", "istio-proxy", AT, "GET / 200 2");
        }
        let found = stage.explain();
        assert_eq!(found.masked.is_some(), measured, "{listed:?}, {slices}");
    }
}
