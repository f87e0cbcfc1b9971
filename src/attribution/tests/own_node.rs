//! A traffic policy of `Local`: on which node is the client, and what does that leave open?

use super::service_rules::{ready, said, unanswered};
use super::stage::{AT, Ending, MILLI, SECOND, STAYS, Stage, stamp};
use super::{Cause, Confidence};
use crate::evidence::{Change, Resource};
use serde_json::{Value, json};

fn local() -> Value {
    json!({"internalTrafficPolicy": "Local"})
}

#[test]
fn routes_that_still_lead_to_a_pod_speak_against_nobody_where_nobody_is_ready_anywhere() {
    // The only pod does not listen any more and lives on for 18 s.
    for spec in [json!({}), local()] {
        let mut stage = Stage::new();
        let running = json!({"running": {"startedAt": stamp(-60 * SECOND)}});
        let pod = stage.pod("old-1", running, None, true);
        stage.object(0, Resource::Pods, Change::Added, pod);
        stage.log("old-1", "app", -60 * SECOND, "listening on :8080");
        stage.slice(0, &[ready("old-1")]);
        stage.serve(spec.clone());
        let ending = Ending {
            reacts: Some(30 * MILLI),
            app: (18_100 * MILLI, 0),
            ..Ending::at_once()
        };
        stage.slice(AT + 50 * MILLI, &[("old-1", false, false, true)]);
        let last = stage.die("old-1", AT, ending);
        stage.slice(AT + last + 350 * MILLI, &[]);
        stage.place(&[("old-1", "node1", None)]);
        for after in [17_000, 17_200, 17_400] {
            stage.refused(AT + after * MILLI);
        }
        unanswered(&mut stage, AT + 18_800 * MILLI);
        stage.send_from("node1");
        let sure = |(cause, confidence)| {
            cause == Cause::NoReadyEndpoint && confidence == Confidence::Proved
        };
        assert!(!said(stage).into_iter().any(sure), "{spec}");
    }
}

/// `old-1` of node1 ends, `old-2` of node2 stays, and a connect is refused long after, from this node
/// where it is known; the client runs in `pod`, where it has one, and `answers` answer it.
fn refused_late(answers: &[&str], pod: Option<&str>, node: Option<&str>) -> (Cause, Confidence) {
    let mut stage = Stage::new().with_old_pods();
    stage.serve(local());
    if let Some(pod) = pod {
        stage.run_in(pod);
    }
    stage.end("old-1", AT, Ending::at_once(), STAYS);
    stage.place(&[("old-1", "node1", None), ("old-2", "node2", None)]);
    stage.answers("local", 0, AT + 10 * SECOND, 40, answers);
    (0..22).for_each(|second| stage.counts(second, 1, 0));
    stage.refused(AT + 3 * SECOND);
    if let Some(node) = node {
        stage.send_from(node);
    }
    said(stage)[0]
}

const UNEXPLAINED: (Cause, Confidence) = (Cause::Unexplained, Confidence::None);
const NOBODY: (Cause, Confidence) = (Cause::NoReadyEndpoint, Confidence::Consistent);

#[test]
fn who_answers_a_client_names_its_node() {
    for (answers, node, expected) in [
        (&["old-2"][..], Some("node2"), UNEXPLAINED),
        (&["old-2"], None, UNEXPLAINED),
        (&["old-1", "old-2"], None, NOBODY),
        (&[], None, NOBODY),
        // They contradict each other: it is not known.
        (&["old-2"], Some("node1"), NOBODY),
    ] {
        let found = refused_late(answers, None, node);
        assert_eq!(found, expected, "{answers:?} from {node:?}");
    }
}

#[test]
fn a_client_whose_pod_was_not_seen_is_where_its_address_is() {
    for (pod, node, expected) in [
        (None, "node2", UNEXPLAINED),
        (Some("gone"), "node2", UNEXPLAINED),
        (Some("gone"), "node1", NOBODY),
    ] {
        let found = refused_late(&[], pod, Some(node));
        assert_eq!(found, expected, "{pod:?} from {node}");
    }
}

#[test]
fn a_sidecar_that_has_hosts_on_its_own_node_ejected_them() {
    // `old-1` of node1 is not ready for long.
    for (node, answers, expected) in [
        ("node2", "old-2", Cause::ProxyOverload),
        ("node1", "old-1", Cause::NoReadyEndpoint),
    ] {
        let mut stage = Stage::new().with_old_pods();
        stage.client("mesh", true);
        stage.serve(local());
        let client = json!({
            "metadata": {"name": "loadgen", "namespace": "n", "uid": "loadgen"},
            "spec": {"nodeName": node, "containers": [{"name": "client"}]},
            "status": {"phase": "Running"},
        });
        stage.object(0, Resource::Pods, Change::Added, client);
        stage.slice(
            5 * SECOND,
            &[("old-1", false, false, false), ready("old-2")],
        );
        stage.place(&[("old-1", "node1", None), ("old-2", "node2", None)]);
        stage.answers("mesh", 0, 4 * SECOND, 40, &[answers]);
        let request = stage.status(AT, 503, "no healthy upstream", "envoy");
        request.client = "mesh".to_owned();
        assert_eq!(
            said(stage),
            [(expected, Confidence::Consistent)],
            "from {node}"
        );
    }
}
