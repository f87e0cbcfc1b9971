//! Targets with a sidecar, classic or native: which process left first, and what each side logged
//! (facts 9, the discriminators of 9.11).

use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage, address, transport};
use super::{Cause, Confidence, SidecarKind};
use crate::evidence::{ConnectionKind, ErrorClass, Outcome, RequestPhase};

const BOTH: [SidecarKind; 2] = [SidecarKind::Classic, SidecarKind::Native];

const REFUSED: &str = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure";
const CUT: &str = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";

/// The two ways to meet a target with a sidecar.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    Plain,
    Meshed,
}

fn ending(kind: SidecarKind, mut ending: Ending) -> Stage {
    if kind == SidecarKind::Native && ending.proxy.1 == 0 {
        ending.proxy.0 = ending.app.0 + 50 * MILLI;
    }
    ending_as_told(kind, ending)
}

fn ending_as_told(kind: SidecarKind, ending: Ending) -> Stage {
    let mut stage = Stage::with_sidecar(Some(kind)).with_old_pods();
    stage.client("mesh", true);
    stage.end("old-1", AT, ending, STAYS);
    stage
}

/// A 503 that the pod's own sidecar made, with the lines of both sides; `server`: its own, if it
/// was written.
fn answered(
    stage: &mut Stage,
    client: Client,
    sent: i64,
    end: i64,
    server: Option<Line<'_>>,
    body: &str,
) {
    let id = format!("i{sent}");
    let status = Outcome::Status {
        code: 503,
        grpc: None,
    };
    let request = stage.fail(sent, end - sent, status, RequestPhase::Body);
    request.request_id.clone_from(&id);
    request.response.body = Some(body.to_owned());
    request.response.server = Some("istio-envoy".to_owned());
    if client == Client::Meshed {
        request.client = "mesh".to_owned();
        let name = "x-envoy-upstream-service-time".to_owned();
        request.response.envoy.insert(name, "3".to_owned());
        let host = format!("{}:8080", address("old-1"));
        stage.client_line(&id, sent, end - sent, &host, Line::PASSED_ON);
    }
    if let Some(line) = server {
        stage.server_line("old-1", &id, sent, end - sent, line);
    }
}

/// The connection to the pod ended without an answer.
fn cut(stage: &mut Stage, client: Client, sent: i64, end: i64) {
    match client {
        Client::Plain => {
            let closed = transport(ErrorClass::Closed);
            let request = stage.fail(sent, end - sent, closed, RequestPhase::WaitHeaders);
            request.connection.kind = ConnectionKind::New;
        }
        Client::Meshed => behind_own(stage, sent, end, Line::CUT, CUT),
    }
}

/// The pod's address refused.
fn refused(stage: &mut Stage, client: Client, sent: i64) {
    match client {
        Client::Plain => stage.refused(sent),
        Client::Meshed => behind_own(stage, sent, sent + 60 * MILLI, Line::REFUSED, REFUSED),
    }
}

/// What the client's own sidecar answers.
fn behind_own(stage: &mut Stage, sent: i64, end: i64, line: Line<'_>, body: &str) {
    let id = format!("o{sent}");
    let status = Outcome::Status {
        code: 503,
        grpc: None,
    };
    let request = stage.fail(sent, end - sent, status, RequestPhase::Body);
    request.client = "mesh".to_owned();
    request.request_id.clone_from(&id);
    request.response.body = Some(body.to_owned());
    let host = format!("{}:8080", address("old-1"));
    stage.client_line(&id, sent, end - sent, &host, line);
}

/// Expects one cause for whichever client; nothing else may be proved.
fn expect(what: &str, stage: Stage, causes: &[Cause]) {
    assert_eq!(stage.causes(), causes, "{what}");
}

#[test]
fn an_app_that_left_its_proxy_behind_is_a_late_route() {
    for client in [Client::Plain, Client::Meshed] {
        for server in [Some(Line::REFUSED), None] {
            let mut stage = ending(SidecarKind::Classic, Ending::at_once());
            answered(
                &mut stage,
                client,
                AT + 100 * MILLI,
                AT + 130 * MILLI,
                server,
                REFUSED,
            );
            answered(
                &mut stage,
                client,
                AT + 4 * SECOND,
                AT + 4_030 * MILLI,
                server,
                REFUSED,
            );
            expect("app first", stage, &[Cause::EndpointPropagation; 2]);
        }
    }
}

