//! New pods that are in the routes before they listen, while an old one dies.

use super::stage::{AT, Ending, MILLI, SECOND, STAYS, Stage, both, stamp};
use super::{Cause, Confidence, SidecarKind};
use crate::evidence::{Blindness, Change, EventKind, Resource, RunOffset};
use serde_json::json;

/// Two new pods without a probe are ready at once and listen seconds later, while `old-1` dies.
pub(super) fn new_pods(probe: bool, listens: &[(&str, i64)]) -> Stage {
    let mut stage = Stage::new();
    stage.probe = probe;
    let mut stage = stage.with_old_pods();
    let mut listed = vec![("old-1", true, true, false), ("old-2", true, true, false)];
    for (index, (name, listens)) in listens.iter().enumerate() {
        let at = AT - SECOND + index as i64 * 100 * MILLI;
        let new = stage.pod(
            name,
            json!({"running": {"startedAt": stamp(at)}}),
            None,
            true,
        );
        stage.object(at, Resource::Pods, Change::Added, new);
        listed.push((name, true, true, false));
        stage.slice(at + 40 * MILLI, &listed);
        stage.log(name, "app", *listens, "listening on :8080");
    }
    stage
}

#[test]
fn a_new_pod_that_refuses_while_an_old_one_dies_is_the_likelier_one() {
    for probe in [false, true] {
        let mut stage = new_pods(
            probe,
            &[("new-1", AT + 3 * SECOND), ("new-2", AT + 3 * SECOND)],
        );
        let others = [
            ("old-2", true, true, false),
            ("new-1", true, true, false),
            ("new-2", true, true, false),
        ];
        let drains = Ending {
            reacts: Some(30 * MILLI),
            app: (2 * SECOND, 0),
            ..Ending::at_once()
        };
        stage.end("old-1", AT, drains, &others);
        for tenth in 0..25 {
            stage.refused(AT + 300 * MILLI + tenth * 100 * MILLI);
        }
        let found = stage.explain();
        for failure in &found.failures {
            assert_eq!(failure.cause, Cause::NewPodNotReady, "probe: {probe}");
            assert_ne!(failure.confidence, Confidence::Proved);
            assert_eq!(failure.pod, None);
        }
    }
}

#[test]
fn a_new_pod_that_slow_routes_have_not_reached_refuses_nobody() {
    // Nobody is refused for seconds, then for half a second when `old-1` ends, then nobody again.
    let mut stage = new_pods(false, &[("new-1", AT + 8 * SECOND)]);
    let others = [("old-2", true, true, false), ("new-1", true, true, false)];
    let hooked = Ending {
        reacts: Some(5 * SECOND),
        app: (5_050 * MILLI, 0),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, hooked, &others);
    stage.answers("local", 0, AT + 5 * SECOND, 40, &["old-1", "old-2"]);
    stage.answers("local", AT + 5 * SECOND, AT + 10 * SECOND, 40, &["old-2"]);
    for tenth in 1..5 {
        stage.refused(AT + 5 * SECOND + tenth * 100 * MILLI);
    }
    assert_eq!(stage.causes(), [Cause::EndpointPropagation; 4]);
}

#[test]
fn a_pod_that_accepted_and_was_not_chosen_any_more_is_not_blamed() {
    // `old-1` accepts until its signal, and answers nobody from a second after its deletion on.
    let mut stage = new_pods(false, &[("new-1", AT + 9 * SECOND)]);
    let others = [("old-2", true, true, false), ("new-1", true, true, false)];
    let hooked = Ending {
        reacts: Some(5 * SECOND),
        app: (6 * SECOND, 0),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, hooked, &others);
    stage.answers("local", 0, AT + SECOND, 40, &["old-1", "old-2"]);
    stage.answers("local", AT + SECOND, AT + 10 * SECOND, 40, &["old-2"]);
    for tenth in 0..80 {
        stage.refused(AT + 200 * MILLI + tenth * 100 * MILLI);
    }
    let found = stage.explain();
    let late = found
        .failures
        .iter()
        .filter(|failure| failure.cause != Cause::NewPodNotReady);
    assert_eq!(late.count(), 0);
}

/// `old-1` is deleted at [`AT`] with a hook of 4 s and ends after it, and somebody is refused.
fn hooked(failed: bool, refused: i64) -> Stage {
    let mut stage = Stage::new();
    stage.hook = 4;
    let mut stage = stage.with_old_pods();
    let after = Ending {
        app: (4_020 * MILLI, 0),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, after, STAYS);
    if failed {
        let event = json!({"involvedObject": {"kind": "Pod", "uid": "old-1", "name": "old-1",
                "fieldPath": "spec.containers{app}"},
            "reason": "FailedPreStopHook", "message": "PreStopHook failed",
            "lastTimestamp": stamp(AT), "source": {"component": "kubelet", "host": "node1"}});
        stage.object(AT + 50 * MILLI, Resource::Events, Change::Added, event);
    }
    stage.refused(AT + refused);
    stage
}

