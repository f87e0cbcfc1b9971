//! A Service's own rules say whom a client can have been sent to, and what it tells to meet nobody.

use super::stage::{AT, Ending, MILLI, SECOND, Stage, stamp, transport};
use super::{Cause, Confidence};
use crate::evidence::{Change, ErrorClass, RequestPhase, Resource};
use serde_json::{Value, json};

pub(super) const fn ready(name: &str) -> (&str, bool, bool, bool) {
    (name, true, true, false)
}

const fn going(name: &str) -> (&str, bool, bool, bool) {
    (name, false, true, true)
}

fn new(stage: &mut Stage, name: &str, at: i64, listens: i64) {
    let running = json!({"running": {"startedAt": stamp(at)}});
    let pod = stage.pod(name, running, None, true);
    stage.object(at, Resource::Pods, Change::Added, pod);
    stage.log(name, "app", listens, "listening on :8080");
}

/// A connect that nobody answered.
pub(super) fn unanswered(stage: &mut Stage, at: i64) {
    let timeout = transport(ErrorClass::Timeout);
    stage.fail(at, 5 * SECOND, timeout, RequestPhase::Connect);
}

/// What was said of each failure.
pub(super) fn said(stage: Stage) -> Vec<(Cause, Confidence)> {
    let found = stage.explain();
    let failures = found.failures.iter();
    failures.map(|one| (one.cause, one.confidence)).collect()
}

#[test]
fn with_an_affinity_it_tells_nothing_to_meet_no_other_pod() {
    // The client was kept with `old-1`, then with `old-2`, which goes first. Its routes lead it back to
    // `old-1`, which has ended by then, until they leave that one as well.
    let staged = |affinity: &str| {
        let mut stage = Stage::new();
        (stage.probe, stage.hook) = (false, 4);
        let mut stage = stage.with_old_pods();
        stage.serve(json!({"sessionAffinity": affinity}));
        new(&mut stage, "new-1", AT + SECOND, AT + 9 * SECOND);
        new(&mut stage, "new-2", AT + SECOND, AT + 1_100 * MILLI);
        let hooked = Ending {
            reacts: Some(4_010 * MILLI),
            app: (4_020 * MILLI, 0),
            ..Ending::at_once()
        };
        stage.die("old-2", AT, Ending::at_once());
        stage.die("old-1", AT + 200 * MILLI, hooked);
        for (after, listed) in [
            (50, vec![going("old-2"), ready("old-1")]),
            (250, vec![going("old-2"), going("old-1")]),
            (1_050, vec![going("old-1"), ready("new-1"), ready("new-2")]),
            (6_000, vec![ready("new-1"), ready("new-2")]),
        ] {
            stage.slice(AT + after * MILLI, &listed);
        }
        stage.answers("local", 0, 5 * SECOND, 40, &["old-1"]);
        stage.answers("local", 5 * SECOND, AT, 40, &["old-2"]);
        let moved = AT + 4_500 * MILLI;
        stage.answers("local", moved, AT + 12 * SECOND, 40, &["new-2"]);
        stage.refused(AT + 4_300 * MILLI);
        stage.causes()
    };
    assert_eq!(staged("ClientIP"), [Cause::EndpointPropagation]);
    assert_eq!(
        staged("None"),
        [Cause::NewPodNotReady],
        "the others were due"
    );
}

#[test]
fn where_a_part_of_the_pods_is_a_client_s_it_tells_nothing_to_meet_no_other() {
    // The client met `old-1` until 5 s, then `old-2` alone. Both refuse: one was deleted, the other one
    // crashed.
    let hints = [("old-1", "node1", Some("a")), ("old-2", "node2", Some("b"))];
    let none = [("old-1", "node1", None), ("old-2", "node2", None)];
    let (own, node) = ("10.96.0.10:80", "192.0.2.4:30080");
    let sticky = json!({"sessionAffinity": "ClientIP", "type": "NodePort"});
    for (target, spec, places, share) in [
        (own, json!({}), none, "8 %"),
        (own, json!({}), hints, "43 %"),
        (own, json!({"internalTrafficPolicy": "Local"}), none, "43 %"),
        (node, sticky, none, "43 %"),
    ] {
        let mut stage = Stage::new().with_old_pods();
        stage.serve_at(target, spec.clone());
        let told = Ending {
            reacts: Some(10 * MILLI),
            ..Ending::at_once()
        };
        stage.end("old-1", AT, told, &[ready("old-2")]);
        stage.crash("old-2", AT, 3, "Error");
        stage.place(&places);
        stage.answers("local", 0, 5 * SECOND, 40, &["old-1"]);
        stage.answers("local", 5 * SECOND, AT, 40, &["old-2"]);
        stage.refused(AT + 100 * MILLI);
        let found = stage.explain();
        let rival = found.failures[0].runner_up.as_ref().expect("one deleted");
        assert_eq!(rival.cause, Cause::EndpointPropagation);
        let against = format!("its instants fit worse ({share} of the weight)");
        assert_eq!(rival.against, against, "{spec} by {target}, {places:?}");
    }
}

#[test]
fn a_new_pod_that_refuses_nobody_else_may_be_for_others() {
    // `new-1` does not listen for 9 s, and nobody but one request is refused.
    for (spec, expected) in [
        (json!({}), Cause::EndpointPropagation),
        (
            json!({"internalTrafficPolicy": "Local"}),
            Cause::NewPodNotReady,
        ),
    ] {
        let mut stage = Stage::new();
        stage.probe = false;
        let mut stage = stage.with_old_pods();
        stage.serve(spec.clone());
        new(&mut stage, "new-1", AT, AT + 9 * SECOND);
        stage.end(
            "old-1",
            AT,
            Ending::at_once(),
            &[ready("old-2"), ready("new-1")],
        );
        // By whom they were answered is not known, and so neither is the client's node.
        (0..21).for_each(|second| stage.counts(second, 40, 0));
        stage.refused(AT + 100 * MILLI);
        assert_eq!(stage.causes(), [expected], "{spec}");
    }
}