#[test]
fn a_request_that_the_app_had_is_cut_by_its_end() {
    for kind in BOTH {
        for client in [Client::Plain, Client::Meshed] {
            for server in [Some(Line::CUT), None] {
                let ends = Ending {
                    app: (3 * SECOND, 0),
                    ..Ending::at_once()
                };
                let mut stage = ending(kind, ends);
                answered(
                    &mut stage,
                    client,
                    AT + SECOND,
                    AT + 3_005 * MILLI,
                    server,
                    CUT,
                );
                expect("app ended under it", stage, &[Cause::InFlightCut]);
            }
        }
    }
}

#[test]
fn a_proxy_that_leaves_first_cuts_and_refuses_until_its_app_ends() {
    let serves = Ending::serves_on();
    for client in [Client::Plain, Client::Meshed] {
        let mut stage = ending(SidecarKind::Classic, serves);
        cut(&mut stage, client, AT + SECOND, AT + 5_045 * MILLI);
        refused(&mut stage, client, AT + 7 * SECOND);
        expect("proxy first", stage, &[Cause::SidecarExitedFirst; 2]);

        let mut stage = ending(SidecarKind::Classic, serves);
        refused(&mut stage, client, AT + 12_400 * MILLI);
        expect("both gone", stage, &[Cause::EndpointPropagation]);
    }
    let mut stage = ending(SidecarKind::Classic, serves);
    let timeout = transport(ErrorClass::Timeout);
    stage.fail(AT + 13 * SECOND, 5 * SECOND, timeout, RequestPhase::Connect);
    expect("nobody there", stage, &[Cause::EndpointPropagation]);
}

#[test]
fn an_address_that_was_given_back_refuses_nobody() {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    let others = [("old-2", false, true, true)];
    stage.end("old-1", AT, Ending::at_once(), &others);
    stage.end("old-2", AT + 20 * MILLI, Ending::at_once(), &[]);
    stage.slice(AT + 9 * SECOND, &[("new-1", true, true, false)]);
    refused(&mut stage, Client::Plain, AT + 12 * SECOND);
    expect(
        "zero and back, late routes",
        stage,
        &[Cause::NoReadyEndpoint],
    );
}

#[test]
fn a_proxy_that_is_killed_after_its_app_cuts_what_came_too_late() {
    for client in [Client::Plain, Client::Meshed] {
        let killed = Ending {
            grace: 8 * SECOND,
            reacts: Some(5_020 * MILLI),
            app: (5_050 * MILLI, 0),
            proxy: (8_050 * MILLI, 137),
            ..Ending::at_once()
        };
        let mut stage = ending(SidecarKind::Classic, killed);
        answered(
            &mut stage,
            client,
            AT + 6 * SECOND,
            AT + 6_030 * MILLI,
            Some(Line::REFUSED),
            REFUSED,
        );
        cut(&mut stage, client, AT + 7_900 * MILLI, AT + 8_060 * MILLI);
        expect("proxy killed", stage, &[Cause::EndpointPropagation; 2]);
    }
}

#[test]
fn sigkill_of_both_is_told_by_what_the_app_said_before_it() {
    for (reacts, cause) in [
        (Some(30 * MILLI), Cause::GraceExceeded),
        (None, Cause::TermSignalUnhandled),
    ] {
        for client in [Client::Plain, Client::Meshed] {
            let killed = Ending {
                grace: 8 * SECOND,
                reacts,
                app: (8_050 * MILLI, 137),
                proxy: (8_070 * MILLI, 137),
                ..Ending::at_once()
            };
            let mut stage = ending(SidecarKind::Classic, killed);
            cut(&mut stage, client, AT + 2 * SECOND, AT + 8_060 * MILLI);
            expect("both killed", stage, &[cause]);

            let native = Ending {
                proxy: (8_100 * MILLI, 0),
                ..killed
            };
            let mut stage = ending(SidecarKind::Native, native);
            cut(&mut stage, client, AT + 2 * SECOND, AT + 8_095 * MILLI);
            expect("native, cut by the proxy", stage, &[cause]);

            let mut stage = ending(SidecarKind::Native, native);
            answered(
                &mut stage,
                client,
                AT + 2 * SECOND,
                AT + 8_055 * MILLI,
                None,
                CUT,
            );
            expect("native, told by the proxy", stage, &[cause]);
        }
    }
}

