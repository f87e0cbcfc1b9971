//! May a run begin while pods of an earlier rollout still end?

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
