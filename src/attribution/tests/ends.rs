//! Ends of pods that are being deleted that look like something else's: the OOM killer's, a crash's, a
//! deletion by force (facts 1.3, 1.5; design 7).

use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage, stamp, transport};
use super::{Cause, Confidence, Findings, Missing, SidecarKind};
use crate::evidence::{Change, ConnectionKind, ErrorClass, Outcome, RequestPhase, Resource};
use serde_json::{Value, json};

const CUT: &str = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
const REFUSED: &str = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure";

/// `old-1` had the request from `sent` to `end`: a plain client's connection ended, or the pod's proxy
/// answered.
fn cut(stage: &mut Stage, sent: i64, end: i64) {
    if stage.sidecar {
        behind_proxy(stage, sent, end, Line::CUT, CUT);
        return;
    }
    let closed = transport(ErrorClass::Closed);
    let request = stage.fail(sent, end - sent, closed, RequestPhase::WaitHeaders);
    request.connection.kind = ConnectionKind::New;
}

/// Nobody listened any more.
fn refused(stage: &mut Stage, sent: i64) {
    if stage.sidecar {
        behind_proxy(stage, sent, sent + 30 * MILLI, Line::REFUSED, REFUSED);
    } else {
        stage.refused(sent);
    }
}

fn behind_proxy(stage: &mut Stage, sent: i64, end: i64, line: Line<'_>, body: &str) {
    let code = Outcome::Status {
        code: 503,
        grpc: None,
    };
    let request = stage.fail(sent, end - sent, code, RequestPhase::Body);
    request.request_id = format!("s{sent}");
    request.response.body = Some(body.to_owned());
    stage.server_line("old-1", &format!("s{sent}"), sent, end - sent, line);
}

fn hazards(found: &Findings) -> Vec<String> {
    let pod = found.pods.iter().find(|pod| pod.pod == "old-1");
    pod.expect("it was deleted").hazards.clone()
}

#[test]
fn an_app_that_ends_while_its_pod_is_deleted_has_not_crashed_whatever_its_code_says() {
    let ends = [
        (0, false),
        (1, false),
        (2, false),
        (139, false),
        (143, false),
        (137, false),
        (137, true),
    ];
    for kind in [None, Some(SidecarKind::Classic)] {
        for (code, oom) in ends {
            let mut stage = Stage::with_sidecar(kind).with_old_pods();
            let ending = Ending {
                app: (2 * SECOND, code),
                oom,
                ..Ending::at_once()
            };
            stage.end("old-1", AT, ending, STAYS);
            cut(&mut stage, AT + SECOND, AT + 2_005 * MILLI);
            refused(&mut stage, AT + 2_300 * MILLI);
            let found = stage.explain();
            let causes: Vec<Cause> = found.failures.iter().map(|one| one.cause).collect();
            assert_eq!(
                causes,
                [Cause::InFlightCut, Cause::EndpointPropagation],
                "{kind:?} {code} {oom}"
            );
            let sigkill = hazards(&found).contains(&"sigkill:app".to_owned());
            assert_eq!(sigkill, code == 137 && !oom, "{kind:?} {code} {oom}");
        }
    }
}