#[test]
fn an_app_that_is_killed_long_after_its_proxy_was_alone() {
    for reacts in [Some(30 * MILLI), None] {
        for client in [Client::Plain, Client::Meshed] {
            let killed = Ending {
                grace: 9 * SECOND,
                reacts,
                app: (9_050 * MILLI, 137),
                proxy: (5_040 * MILLI, 0),
                ..Ending::at_once()
            };
            let mut stage = ending(SidecarKind::Classic, killed);
            cut(&mut stage, client, AT + SECOND, AT + 5_045 * MILLI);
            refused(&mut stage, client, AT + 6 * SECOND);
            expect("app killed", stage, &[Cause::SidecarExitedFirst; 2]);
        }
    }
}

/// Facts 1.3, 1.4: a preStop hook uses the grace period up, at whose end the sidecar ends, and the app
/// has two seconds more.
#[test]
fn a_sidecar_that_the_grace_period_ended_left_first_where_its_app_was_given_more_time() {
    let (native, classic) = (SidecarKind::Native, SidecarKind::Classic);
    for (kind, proxy) in [(native, 0), (native, 137), (classic, 137)] {
        for app in [0, 137] {
            for client in [Client::Plain, Client::Meshed] {
                let what = format!("{kind:?} {proxy}, app {app}, {client:?}");
                let ends = Ending {
                    grace: 5 * SECOND,
                    reacts: Some(5_030 * MILLI),
                    app: (7_050 * MILLI, app),
                    proxy: (5_040 * MILLI, proxy),
                    ..Ending::at_once()
                };
                let mut stage = ending_as_told(kind, ends);
                cut(&mut stage, client, AT + SECOND, AT + 5_045 * MILLI);
                refused(&mut stage, client, AT + 6 * SECOND);
                expect(&what, stage, &[Cause::SidecarExitedFirst; 2]);

                let mut stage = ending_as_told(kind, ends);
                refused(&mut stage, client, AT + 7_400 * MILLI);
                expect(&what, stage, &[Cause::EndpointPropagation]);
            }
        }
    }
}

/// Ends that may have been one are none of a sidecar that left first.
#[test]
fn a_sidecar_that_may_have_gone_with_its_app_is_not_said_to_have_left_first() {
    for (kind, proxy) in [(SidecarKind::Native, 0), (SidecarKind::Classic, 137)] {
        let ends = Ending {
            grace: 5 * SECOND,
            reacts: Some(30 * MILLI),
            app: (5_200 * MILLI, 0),
            proxy: (5_040 * MILLI, proxy),
            ..Ending::at_once()
        };
        let mut stage = ending_as_told(kind, ends);
        refused(&mut stage, Client::Plain, AT + 5_100 * MILLI);
        let found = stage.causes();
        assert_ne!(found, [Cause::SidecarExitedFirst], "{kind:?} {proxy}");
    }
}

#[test]
fn a_native_sidecar_that_is_gone_with_its_app_is_a_late_route() {
    for client in [Client::Plain, Client::Meshed] {
        let mut stage = ending(SidecarKind::Native, Ending::at_once());
        refused(&mut stage, client, AT + 400 * MILLI);
        expect("native", stage, &[Cause::EndpointPropagation]);
    }
}

#[test]
fn an_answer_of_the_app_behind_its_proxy_is_a_refusal_while_it_shuts_down() {
    for kind in BOTH {
        for client in [Client::Plain, Client::Meshed] {
            for server in [Some(Line::PASSED_ON), None] {
                let refuses = Ending {
                    reacts: Some(30 * MILLI),
                    app: (4 * SECOND, 0),
                    ..Ending::at_once()
                };
                let mut stage = ending(kind, refuses);
                answered(
                    &mut stage,
                    client,
                    AT + 2 * SECOND,
                    AT + 2_003 * MILLI,
                    server,
                    "shutting down",
                );
                expect("refuses", stage, &[Cause::ShutdownRefusal]);
            }
        }
    }
}

