//! Failures that look like a termination's and are none: each must be left to what it is, although
//! pods come and go at the same time (facts 5.3, C12 to C18).

use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage, address, stamp, transport};
use super::{Cause, Confidence, Findings, Modifier, SidecarKind};
use crate::evidence::{Change, ConnectionKind, ErrorClass, Outcome, RequestPhase, Resource};
use serde_json::json;

/// Causes that a pod's deletion has.
const OF_A_TERMINATION: &[Cause] = &[
    Cause::EndpointPropagation,
    Cause::SidecarExitedFirst,
    Cause::InFlightCut,
    Cause::GraceExceeded,
    Cause::TermSignalUnhandled,
    Cause::ShutdownRefusal,
];

/// `old-1` is deleted meanwhile, drains well, and its sidecar leaves after the default five seconds.
fn rollout(kind: Option<SidecarKind>) -> Stage {
    let mut stage = Stage::with_sidecar(kind).with_old_pods();
    stage.client("mesh", true);
    let drains = Ending {
        reacts: Some(30 * MILLI),
        app: (60 * MILLI, 0),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, drains, STAYS);
    stage
}

fn no_termination(what: &str, found: &Findings) {
    assert!(!found.failures.is_empty());
    for failure in &found.failures {
        assert!(
            !OF_A_TERMINATION.contains(&failure.cause),
            "{what}: {}",
            failure.cause
        );
    }
}

fn hazards(found: &Findings, name: &str) -> Vec<String> {
    let pod = found.pods.iter().find(|pod| pod.pod == name);
    pod.map(|pod| pod.hazards.clone()).unwrap_or_default()
}

/// A request through the client's sidecar, with that sidecar's line, and the server's where given.
fn meshed(stage: &mut Stage, pod: &str, client: Line<'_>, server: Option<Line<'_>>, body: &str) {
    let (sent, took) = (AT + SECOND, 20 * MILLI);
    let status = Outcome::Status {
        code: client.code,
        grpc: None,
    };
    let request = stage.fail(sent, took, status, RequestPhase::Body);
    request.client = "mesh".to_owned();
    request.request_id = "m".to_owned();
    request.response.body = Some(body.to_owned());
    if client.answered {
        let name = "x-envoy-upstream-service-time".to_owned();
        request.response.envoy.insert(name, "3".to_owned());
    }
    let host = format!("{}:8080", address(pod));
    stage.client_line("m", sent, took, &host, client);
    if let Some(line) = server {
        stage.server_line(pod, "m", sent, took, line);
    }
}

#[test]
fn an_oom_restart_a_voluntary_exit_and_a_liveness_kill_are_the_container_s() {
    for (code, reason) in [(137, "OOMKilled"), (0, "Completed"), (143, "Error")] {
        let mut stage = rollout(None);
        stage.crash("old-2", AT + 8 * SECOND, code, reason);
        stage.refused(AT + 8_400 * MILLI);
        let closed = transport(ErrorClass::Closed);
        let cut = stage.fail(AT + 7 * SECOND, SECOND, closed, RequestPhase::WaitHeaders);
        cut.connection.kind = ConnectionKind::New;
        let found = stage.explain();
        for failure in &found.failures {
            assert_eq!(failure.cause, Cause::ContainerCrashed, "{reason}");
        }
        assert_eq!(hazards(&found, "old-2"), Vec::<String>::new(), "{reason}");
    }
}

#[test]
fn a_reset_of_an_invalid_packet_is_nobody_s_end() {
    // Connection tracking lost a busy connection; both ends live on.
    let mut stage = rollout(None);
    let reset = || transport(ErrorClass::Reset);
    let request = stage.fail(
        AT + 2 * SECOND,
        2 * SECOND,
        reset(),
        RequestPhase::WaitHeaders,
    );
    request.connection.kind = ConnectionKind::Reused;
    request.connection.requests_before = 9;
    request.connection.idle = 10 * MILLI;
    let found = stage.explain();
    assert_eq!(found.failures[0].cause, Cause::Unexplained);

    // With a sidecar its line names the pod, which nobody deleted, and says that the client left.
    let mut stage = rollout(Some(SidecarKind::Classic));
    let request = stage.fail(AT + SECOND, 4 * SECOND, reset(), RequestPhase::WaitHeaders);
    request.request_id = "r".to_owned();
    stage.server_line("old-2", "r", AT + SECOND, 4 * SECOND, Line::HUNG);
    no_termination("INVALID", &stage.explain());
}

