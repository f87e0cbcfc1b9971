//! On which node does a new pod run?

use super::driver::{Controller, Key};
use crate::lab::event::{self, Emitter, Note};
use crate::lab::store::{Change, Status, Store, object};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(super) const CONTROLLER: Controller = Controller {
    name: "scheduler",
    watches: &["pods"],
    lag: (4, 14),
    keys,
    reconcile,
};

/// A pod that fits nowhere is tried again.
const RETRY: Duration = Duration::from_secs(1);

fn keys(_: &Store, _: &str, change: &Change) -> Vec<Key> {
    // A node that changed is found by the retries.
    let waits = object::text(&change.object["spec"]["nodeName"]).is_empty();
    waits.then(|| Key::of(&change.object)).into_iter().collect()
}

fn reconcile(store: &Arc<Store>, key: &Key) -> Result<Option<Duration>, Status> {
    let Some(pod) = store.get("pods", key.place(), &key.name) else {
        return Ok(None);
    };
    let bound = !object::text(&pod["spec"]["nodeName"]).is_empty();
    if bound || object::is_terminating(&pod) || pod["spec"]["schedulerName"] != "default-scheduler"
    {
        return Ok(None);
    }
    let nodes = store.list("nodes", None).1;
    let pods = store.list("pods", None).1;
    match choose(&pod, &nodes, &pods) {
        Ok(node) => {
            bind(store, key, &node)?;
            Ok(None)
        }
        Err(why) => {
            refuse(store, key, &pod, &why)?;
            Ok(Some(RETRY))
        }
    }
}

/// The node with the fewest pods of the same controller, then with the fewest pods; or why none
/// will do.
fn choose(pod: &Value, nodes: &[Arc<Value>], pods: &[Arc<Value>]) -> Result<String, String> {
    let (mut closed, mut unready, mut unlike) = (0, 0, 0);
    let mut best: Option<((usize, usize), &str)> = None;
    for node in nodes {
        let ready = object::condition(node, "Ready").is_some_and(|ready| ready["status"] == "True");
        if node["spec"]["unschedulable"] == true {
            closed += 1;
        } else if !ready {
            unready += 1;
        } else if !selected(pod, node) {
            unlike += 1;
        } else {
            let name = object::name(node);
            let load = load(pod, name, pods);
            if best.is_none_or(|(least, _)| load < least) {
                best = Some((load, name));
            }
        }
    }
    if let Some((_, name)) = best {
        return Ok(name.to_owned());
    }
    let mut reasons = Vec::new();
    for (count, why) in [
        (unlike, "node(s) didn't match Pod's node affinity/selector"),
        (
            unready,
            "node(s) had untolerated taint {node.kubernetes.io/not-ready: }",
        ),
        (closed, "node(s) were unschedulable"),
    ] {
        if count > 0 {
            reasons.push(format!("{count} {why}"));
        }
    }
    if reasons.is_empty() {
        return Err("no nodes available to schedule pods".to_owned());
    }
    Err(format!(
        "0/{} nodes are available: {}.",
        nodes.len(),
        reasons.join(", ")
    ))
}

fn selected(pod: &Value, node: &Value) -> bool {
    pod["spec"]["nodeSelector"]
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| node["metadata"]["labels"].get(key) == Some(value))
}

/// Pods of the same controller on a node, and all pods on it.
fn load(pod: &Value, node: &str, pods: &[Arc<Value>]) -> (usize, usize) {
    let owner = object::controller(pod).map(|owner| &owner["uid"]);
    let mut load = (0, 0);
    for other in pods {
        if other["spec"]["nodeName"] != node || object::is_terminal(other) {
            continue;
        }
        load.1 += 1;
        let same = owner.is_some() && object::controller(other).map(|own| &own["uid"]) == owner;
        load.0 += usize::from(same);
    }
    load
}

fn bind(store: &Arc<Store>, key: &Key, node: &str) -> Result<(), Status> {
    let now = Timestamp::now();
    let pod = store.update("pods", key.place(), &key.name, |pod| {
        pod["spec"]["nodeName"] = json!(node);
        set_scheduled(pod, &json!({"status": "True"}), now);
        Ok(())
    })?;
    let message = format!(
        "Successfully assigned {}/{} to {node}",
        key.namespace, key.name
    );
    say(store, &pod, &Note::normal("Scheduled", &message), now);
    Ok(())
}

fn refuse(store: &Arc<Store>, key: &Key, pod: &Value, why: &str) -> Result<(), Status> {
    let said = object::condition(pod, "PodScheduled").is_some_and(|own| own["message"] == why);
    if said {
        return Ok(());
    }
    let now = Timestamp::now();
    let condition = json!({"status": "False", "reason": "Unschedulable", "message": why});
    let pod = store.update("pods", key.place(), &key.name, |pod| {
        set_scheduled(pod, &condition, now);
        Ok(())
    })?;
    say(store, &pod, &Note::warning("FailedScheduling", why), now);
    Ok(())
}

fn set_scheduled(pod: &mut Value, said: &Value, now: Timestamp) {
    let mut condition = json!({
        "type": "PodScheduled",
        "observedGeneration": pod["metadata"]["generation"],
        "lastProbeTime": null,
        "lastTransitionTime": object::second(now),
    });
    for key in ["status", "reason", "message"] {
        if let Some(value) = said.get(key) {
            condition[key] = value.clone();
        }
    }
    let mut conditions = object::items(&pod["status"]["conditions"]).to_vec();
    conditions.retain(|own| own["type"] != "PodScheduled");
    conditions.push(condition);
    pod["status"]["conditions"] = json!(conditions);
}

fn say(store: &Arc<Store>, pod: &Value, note: &Note<'_>, now: Timestamp) {
    let emitter = Emitter {
        component: "default-scheduler",
        host: "",
        now,
    };
    event::record(store, &emitter, pod, note);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Arc<Value> {
        Arc::new(
            json!({"metadata": {"name": name, "labels": {"disk": name}}, "spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        )
    }

    fn pod(owner: &str, node: &str) -> Arc<Value> {
        Arc::new(
            json!({"metadata": {"ownerReferences": [{"uid": owner, "controller": true}]}, "spec": {"nodeName": node}, "status": {}}),
        )
    }

    #[test]
    fn pods_of_one_controller_are_spread_and_closed_nodes_passed_over() {
        let nodes = [node("a"), node("b")];
        let new = pod("x", "");
        assert_eq!(choose(&new, &nodes, &[]).unwrap(), "a");
        assert_eq!(choose(&new, &nodes, &[pod("x", "a")]).unwrap(), "b");
        let others = [pod("x", "a"), pod("y", "b"), pod("y", "b")];
        assert_eq!(choose(&new, &nodes, &others).unwrap(), "b");
        let even = [pod("x", "a"), pod("x", "b"), pod("y", "a")];
        assert_eq!(choose(&new, &nodes, &even).unwrap(), "b");
        let mut picky = (*new).clone();
        picky["spec"]["nodeSelector"] = json!({"disk": "b"});
        assert_eq!(choose(&picky, &nodes, &[pod("x", "b")]).unwrap(), "b");
        let mut closed = (*nodes[0]).clone();
        closed["spec"]["unschedulable"] = json!(true);
        let nodes = [Arc::new(closed), node("b")];
        assert_eq!(choose(&new, &nodes, &[pod("x", "b")]).unwrap(), "b");
        picky["spec"]["nodeSelector"] = json!({"disk": "c"});
        assert_eq!(
            choose(&picky, &nodes, &[]).unwrap_err(),
            "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable."
        );
    }
}
