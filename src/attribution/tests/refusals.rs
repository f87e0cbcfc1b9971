//! Who refuses: a pod that ended, for as long as its sandbox stays; a container that crashed; nobody,
//! where nobody is left?

use super::Cause;
use super::stage::{AT, Ending, MILLI, SECOND, STAYS, Stage, both, fine_stamp, stamp, transport};
use crate::evidence::{Change, ErrorClass, RequestPhase, Resource};
use serde_json::json;

fn vanished(stage: &mut Stage, sent: i64) {
    let timeout = transport(ErrorClass::Timeout);
    stage.fail(sent, 5 * SECOND, timeout, RequestPhase::Connect);
}

#[test]
fn a_line_of_something_else_does_not_end_a_crash() {
    for line in [
        "metrics server listening on :9113",
        "connection pool ready, 8 connections",
    ] {
        // It is started again a second after its end, and listens half a second later.
        let mut stage = Stage::new().with_old_pods();
        stage.crash("old-1", AT, 3, "Error");
        stage.log("old-1", "app", AT + 1_050 * MILLI, line);
        for part in 0..5 {
            stage.refused(AT + 1_150 * MILLI + part * 60 * MILLI);
        }
        assert_eq!(stage.causes(), [Cause::ContainerCrashed; 5], "{line}");
    }
}

#[test]
fn a_pod_refuses_nobody_once_its_object_is_gone() {
    for (after, cause) in [(800, Cause::EndpointPropagation), (950, Cause::Unexplained)] {
        let mut stage = Stage::new().with_old_pods();
        stage.end("old-1", AT, Ending::at_once(), STAYS);
        stage.refused(AT + after * MILLI);
        assert_eq!(stage.causes(), [cause], "{after}");
    }
}

#[test]
fn a_second_container_keeps_the_sandbox_of_an_app_that_ended() {
    for (second, cause) in [
        (true, Cause::EndpointPropagation),
        (false, Cause::Unexplained),
    ] {
        let mut stage = Stage::new().with_old_pods();
        let began = stamp(-60 * SECOND);
        let going = ("old-1", false, true, true);
        stage.slice(AT + 50 * MILLI, &[("old-2", true, true, false), going]);
        let over = |at: i64| {
            json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": began,
                "finishedAt": stamp(at)}})
        };
        let mut state = stage.pod("old-1", over(AT + 20 * MILLI), Some((AT, 30)), false);
        if second {
            let containers = state["spec"]["containers"].as_array_mut();
            containers.expect("a list").push(json!({"name": "shipper"}));
            let statuses = state["status"]["containerStatuses"].as_array_mut();
            let running = json!({"name": "shipper", "state": {"running": {"startedAt": began}}});
            statuses.expect("a list").push(running);
        }
        stage.object(
            AT + 300 * MILLI,
            Resource::Pods,
            Change::Modified,
            state.clone(),
        );
        if second {
            state["status"]["containerStatuses"][1]["state"] = over(AT + 5 * SECOND);
            stage.object(
                AT + 5_300 * MILLI,
                Resource::Pods,
                Change::Modified,
                state.clone(),
            );
        }
        stage.object(AT + 6 * SECOND, Resource::Pods, Change::Deleted, state);
        stage.refused(AT + 3 * SECOND);
        assert_eq!(stage.causes(), [cause], "second: {second}");
    }
}

/// Nobody is ready from a moment after [`AT`] on; a pod that comes then is deleted soon.
fn nobody_for_a_while() -> Stage {
    let mut stage = Stage::new().with_old_pods();
    stage.die("old-1", AT, Ending::at_once());
    stage.die("old-2", AT + 10 * MILLI, Ending::at_once());
    stage.slice(AT + 50 * MILLI, &both((false, false, true)));
    stage.slice(AT + 400 * MILLI, &[]);
    let running = json!({"running": {"startedAt": stamp(AT + SECOND)}});
    let new = stage.pod("new-1", running, None, true);
    stage.object(AT + SECOND, Resource::Pods, Change::Added, new);
    stage.slice(AT + 2 * SECOND, &[("new-1", true, true, false)]);
    stage.end("new-1", AT + 3 * SECOND, Ending::at_once(), &[]);
    stage
}

#[test]
fn an_address_that_is_gone_later_tells_nothing_of_earlier_routes() {
    for (later, cause) in [
        (3_500, Cause::NoReadyEndpoint),
        (1_200, Cause::EndpointPropagation),
    ] {
        let mut stage = nobody_for_a_while();
        stage.refused(AT + 700 * MILLI);
        vanished(&mut stage, AT + later * MILLI);
        assert_eq!(stage.causes()[0], cause, "{later}");
    }
}

#[test]
fn routes_follow_a_change_that_comes_alone_at_once() {
    for (before, after, cause) in [
        (None, 100, Cause::ContainerCrashed),
        (None, 400, Cause::NoReadyEndpoint),
        (None, 900, Cause::NoReadyEndpoint),
        (Some(500), 400, Cause::ContainerCrashed),
    ] {
        let mut stage = Stage::new().with_old_pods();
        let alone = [("old-1", true, true, false)];
        stage.slice(SECOND, &alone);
        if let Some(before) = before {
            stage.slice(AT - before * MILLI, &alone);
        }
        stage.crash("old-1", AT, 3, "Error");
        stage.slice(AT + 150 * MILLI, &[("old-1", false, false, false)]);
        stage.refused(AT + after * MILLI);
        assert_eq!(stage.causes(), [cause], "{before:?} {after}");
    }
}

#[test]
fn a_crash_is_no_earlier_than_the_last_sign_of_life() {
    // `old-2` is deleted and ends at 300 ms; `old-1` crashes at 800 ms, of which the stamp tells the
    // second only.
    for (refused, line, answers, cause) in [
        (320, None, None, Cause::EndpointPropagation),
        (600, None, None, Cause::ContainerCrashed),
        (600, Some(750), None, Cause::EndpointPropagation),
        (600, None, Some(750), Cause::EndpointPropagation),
        (950, Some(750), Some(700), Cause::ContainerCrashed),
    ] {
        let mut stage = Stage::new().with_old_pods();
        let others = [("old-1", true, true, false)];
        let ending = Ending {
            reacts: Some(10 * MILLI),
            ..Ending::at_once()
        };
        stage.end("old-2", AT + 280 * MILLI, ending, &others);
        // The node's clock is known to a tenth of a second or two.
        let lease = json!({"metadata": {"name": "node1", "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": "node1", "renewTime": fine_stamp(AT, 6)}});
        stage.object(AT + MILLI, Resource::Leases, Change::Modified, lease);
        stage.crash("old-1", AT + 800 * MILLI, 3, "Error");
        if let Some(line) = line {
            stage.log("old-1", "app", AT + line * MILLI, "GET / 200");
        }
        if let Some(until) = answers {
            stage.answers("local", AT, AT + until * MILLI, 10, &["old-1"]);
        }
        stage.refused(AT + refused * MILLI);
        assert_eq!(stage.causes(), [cause], "{refused} {line:?} {answers:?}");
    }
}