#[test]
fn an_app_accepts_until_its_hook_has_slept() {
    for (failed, refused, cause) in [
        (false, SECOND, Cause::Unexplained),
        (false, 3_300 * MILLI, Cause::Unexplained),
        (false, 4_100 * MILLI, Cause::EndpointPropagation),
        (true, SECOND, Cause::EndpointPropagation),
    ] {
        let found = hooked(failed, refused).causes();
        assert_eq!(found, [cause], "failed: {failed}, at {refused}");
    }
}

#[test]
fn refusals_while_a_hook_sleeps_are_of_new_pods_without_a_probe() {
    // Its first answer is all that tells when the new pod listens.
    let mut stage = Stage::new();
    (stage.probe, stage.hook) = (false, 4);
    let mut stage = stage.with_old_pods();
    let running = json!({"running": {"startedAt": stamp(AT - SECOND)}});
    let new = stage.pod("new-1", running, None, true);
    stage.object(AT - SECOND, Resource::Pods, Change::Added, new);
    let others = [("old-2", true, true, false), ("new-1", true, true, false)];
    let mut listed = others.to_vec();
    listed.push(("old-1", true, true, false));
    stage.slice(AT - 900 * MILLI, &listed);
    let drains = Ending {
        app: (6 * SECOND, 0),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, drains, &others);
    for tenth in 0..30 {
        stage.refused(AT + 100 * MILLI + tenth * 100 * MILLI);
    }
    let answers = AT + 3_500 * MILLI;
    stage.answers("local", answers, answers + 300 * MILLI, 20, &["new-1"]);
    assert_eq!(stage.causes(), [Cause::NewPodNotReady; 30]);
}

/// `new-1` comes at [`AT`] and is ready at three seconds; a sidecar of its name says so, if its log was
/// seen. The Service publishes the pod at once, or as usual. Somebody is refused.
fn behind_a_sidecar(kind: SidecarKind, early: bool, says: Option<i64>, refused: i64) -> Stage {
    let mut stage = Stage::with_sidecar(Some(kind)).with_old_pods();
    let running = || json!({"running": {"startedAt": stamp(AT)}});
    let new = stage.pod("new-1", running(), None, false);
    stage.object(AT, Resource::Pods, Change::Added, new);
    let ready = stage.pod("new-1", running(), None, true);
    stage.object(AT + 3 * SECOND, Resource::Pods, Change::Modified, ready);
    let published = AT + if early { 40 * MILLI } else { 3_040 * MILLI };
    let all = ["old-1", "old-2", "new-1"].map(|name| (name, true, true, false));
    stage.slice(published, &all);
    stage.log("new-1", "app", AT + 200 * MILLI, "listening on :8080");
    if let Some(says) = says {
        stage.agent("new-1", AT + says, "Envoy proxy is ready");
    }
    stage.refused(AT + refused);
    stage
}

/// Facts 3.2: a sidecar's own probe keeps its pod out of the routes, save where the Service has
/// `publishNotReadyAddresses`.
#[test]
fn a_sidecar_that_is_not_up_yet_refuses_where_its_pod_is_in_the_routes_already() {
    for kind in [SidecarKind::Classic, SidecarKind::Native] {
        let own = Some(2 * SECOND);
        // A pod of a StatefulSet writes into the log of its predecessor.
        let predecessor = Some(-5 * SECOND);
        for (early, says, refused, cause) in [
            (true, own, SECOND, Cause::NewPodNotReady),
            (true, None, SECOND, Cause::NewPodNotReady),
            (true, predecessor, SECOND, Cause::NewPodNotReady),
            (true, own, 2_500 * MILLI, Cause::Unexplained),
            (false, own, SECOND, Cause::Unexplained),
            (false, None, SECOND, Cause::Unexplained),
        ] {
            let found = behind_a_sidecar(kind, early, says, refused).explain();
            let failure = &found.failures[0];
            assert_eq!(failure.cause, cause, "{kind:?} {early} {says:?} {refused}");
            assert_ne!(failure.confidence, Confidence::Proved);
        }
    }
}

