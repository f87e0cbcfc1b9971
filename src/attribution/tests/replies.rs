//! Whose answer is a 5xx: the app's own as ever, the app's that shuts down, or a proxy's (facts C9,
//! 4.4, 9.11)?

use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage, address, stamp};
use super::{Attribution, Cause, Confidence};
use crate::evidence::{Change, Resource};
use serde_json::json;

/// An app that says 503 because it is busy, as often after the disruption as before it, while
/// `old-1` shuts down for six seconds.
fn busy() -> Stage {
    let mut stage = Stage::new().with_old_pods();
    for second in 0..20 {
        stage.counts(second, 49, 1);
        let sent = second * SECOND + 300 * MILLI;
        answers(
            &mut stage,
            sent,
            "old-2",
            &format!("busy, {second} in line"),
        );
    }
    let drains = Ending {
        reacts: Some(30 * MILLI),
        app: (6 * SECOND, 0),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, drains, STAYS);
    stage
}

fn answers(stage: &mut Stage, at: i64, pod: &str, body: &str) {
    let request = stage.status(at, 503, body, "app");
    request.response.pod = Some(pod.to_owned());
}

fn of<'f>(found: &'f [Attribution], pod: &str) -> Vec<&'f Attribution> {
    let named = |one: &&Attribution| one.pod.as_deref() == Some(pod);
    found.iter().filter(named).collect()
}

#[test]
fn a_refusal_is_not_excused_by_errors_of_the_same_code_that_say_something_else() {
    let mut stage = busy();
    for after in [2_000, 3_000, 4_000] {
        answers(&mut stage, AT + after * MILLI, "old-1", "shutting down");
    }
    let found = stage.explain().failures;
    let refused = of(&found, "old-1");
    assert_eq!(refused.len(), 3);
    for failure in refused {
        assert_eq!(failure.cause, Cause::ShutdownRefusal);
        assert!(!failure.as_in_control);
    }
    for failure in of(&found, "old-2") {
        assert_eq!(failure.cause, Cause::ApplicationError);
        assert_eq!(failure.confidence, Confidence::Proved);
        assert!(failure.as_in_control);
    }
}

#[test]
fn an_error_as_ever_of_a_pod_that_is_being_deleted_is_never_proved_to_be_one() {
    let mut stage = busy();
    answers(&mut stage, AT + 2 * SECOND, "old-1", "busy, 9 in line");
    let found = stage.explain().failures;
    let own = of(&found, "old-1");
    assert_eq!(own[0].cause, Cause::ApplicationError);
    assert_eq!(own[0].confidence, Confidence::Consistent);
}

/// So often before the disruption, so often since and so often of `old-1` that has been told to end,
/// an app says "no luck", of 500 requests before and since.
fn no_luck(before: i64, since: i64, told: i64) -> Stage {
    let mut stage = Stage::new().with_old_pods();
    for second in 0..20 {
        let failed = if second < 10 { before } else { since + told };
        stage.counts(second, 50 - failed as u64 / 10, failed as u64 / 10);
    }
    for (from, many, pod) in [
        (0, before, "old-2"),
        (10 * SECOND, since, "old-2"),
        (AT + SECOND, told, "old-1"),
    ] {
        let room = if pod == "old-1" { 5 } else { 10 } * SECOND;
        for one in 0..many {
            answers(&mut stage, from + room / many * one, pod, "no luck");
        }
    }
    let drains = Ending {
        reacts: Some(30 * MILLI),
        app: (7 * SECOND, 0),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, drains, STAYS);
    stage
}

#[test]
fn what_only_pods_answer_that_were_told_to_end_is_excused_by_no_baseline() {
    for (before, since, told, excused, why) in [
        (1, 0, 1, false, "no living pod answers so any more"),
        (1, 0, 20, false, "nor where the rollout has twenty"),
        (30, 0, 20, false, "nor where the baseline had more"),
        (30, 30, 20, false, "living pods answer so less often"),
        (
            10,
            10,
            2,
            true,
            "as often as living pods as far as anything tells",
        ),
    ] {
        let mut stage = no_luck(before, since, told);
        stage.answers("local", AT, AT + SECOND, 100, &["old-1"]);
        let found = stage.explain().failures;
        let refused = of(&found, "old-1");
        assert_eq!(refused.len() as i64, told);
        for failure in refused {
            let cause = if excused {
                Cause::ApplicationError
            } else {
                Cause::ShutdownRefusal
            };
            assert_eq!(
                failure.as_in_control, excused,
                "{before} {since} {told}: {why}"
            );
            assert_eq!(failure.cause, cause, "{before} {since} {told}: {why}");
            assert_ne!(failure.confidence, Confidence::Proved);
        }
        for failure in of(&found, "old-2") {
            assert!(failure.as_in_control, "{before} {since} {told}");
            assert_eq!(failure.confidence, Confidence::Proved);
        }
    }
}

