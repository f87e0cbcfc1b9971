//! Rollouts in miniature: what must be said of failures that no recording holds.

mod circumstances;
mod controls;
mod drain;
mod ends;
mod formats;
mod holes;
mod leads;
mod lines;
mod loose;
mod margins;
mod marked;
mod masking;
mod meshed;
mod names;
mod never_ended;
mod new_pods;
mod order;
mod own_node;
mod probed;
mod proxy_timeouts;
mod quotes;
mod refusals;
mod replies;
mod service_rules;
mod signals;
mod silence;
mod stage;
mod statistics;
mod without_mesh;

use super::*;
use crate::evidence::{Change, ConnectionKind, ErrorClass, RequestPhase, Resource};
use serde_json::json;
use stage::{MILLI, SECOND, STAYS, Stage, both, stamp, transport};
use std::collections::BTreeMap;

#[test]
fn a_refusal_after_an_app_has_ended_is_a_late_route() {
    let mut stage = Stage::new().with_old_pods();
    stage.delete("old-1", 12 * SECOND, 20 * MILLI, STAYS);
    stage.refused(12 * SECOND + 60 * MILLI);
    stage.fail(
        12 * SECOND + 700 * MILLI,
        5 * SECOND,
        transport(ErrorClass::Timeout),
        RequestPhase::Connect,
    );
    assert_eq!(stage.causes(), vec![Cause::EndpointPropagation; 2]);
}

#[test]
fn a_refusal_by_a_pod_that_does_not_listen_yet_is_no_late_route() {
    let mut stage = Stage::new();
    stage.probe = false;
    let mut stage = stage.with_old_pods();
    let new = stage.pod(
        "new-1",
        json!({"running": {"startedAt": stamp(12 * SECOND)}}),
        None,
        true,
    );
    stage.object(12 * SECOND, Resource::Pods, Change::Added, new);
    stage.slice(
        12 * SECOND + 40 * MILLI,
        &[
            ("old-1", true, true, false),
            ("old-2", true, true, false),
            ("new-1", true, true, false),
        ],
    );
    stage.log("new-1", "app", 15 * SECOND, "listening on :8080");
    for tenth in 3..25 {
        stage.refused(12 * SECOND + tenth * 100 * MILLI);
    }
    let found = stage.explain();
    for failure in &found.failures {
        assert_eq!(failure.cause, Cause::NewPodNotReady);
        assert_eq!(failure.pod, None, "nothing proves which pod it was");
    }
}

#[test]
fn a_service_without_endpoints_refuses_for_itself() {
    let mut stage = Stage::new().with_old_pods();
    stage.slice(12 * SECOND, &both((false, true, true)));
    stage.slice(12 * SECOND + 300 * MILLI, &[]);
    for tenth in 0..20 {
        stage.refused(15 * SECOND + tenth * 100 * MILLI);
    }
    let found = stage.explain();
    assert!(
        found
            .failures
            .iter()
            .all(|failure| failure.cause == Cause::NoReadyEndpoint)
    );
    assert!(
        found
            .failures
            .iter()
            .all(|failure| failure.confidence == Confidence::Proved)
    );
}

#[test]
fn a_container_that_dies_without_a_deletion_has_crashed() {
    for (code, reason) in [(3, "Error"), (137, "OOMKilled"), (143, "Error")] {
        let mut stage = Stage::new().with_old_pods();
        stage.crash("old-1", 13 * SECOND, code, reason);
        stage.refused(13 * SECOND + 400 * MILLI);
        let found = stage.explain();
        assert_eq!(
            found.failures[0].cause,
            Cause::ContainerCrashed,
            "{code} {reason}"
        );
        let pod = found
            .pods
            .iter()
            .find(|pod| pod.pod == "old-1")
            .expect("a restarted pod");
        assert!(
            !pod.hazards.iter().any(|name| name.starts_with("sigkill")),
            "{:?}",
            pod.hazards
        );
    }
}

#[test]
fn an_app_that_fails_as_in_the_baseline_fails_by_itself() {
    let mut stage = Stage::new().with_old_pods();
    for second in 0..20 {
        stage.counts(second, 98, 2);
        for part in 0..2 {
            stage
                .status(second * SECOND + part * 400 * MILLI, 500, "oops", "app")
                .response
                .pod = Some("old-2".to_owned());
        }
    }
    stage.delete("old-1", 12 * SECOND, 3 * SECOND, STAYS);
    for failure in &stage.explain().failures {
        assert_eq!(failure.cause, Cause::ApplicationError);
        assert!(failure.as_in_control);
    }
}