/// The watch was away while `new-1` became ready, and lost nothing.
#[test]
fn a_readiness_that_was_delivered_late_is_no_early_route() {
    for (resumed, cause) in [(false, Cause::NewPodNotReady), (true, Cause::Unexplained)] {
        let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
        let running = || json!({"running": {"startedAt": stamp(AT)}});
        let new = stage.pod("new-1", running(), None, false);
        stage.object(AT, Resource::Pods, Change::Added, new);
        stage.slice(
            AT + 3_040 * MILLI,
            &["old-1", "old-2", "new-1"].map(|name| (name, true, true, false)),
        );
        if resumed {
            let gap = Blindness {
                what: "pods".to_owned(),
                from: Some(RunOffset(AT + 2_900 * MILLI)),
                to: Some(RunOffset(AT + 4_900 * MILLI)),
                reason: "the watch was away".to_owned(),
                uids: None,
                resumed,
            };
            stage.at(AT + 4_900 * MILLI, EventKind::Blind(gap));
        }
        let ready = stage.pod("new-1", running(), None, true);
        stage.object(AT + 5 * SECOND, Resource::Pods, Change::Modified, ready);
        stage.refused(AT + 3_500 * MILLI);
        assert_eq!(stage.causes(), [cause], "{resumed}");
    }
}

#[test]
fn a_line_of_something_else_does_not_end_the_start_of_a_pod() {
    let early = [
        None,
        Some("metrics server listening on :9113"),
        Some("connection pool ready, 8 connections"),
        Some("running migrations on the orders database at db:5432"),
    ];
    for line in early {
        for named in [true, false] {
            let mut stage = Stage::new();
            stage.probe = false;
            let mut stage = stage.with_old_pods();
            let running = json!({"running": {"startedAt": stamp(AT)}});
            let new = stage.pod("new-1", running, None, true);
            stage.object(AT, Resource::Pods, Change::Added, new);
            let mut listed = both((true, true, false)).to_vec();
            listed.push(("new-1", true, true, false));
            stage.slice(AT + 40 * MILLI, &listed);
            if let Some(line) = line {
                stage.log("new-1", "app", AT + 100 * MILLI, line);
            }
            if named {
                let own = "listening on :8080";
                stage.log("new-1", "app", AT + 4 * SECOND, own);
            }
            for tenth in 3..35 {
                stage.refused(AT + tenth * 100 * MILLI);
            }
            let answers = AT + 4_050 * MILLI;
            stage.answers("local", answers, answers + SECOND, 20, &["new-1"]);
            let causes = stage.causes();
            assert_eq!(causes, [Cause::NewPodNotReady; 32], "{line:?} {named}");
        }
    }
}

/// `old-1` ends at once; `new-1` is in the routes since long and answers a little later.
fn beside_a_new_pod(probe: bool) -> Stage {
    let mut stage = new_pods(probe, &[]);
    let running = json!({"running": {"startedAt": stamp(AT - 8 * SECOND)}});
    let new = stage.pod("new-1", running, None, true);
    stage.object(AT - 8 * SECOND, Resource::Pods, Change::Added, new);
    let others = [("old-2", true, true, false), ("new-1", true, true, false)];
    let mut listed = others.to_vec();
    listed.push(("old-1", true, true, false));
    stage.slice(AT - 7_900 * MILLI, &listed);
    stage.end("old-1", AT, Ending::at_once(), &others);
    stage.answers("local", AT + 200 * MILLI, AT + SECOND, 40, &["new-1"]);
    stage.refused(AT + 80 * MILLI);
    stage
}

#[test]
fn nothing_is_proved_while_a_new_pod_without_a_probe_may_not_listen() {
    for (probe, confidence) in [(true, Confidence::Proved), (false, Confidence::Consistent)] {
        let found = beside_a_new_pod(probe).explain();
        let failure = &found.failures[0];
        assert_eq!(failure.cause, Cause::EndpointPropagation);
        assert_eq!(failure.confidence, confidence, "probe: {probe}");
        let texts = failure.evidence.iter().map(|evidence| &evidence.text);
        let told = texts.filter(|text| text.contains("readiness probe has succeeded"));
        assert_eq!(told.count(), usize::from(probe), "probe: {probe}");
    }
}

#[test]
fn a_new_release_that_answers_500_to_everything_is_excused_by_no_control() {
    let mut stage = new_pods(true, &[("new-1", AT), ("new-2", AT)]);
    for second in 0..10 {
        stage.counts(second, 100, 0);
    }
    for second in 13..20 {
        stage.counts(second, 90, 10);
        for part in 0..10 {
            let at = second * SECOND + part * 90 * MILLI;
            let answered = stage.status(at, 500, "panic", "app");
            answered.response.pod = Some("new-1".to_owned());
        }
    }
    let found = stage.explain();
    assert_eq!(found.failures.len(), 70);
    for failure in &found.failures {
        assert_eq!(failure.cause, Cause::ApplicationError);
        assert!(!failure.as_in_control);
    }
}