#[test]
fn one_error_in_the_baseline_excuses_no_several_later() {
    for (since, excused) in [(1, true), (2, false), (5, false)] {
        let found = no_luck(1, since, 0).explain().failures;
        for failure in found.iter().skip(1) {
            assert_eq!(failure.cause, Cause::ApplicationError);
            assert_eq!(failure.as_in_control, excused, "{since}");
        }
    }
}

/// `old-1` has a hook that sleeps for four seconds, and ends two seconds after its signal; it answers
/// so at that time after its deletion.
fn hooked(after: i64, code: u16, failed: bool) -> Cause {
    let mut stage = Stage::new();
    stage.hook = 4;
    let mut stage = stage.with_old_pods();
    let drains = Ending {
        app: (6 * SECOND, 0),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, drains, STAYS);
    if failed {
        let event = json!({"involvedObject": {"kind": "Pod", "uid": "old-1", "name": "old-1",
                "fieldPath": "spec.containers{app}"},
            "reason": "FailedPreStopHook", "message": "PreStopHook failed",
            "lastTimestamp": stamp(AT), "source": {"component": "kubelet", "host": "node1"}});
        stage.object(AT + 60 * MILLI, Resource::Events, Change::Added, event);
    }
    let request = stage.status(AT + after, code, "no", "app");
    request.response.pod = Some("old-1".to_owned());
    stage.causes()[0]
}

#[test]
fn an_app_refuses_only_once_it_was_told_to_end() {
    for code in [500, 503] {
        for (after, failed, cause) in [
            (SECOND, false, Cause::ApplicationError),
            (3 * SECOND, false, Cause::ApplicationError),
            (5 * SECOND, false, Cause::ShutdownRefusal),
            (SECOND, true, Cause::ShutdownRefusal),
        ] {
            assert_eq!(
                hooked(after, code, failed),
                cause,
                "{code} {after} {failed}"
            );
        }
    }
}

/// A 5xx that a meshed client got while `old-1` shut down.
fn meshed(code: u16, body: &str, line: Option<Line<'_>>, served: bool, pod: bool) -> Attribution {
    let mut stage = Stage::new().with_old_pods();
    stage.client("mesh", true);
    let drains = Ending {
        reacts: Some(30 * MILLI),
        app: (6 * SECOND, 0),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, drains, STAYS);
    let request = stage.status(AT + SECOND, code, body, "envoy");
    request.client = "mesh".to_owned();
    request.request_id = "own".to_owned();
    request.response.pod = pod.then(|| "old-1".to_owned());
    if served {
        let name = "x-envoy-upstream-service-time".to_owned();
        request.response.envoy.insert(name, "3".to_owned());
    }
    if let Some(line) = line {
        let host = format!("{}:8080", address("old-1"));
        stage.client_line("own", AT + SECOND, 3 * MILLI, &host, line);
    }
    stage.explain().failures.remove(0)
}

#[test]
fn what_the_client_s_own_proxy_answers_is_no_refusal_of_an_app() {
    let own = |flags, details| Line {
        code: 503,
        flags,
        details,
        answered: false,
        local: "-",
    };
    for (code, body, line, cause) in [
        (
            503,
            "local_rate_limited",
            own("RL", "local_rate_limited"),
            Cause::MeshConfig,
        ),
        (
            500,
            "",
            own("RLSE", "rate_limiter_error"),
            Cause::MeshConfig,
        ),
        (
            503,
            "DNS resolution failure",
            own("DF", "dns_resolution_failure"),
            Cause::MeshConfig,
        ),
        (
            503,
            "no such luck",
            own("-", "lua_response"),
            Cause::MeshConfig,
        ),
        (
            503,
            "envoy overloaded",
            own("OM", "overload"),
            Cause::ProxyOverload,
        ),
    ] {
        for line in [Some(line), None] {
            let found = meshed(code, body, line, false, false);
            assert_eq!(found.cause, cause, "{body}, logged: {}", line.is_some());
        }
    }
}

#[test]
fn an_app_s_answer_that_came_without_a_service_time_is_still_the_app_s() {
    let bare = Line {
        answered: false,
        ..Line::PASSED_ON
    };
    for (what, line, served, pod) in [
        ("with its time", None, true, false),
        ("the line says so", Some(bare), false, false),
        ("it names its pod", None, false, true),
    ] {
        let found = meshed(503, "shutting down", line, served, pod);
        assert_eq!(found.cause, Cause::ShutdownRefusal, "{what}");
    }
    let found = meshed(503, "shutting down", None, false, false);
    assert_ne!(found.confidence, Confidence::Proved, "only a lack says so");
}