#[test]
fn an_answer_of_a_pod_that_is_going_is_a_refusal_and_of_one_that_stays_is_not() {
    let mut stage = Stage::new().with_old_pods();
    stage.delete("old-1", 12 * SECOND, 4 * SECOND, STAYS);
    stage
        .status(13 * SECOND, 503, "closing", "app")
        .response
        .pod = Some("old-1".to_owned());
    stage
        .status(13 * SECOND + MILLI, 503, "busy", "app")
        .response
        .pod = Some("old-2".to_owned());
    let found = stage.explain();
    assert_eq!(found.failures[0].cause, Cause::ShutdownRefusal);
    assert_eq!(found.failures[0].pod.as_deref(), Some("old-1"));
    assert_eq!(found.failures[1].cause, Cause::ApplicationError);
}

#[test]
fn what_a_proxy_decides_is_not_blamed_on_a_termination() {
    for (body, header, cause) in [
        (
            "upstream connect error or disconnect/reset before headers. reset reason: overflow",
            false,
            Cause::ProxyOverload,
        ),
        ("busy", true, Cause::ProxyOverload),
        ("RBAC: access denied", false, Cause::MeshConfig),
        ("fault filter abort", false, Cause::MeshConfig),
        (
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: TLS error: Secret is not supplied by SDS",
            false,
            Cause::MeshConfig,
        ),
    ] {
        let mut stage = Stage::new();
        stage.sidecar = true;
        let mut stage = stage.with_old_pods();
        stage.delete("old-1", 12 * SECOND, 20 * MILLI, STAYS);
        let request = stage.status(12 * SECOND + 80 * MILLI, 503, body, "istio-envoy");
        if header {
            request.response.envoy =
                BTreeMap::from([("x-envoy-overloaded".to_owned(), "true".to_owned())]);
        }
        assert_eq!(stage.causes(), [cause], "{body}");
    }
}

#[test]
fn a_client_whose_patience_ends_gave_up() {
    let mut stage = Stage::new().with_old_pods();
    stage.delete("old-1", 12 * SECOND, 20 * MILLI, STAYS);
    stage.fail(
        11 * SECOND,
        12 * SECOND,
        transport(ErrorClass::Timeout),
        RequestPhase::WaitHeaders,
    );
    assert_eq!(stage.causes(), [Cause::ClientSide]);
}

#[test]
fn a_client_without_ports_is_the_harness_itself() {
    let mut stage = Stage::new().with_old_pods();
    stage.delete("old-1", 12 * SECOND, 20 * MILLI, STAYS);
    stage.fail(
        12 * SECOND,
        MILLI,
        transport(ErrorClass::LocalLimit),
        RequestPhase::Connect,
    );
    assert_eq!(stage.causes(), [Cause::Harness]);
}

#[test]
fn an_idle_connection_that_nobody_s_end_explains_was_closed_by_its_peer() {
    let mut stage = Stage::new().with_old_pods();
    let request = stage.fail(
        5 * SECOND,
        MILLI,
        transport(ErrorClass::Closed),
        RequestPhase::WaitHeaders,
    );
    request.connection.kind = ConnectionKind::Reused;
    request.connection.requests_before = 7;
    request.connection.idle = SECOND;
    let found = stage.explain();
    assert_eq!(found.failures[0].cause, Cause::StaleConnection);
    assert_ne!(found.failures[0].confidence, Confidence::Proved);
}

#[test]
fn with_nothing_seen_nothing_is_proved() {
    let mut stage = Stage::new();
    stage.refused(12 * SECOND);
    stage.fail(
        12 * SECOND,
        3 * SECOND,
        transport(ErrorClass::Reset),
        RequestPhase::WaitHeaders,
    );
    let found = stage.explain();
    assert!(
        found
            .failures
            .iter()
            .all(|failure| failure.confidence != Confidence::Proved)
    );
    assert!(
        found
            .failures
            .iter()
            .all(|failure| failure.cause == Cause::Unexplained)
    );
}

#[test]
fn a_node_that_is_lost_takes_its_pods_with_it() {
    let mut stage = Stage::new().with_old_pods();
    let node = |ready: &str| {
        json!({"metadata": {"name": "node1"},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    };
    stage.object(0, Resource::Nodes, Change::Added, node("True"));
    stage.object(
        55 * SECOND,
        Resource::Nodes,
        Change::Modified,
        node("Unknown"),
    );
    stage.fail(
        20 * SECOND,
        10 * SECOND,
        transport(ErrorClass::Timeout),
        RequestPhase::Connect,
    );
    assert_eq!(stage.causes(), [Cause::NodeLost]);
}