#[test]
fn what_a_proxy_s_line_says_of_its_configuration_comes_first() {
    let reply = |flags, details| Line {
        code: 503,
        flags,
        details,
        answered: false,
        local: "-",
    };
    let tls = "upstream_reset_before_response_started{remote_connection_failure|TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end}";
    for (what, line, cause) in [
        (
            "overload",
            reply("UO", "upstream_reset_before_response_started{overflow}"),
            Cause::ProxyOverload,
        ),
        (
            "fault injection",
            reply("FI", "fault_filter_abort"),
            Cause::MeshConfig,
        ),
        ("no certificate", reply("UF,URX", tls), Cause::MeshConfig),
        (
            "no route",
            reply("NR", "route_not_found"),
            Cause::MeshConfig,
        ),
        (
            "no cluster",
            reply("NC", "cluster_not_found"),
            Cause::MeshConfig,
        ),
    ] {
        let mut stage = rollout(Some(SidecarKind::Classic));
        meshed(&mut stage, "old-1", line, None, "");
        assert_eq!(stage.causes(), [cause], "{what}");
    }
    let mut stage = rollout(Some(SidecarKind::Classic));
    let denied = Line {
        code: 403,
        details: "rbac_access_denied_matched_policy[none]",
        ..reply("-", "")
    };
    meshed(
        &mut stage,
        "old-1",
        Line {
            code: 403,
            ..Line::PASSED_ON
        },
        Some(denied),
        "RBAC: access denied",
    );
    assert_eq!(stage.causes(), [Cause::MeshConfig], "RBAC");
}

#[test]
fn a_filter_chain_that_was_taken_away_is_found_by_the_peer_s_socket() {
    // The server's proxy has no request to log, only a connection that no chain wanted.
    let mut stage = rollout(Some(SidecarKind::Classic));
    meshed(
        &mut stage,
        "old-1",
        Line::CUT,
        None,
        "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
    );
    let text = format!(
        "[{}] \"- - -\" 0 NR filter_chain_not_found - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - {}:8080 {} - -",
        stamp(AT + SECOND),
        address("old-1"),
        Line::CUT.local
    );
    stage.log("old-1", "istio-proxy", AT + SECOND, &text);
    assert_eq!(stage.causes(), [Cause::MeshConfig]);
}

#[test]
fn probes_of_the_proxy_s_own_ports_are_no_lost_calls_and_no_flapping() {
    let serves = Ending::serves_on();
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.end("old-1", AT, serves, STAYS);
    for (after, text) in [
        (
            6,
            "GET http://127.0.0.1:15021/healthz/ready: connect: connection refused",
        ),
        (7, "probe of 10.0.0.1:15020 failed: connection refused"),
        (8, "notify http://peer/: connect: connection refused"),
    ] {
        stage.log("old-1", "app", AT + after * SECOND, text);
    }
    for (after, message) in [
        (
            1,
            "Readiness probe failed: HTTP probe failed with statuscode: 503",
        ),
        (
            2,
            "Readiness probe failed: Get \"http://10.0.0.1:15020/app-health/app/readyz\": dial tcp 10.0.0.1:15020: connect: connection refused",
        ),
    ] {
        let unhealthy = json!({"involvedObject": {"kind": "Pod", "uid": "old-1", "name": "old-1",
                "fieldPath": "spec.containers{app}"},
            "reason": "Unhealthy", "message": message, "lastTimestamp": stamp(AT + after * SECOND),
            "source": {"component": "kubelet", "host": "node1"}});
        stage.object(
            AT + after * SECOND,
            Resource::Events,
            Change::Added,
            unhealthy,
        );
    }
    stage.refused(AT + 7 * SECOND);
    let found = stage.explain();
    let pod = found.pods.iter().find(|pod| pod.pod == "old-1");
    assert_eq!(pod.and_then(|pod| pod.outbound_failures), Some(1));
    assert!(
        !found.failures[0]
            .modifiers
            .contains(&Modifier::ReadinessFlapping)
    );
}

#[test]
fn the_end_of_a_stream_to_istiod_is_not_the_proxy_s() {
    let lead = |late: bool| {
        let serves = Ending::serves_on();
        let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
        stage.end("old-1", AT, serves, STAYS);
        for after in [1, 4] {
            stage.agent("old-1", AT + after * SECOND, "ads\tADS: \"\" 2 terminated");
        }
        if late {
            stage.agent("old-1", AT + 5_050 * MILLI, "ads\tADS: \"\" 3 terminated");
        }
        let found = stage.explain();
        let pod = found.pods.iter().find(|pod| pod.pod == "old-1");
        pod.and_then(|pod| pod.sidecar_lead_s).expect("a lead")
    };
    for late in [false, true] {
        assert!((lead(late) - 7.0).abs() < 0.8, "{}", lead(late));
    }
}

#[test]
fn nothing_of_these_is_proved_to_be_a_termination() {
    let mut stage = rollout(None);
    stage.crash("old-2", AT + 200 * MILLI, 3, "Error");
    stage.refused(AT + 400 * MILLI);
    let found = stage.explain();
    let failure = &found.failures[0];
    let wrong =
        failure.confidence == Confidence::Proved && failure.cause != Cause::ContainerCrashed;
    assert!(!wrong, "either pod may have refused: {}", failure.cause);
}