#[test]
fn a_crash_behind_a_proxy_is_no_termination() {
    for (code, reason) in [(3, "Error"), (137, "OOMKilled"), (0, "Completed")] {
        for kind in BOTH {
            for client in [Client::Plain, Client::Meshed] {
                for lines in [true, false] {
                    let mut stage = Stage::with_sidecar(Some(kind)).with_old_pods();
                    stage.client("mesh", true);
                    stage.crash("old-1", AT, code, reason);
                    let line = |line| lines.then_some(line);
                    answered(
                        &mut stage,
                        client,
                        AT - SECOND,
                        AT + 5 * MILLI,
                        line(Line::CUT),
                        CUT,
                    );
                    answered(
                        &mut stage,
                        client,
                        AT + 300 * MILLI,
                        AT + 330 * MILLI,
                        line(Line::REFUSED),
                        REFUSED,
                    );
                    expect(reason, stage, &[Cause::ContainerCrashed; 2]);
                }
            }
        }
    }
}

#[test]
fn a_pooled_connection_that_an_idle_app_closed_is_stale() {
    for kind in BOTH {
        for client in [Client::Plain, Client::Meshed] {
            let mut stage = Stage::with_sidecar(Some(kind)).with_old_pods();
            stage.client("mesh", true);
            answered(&mut stage, client, AT, AT + MILLI, Some(Line::CUT), CUT);
            let found = stage.explain();
            assert_eq!(found.failures[0].cause, Cause::StaleConnection);
            assert_ne!(found.failures[0].confidence, Confidence::Proved);
        }
    }
}

/// What cut a kept connection to a pod that was being deleted, its proxy and its app alive, is open.
#[test]
fn a_pod_that_is_being_deleted_is_not_said_to_close_idle_connections_by_itself() {
    for (deleted, cause) in [(true, Cause::Unexplained), (false, Cause::StaleConnection)] {
        let lives = Ending {
            proxy: (10 * SECOND, 0),
            ..Ending::serves_on()
        };
        let mut stage = if deleted {
            ending(SidecarKind::Classic, lives)
        } else {
            let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
            stage.client("mesh", true);
            stage
        };
        let sent = AT + 5_050 * MILLI;
        behind_own(&mut stage, sent, sent + 49 * MILLI, Line::CUT, CUT);
        let found = stage.explain().failures.remove(0);
        assert_eq!(found.cause, cause, "deleted: {deleted}");
        assert_ne!(found.confidence, Confidence::Proved, "deleted: {deleted}");
    }
}

/// Facts 4.4: what a proxy resets by itself is the end of a hop, with its line and without.
#[test]
fn a_stream_that_a_proxy_reset_itself_is_the_end_of_the_hop_behind_it() {
    for reason in ["local reset", "local refused stream reset"] {
        let body = format!("{}{reason}", CUT.trim_end_matches("connection termination"));
        let details = format!(
            "upstream_reset_before_response_started{{{}}}",
            reason.replace(' ', "_")
        );
        let line = Line {
            flags: "LR",
            details: &details,
            ..Line::CUT
        };
        let (sent, under, ends) = (AT + SECOND, AT + 5_045 * MILLI, Ending::serves_on());
        let mut stage = ending(SidecarKind::Classic, ends);
        behind_own(&mut stage, sent, under, line, &body);
        expect(reason, stage, &[Cause::SidecarExitedFirst]);

        let app = Ending {
            app: (3 * SECOND, 0),
            ..Ending::at_once()
        };
        for server in [Some(line), None] {
            let mut stage = ending(SidecarKind::Classic, app);
            let under = AT + 3_005 * MILLI;
            answered(&mut stage, Client::Plain, sent, under, server, &body);
            expect(reason, stage, &[Cause::InFlightCut]);
        }

        let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
        stage.client("mesh", true);
        behind_own(&mut stage, AT, AT + 2 * SECOND, line, &body);
        let found = stage.explain().failures.remove(0);
        assert_eq!(
            found.cause,
            Cause::Unexplained,
            "{reason}: nobody ended, nobody gave up"
        );
    }
}