#[test]
fn an_address_is_kept_with_one_pod() {
    // `old-1` goes and `old-2` stays; the client was kept with one of them.
    for (affinity, own, proved) in [
        ("None", "old-1", true),
        ("ClientIP", "old-1", true),
        ("ClientIP", "old-2", false),
    ] {
        let mut stage = Stage::new().with_old_pods();
        stage.serve(json!({"sessionAffinity": affinity}));
        stage.end("old-1", AT, Ending::at_once(), &[ready("old-2")]);
        stage.answers("local", 0, AT, 40, &[own]);
        stage.refused(AT + 60 * MILLI);
        stage.answers("local", AT + 100 * MILLI, AT + 5 * SECOND, 40, &["old-2"]);
        let confidence = if proved {
            Confidence::Proved
        } else {
            Confidence::Consistent
        };
        let expected = [(Cause::EndpointPropagation, confidence)];
        assert_eq!(said(stage), expected, "{affinity}, {own}");
    }
}

/// `old-1` of node1 ends and `old-2` of node2 stays; a connect is refused while its address is there,
/// one after that, and one is not answered. Before that the pod of the client's node answers; where
/// the node is not known, neither is the pod.
fn on_two_nodes(spec: Value, ending: Ending, node: Option<&str>) -> Stage {
    let mut stage = Stage::new().with_old_pods();
    stage.serve(spec);
    stage.end("old-1", AT, ending, &[ready("old-2")]);
    stage.place(&[("old-1", "node1", None), ("old-2", "node2", None)]);
    match node {
        Some("node2") => stage.answers("local", 0, AT, 40, &["old-2"]),
        Some(_) => stage.answers("local", 0, AT, 40, &["old-1"]),
        None => (0..AT / SECOND).for_each(|second| stage.counts(second, 40, 0)),
    }
    stage.refused(AT + 400 * MILLI);
    stage.refused(AT + 3 * SECOND);
    unanswered(&mut stage, AT + 3 * SECOND);
    if let Some(node) = node {
        stage.send_from(node);
    }
    stage
}

#[test]
fn a_local_policy_leaves_nobody_where_the_client_s_node_has_nobody() {
    let local = || json!({"internalTrafficPolicy": "Local"});
    let (propagation, nobody) = (Cause::EndpointPropagation, Cause::NoReadyEndpoint);
    for (spec, node, expected) in [
        (
            json!({"internalTrafficPolicy": "Cluster"}),
            Some("node1"),
            [
                (propagation, Confidence::Proved),
                (Cause::Unexplained, Confidence::None),
                (propagation, Confidence::Proved),
            ],
        ),
        (
            local(),
            Some("node1"),
            [
                (propagation, Confidence::Ambiguous),
                (nobody, Confidence::Consistent),
                (nobody, Confidence::Consistent),
            ],
        ),
        (
            local(),
            Some("node2"),
            [
                (propagation, Confidence::Consistent),
                (Cause::Unexplained, Confidence::None),
                (propagation, Confidence::Consistent),
            ],
        ),
        (
            local(),
            None,
            [
                (propagation, Confidence::Consistent),
                (nobody, Confidence::Consistent),
                (propagation, Confidence::Ambiguous),
            ],
        ),
        (
            json!({"externalTrafficPolicy": "Local", "type": "NodePort"}),
            Some("node1"),
            [
                (propagation, Confidence::Proved),
                (Cause::Unexplained, Confidence::None),
                (propagation, Confidence::Proved),
            ],
        ),
    ] {
        let stage = on_two_nodes(spec.clone(), Ending::at_once(), node);
        assert_eq!(said(stage), expected, "{spec} from {node:?}");
    }
}

#[test]
fn a_pod_that_ends_stands_in_for_its_node_while_it_serves() {
    let local = json!({"internalTrafficPolicy": "Local"});
    let stage = on_two_nodes(local, Ending::serves_on(), Some("node1"));
    let found = stage.explain();
    let nobody = |one: &super::Attribution| one.cause == Cause::NoReadyEndpoint;
    assert!(!found.failures.iter().any(nobody));
}

#[test]
fn a_pod_that_hints_mean_for_others_is_unlikely_and_stays_open() {
    let (here, there) = (Some("zone-of-node1"), Some("zone-of-node2"));
    for (hints, proved) in [
        ([here, here], true),
        ([there, here], false),
        ([None, None], true),
        // One endpoint without a hint, or none for the client's zone: all are taken.
        ([there, None], true),
        ([there, there], true),
    ] {
        let mut stage = Stage::new().with_old_pods();
        stage.serve(json!({"trafficDistribution": "PreferClose"}));
        stage.end("old-1", AT, Ending::at_once(), &[ready("old-2")]);
        stage.place(&[("old-1", "node1", hints[0]), ("old-2", "node2", hints[1])]);
        stage.refused(AT + 60 * MILLI);
        stage.send_from("node1");
        let confidence = if proved {
            Confidence::Proved
        } else {
            Confidence::Consistent
        };
        let expected = [(Cause::EndpointPropagation, confidence)];
        assert_eq!(said(stage), expected, "{hints:?}");
    }
}