#[test]
fn the_app_is_the_container_that_routes_lead_to_and_nothing_is_proved_where_that_is_unclear() {
    let app = |ports: Value, probe: Value| {
        json!({"name": "app", "ports": ports, "readinessProbe": probe,
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}})
    };
    let serves = app(json!([{"containerPort": 8080}]), Value::Null);
    let probed = app(json!([]), json!({"tcpSocket": {"port": 8080}}));
    let named = json!({"httpGet": {"port": "http"}});
    let by_name = app(json!([{"containerPort": 8080, "name": "http"}]), named);
    let silent = app(json!([]), Value::Null);
    let exporter = json!({"name": "metrics", "ports": [{"containerPort": 9113}]});
    let plain = json!({"name": "metrics"});
    let twin = json!({"name": "metrics", "ports": [{"containerPort": 8080}]});
    let (none, one, both): (&[u16], &[u16], &[u16]) = (&[], &[8080], &[8080, 9113]);
    let (address, name) = (Some("10.96.0.10:80"), Some("demo.n.svc.cluster.local:80"));
    let ingress = Some("10.96.0.11:80");
    for (app, other, ports, asked, clear) in [
        (&serves, &exporter, one, None, true),
        (&serves, &plain, one, None, true),
        (&probed, &exporter, one, None, true),
        (&by_name, &exporter, one, None, true),
        (&silent, &exporter, one, None, false),
        (&silent, &plain, one, None, false),
        (&serves, &twin, one, None, false),
        (&serves, &exporter, none, None, false),
        (&serves, &plain, both, None, false),
        (&serves, &exporter, both, None, false),
        (&silent, &exporter, both, None, false),
        (&serves, &exporter, both, address, true),
        (&serves, &exporter, both, name, true),
        (&serves, &exporter, both, ingress, false),
        (&silent, &exporter, both, address, false),
    ] {
        let beside = |ending: Ending, cause: Cause| {
            let mut stage = Stage::new().with_old_pods();
            stage.end("old-1", AT, ending, STAYS);
            cut(&mut stage, AT + SECOND, AT + ending.app.0 + 5 * MILLI);
            // The other container comes first, and ends by itself a second after the deletion.
            let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed",
                "startedAt": stamp(-60 * SECOND), "finishedAt": stamp(AT + SECOND)}});
            stage.beside(app, other, &ended);
            if ports.is_empty() {
                stage.without_slices();
            }
            stage.route_to(ports);
            if let Some(target) = asked {
                stage.ask(target);
            }
            let found = stage.explain();
            let failure = &found.failures[0];
            assert!(!clear || failure.cause == cause, "{failure:?}");
            let pod = found.pods.iter().find(|pod| pod.pod == "old-1");
            let missing = &pod.expect("it was deleted").missing;
            assert!(!missing.contains(&Missing::ExitCodes), "{missing:?}");
            (failure.confidence == Confidence::Proved, hazards(&found))
        };
        let by_itself = Ending {
            app: (2 * SECOND, 0),
            ..Ending::at_once()
        };
        let (proved, _) = beside(by_itself, Cause::InFlightCut);
        assert_eq!(proved, clear, "{app} {other}");
        let killed = Ending {
            grace: 8 * SECOND,
            app: (8_050 * MILLI, 137),
            ..Ending::at_once()
        };
        let (proved, hazards) = beside(killed, Cause::TermSignalUnhandled);
        assert!(clear || !proved, "{app} {other}");
        let has = |hazard: &str| hazards.contains(&hazard.to_owned());
        assert_eq!(has("term-signal-unhandled"), clear, "{app} {other}");
        assert!(has("sigkill:app") && !has("prestop-missing"), "{hazards:?}");
    }
}

#[test]
fn a_crash_that_was_shown_only_after_the_deletion_is_still_one() {
    let mut stage = Stage::new().with_old_pods();
    stage.answers("local", 0, 9 * SECOND, 20, &["old-1", "old-2"]);
    let ended = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled",
        "startedAt": stamp(-60 * SECOND), "finishedAt": stamp(AT - 3 * SECOND)}});
    let pod = stage.pod("old-1", ended, Some((AT, 30)), false);
    stage.object(AT + 5 * MILLI, Resource::Pods, Change::Modified, pod);
    stage.slice(AT + 50 * MILLI, STAYS);
    stage.refused(AT - 2 * SECOND);
    assert_eq!(stage.causes(), [Cause::ContainerCrashed]);
}

#[test]
fn what_a_pod_ran_that_was_taken_away_by_force_lives_on_for_two_seconds() {
    for kind in [None, Some(SidecarKind::Classic)] {
        for asked in [None, Some(4 * SECOND)] {
            let mut stage = Stage::with_sidecar(kind).with_old_pods();
            stage.force("old-1", AT, asked, STAYS);
            stage.log("old-1", "app", AT + 20 * MILLI, "received SIGTERM");
            cut(&mut stage, AT - 500 * MILLI, AT + 700 * MILLI);
            refused(&mut stage, AT + 900 * MILLI);
            refused(&mut stage, AT + 1_800 * MILLI);
            let found = stage.explain();
            let causes: Vec<Cause> = found.failures.iter().map(|one| one.cause).collect();
            let late = Cause::EndpointPropagation;
            assert_eq!(
                causes,
                [Cause::InFlightCut, late, late],
                "{kind:?} {asked:?}"
            );
        }
    }
}
