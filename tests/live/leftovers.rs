//! Old pods that still end: may a run begin beside them, and is a step over before them?

use crate::node::Node;
use crate::practice::{NAMESPACE, Practice};
use crate::shown::shown;
use crate::{NO_EXPOSURE, QUIET, phases};
use lastwatch::lab::store::object;
use serde_json::{Value, json};
use std::time::Duration;

/// What `kubectl rollout status` waits for: terminating pods are not in it.
fn rolled_out(demo: &Value) -> bool {
    let status = &demo["status"];
    status["observedGeneration"] == demo["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .all(|count| status[count] == 2)
}

fn terminating(practice: &Practice) -> usize {
    let pods = practice.store.list("pods", Some(NAMESPACE)).1;
    pods.iter()
        .filter(|pod| object::is_terminating(pod))
        .count()
}

#[test]
fn a_run_that_follows_a_rollout_at_once_waits_for_the_last_old_pods() {
    let practice = Practice::alive(&Node::new(Duration::from_secs(6)));
    let apply = |demo: &mut Value| {
        demo["spec"]["template"]["metadata"]["annotations"] = json!({"release": "2"});
        Ok(())
    };
    practice
        .store
        .update("deployments", Some(NAMESPACE), "demo", apply)
        .unwrap();
    practice.wait_for_demo("rollout", rolled_out);
    assert_eq!(terminating(&practice), 2, "both old pods still end");
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let text = shown(&practice.command(&scenario).output().unwrap());
    let told = "s for pods of an earlier rollout of deployment/demo that are still terminating: ";
    assert!(text.contains(told), "{text}");
    assert!(phases(&practice).contains(&"finished".to_owned()), "{text}");
}

#[test]
fn a_restart_without_history_is_over_when_its_last_old_pod_is_gone() {
    let ending = Duration::from_secs(5);
    let practice = Practice::alive(&Node::new(ending));
    let forget = |demo: &mut Value| {
        demo["spec"]["revisionHistoryLimit"] = json!(0);
        Ok(())
    };
    practice
        .store
        .update("deployments", Some(NAMESPACE), "demo", forget)
        .unwrap();
    practice.at_rest();
    let scenario = practice.scenario("[{rollingRestart: {}}]", NO_EXPOSURE);
    let output = practice.command(&scenario).arg("--yes").output();
    let text = shown(&output.unwrap());
    let sets = practice.store.list("replicasets", Some(NAMESPACE)).1;
    assert_eq!(sets.len(), 1, "the old one was removed at once: {text}");
    let events = practice.events();
    let at = |state: &str| {
        let found = events
            .iter()
            .find(|event| event["kind"]["step"]["state"] == state);
        found.unwrap_or_else(|| panic!("{state}: {text}"))["at"]["lo"]
            .as_i64()
            .unwrap()
    };
    let took = Duration::from_nanos((at("ended") - at("started")).try_into().unwrap());
    assert!(took >= ending, "after {took:?}: {text}");
}
