//! How many pods may be evicted now?

use super::driver::{Controller, Key};
use crate::lab::selector::Selector;
use crate::lab::store::{Change, Status, Store, object};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CONTROLLER: Controller = Controller {
    name: "disruption",
    watches: &["poddisruptionbudgets", "pods"],
    lag: (5, 25),
    keys,
    reconcile,
};

/// An eviction that never led to a deletion is forgotten after this time.
const FORGET: i64 = 120;

fn keys(store: &Store, resource: &str, change: &Change) -> Vec<Key> {
    if resource == "poddisruptionbudgets" {
        return vec![Key::of(&change.object)];
    }
    let namespace = object::namespace(&change.object);
    let budgets = store.list("poddisruptionbudgets", Some(namespace)).1;
    budgets.iter().map(|budget| Key::of(budget)).collect()
}

fn reconcile(store: &Arc<Store>, key: &Key) -> Result<Option<Duration>, Status> {
    let Some(budget) = store.get("poddisruptionbudgets", key.place(), &key.name) else {
        return Ok(None);
    };
    let selector = Selector::from_object(&budget["spec"]["selector"]);
    let pods: Vec<Arc<Value>> = store
        .list("pods", key.place())
        .1
        .into_iter()
        .filter(|pod| selector.matches(pod))
        .collect();
    let scale = scale(store, &pods);
    let now = Timestamp::now();
    store.update("poddisruptionbudgets", key.place(), &key.name, |budget| {
        budget["status"] = status(budget, &pods, scale, now);
        Ok(())
    })?;
    Ok(None)
}

/// The replicas that the controllers of these pods want, together.
fn scale(store: &Store, pods: &[Arc<Value>]) -> i64 {
    let mut seen = BTreeSet::new();
    let mut total = 0;
    for pod in pods {
        let Some(owner) = object::controller(pod).filter(|owner| owner["kind"] == "ReplicaSet")
        else {
            continue;
        };
        let namespace = Some(object::namespace(pod));
        let Some(set) = store.get("replicasets", namespace, object::text(&owner["name"])) else {
            continue;
        };
        let deployment = object::controller(&set)
            .and_then(|owner| store.get("deployments", namespace, object::text(&owner["name"])));
        let wanted = deployment.unwrap_or(set);
        if seen.insert(object::uid(&wanted).to_owned()) {
            total += wanted["spec"]["replicas"].as_i64().unwrap_or(1);
        }
    }
    total
}

fn status(budget: &Value, pods: &[Arc<Value>], scale: i64, now: Timestamp) -> Value {
    let spec = &budget["spec"];
    let (expected, desired) = match (&spec["maxUnavailable"], &spec["minAvailable"]) {
        (Value::Null, Value::Number(least)) => (
            i64::try_from(pods.len()).unwrap_or(0),
            least.as_i64().unwrap_or(1),
        ),
        (Value::Null, percent) => (scale, share(percent, scale)),
        (most, _) => (scale, (scale - share(most, scale)).max(0)),
    };
    let disrupted: serde_json::Map<String, Value> = budget["status"]["disruptedPods"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, since)| still_expected(name, since, pods, now))
        .map(|(name, since)| (name.clone(), since.clone()))
        .collect();
    let healthy = pods
        .iter()
        .filter(|pod| {
            object::is_ready(pod)
                && !object::is_terminating(pod)
                && !disrupted.contains_key(object::name(pod))
        })
        .count();
    let healthy = i64::try_from(healthy).unwrap_or(0);
    let allowed = if expected > 0 {
        (healthy - desired).max(0)
    } else {
        0
    };
    let mut status = json!({
        "observedGeneration": budget["metadata"]["generation"],
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "conditions": [condition(budget, allowed > 0, now)],
    });
    if !disrupted.is_empty() {
        status["disruptedPods"] = Value::Object(disrupted);
    }
    status
}

/// A number, or a percentage of the scale rounded up.
fn share(value: &Value, scale: i64) -> i64 {
    match value {
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            (scale * percent + 99) / 100
        }
        number => number.as_i64().unwrap_or(1),
    }
}

fn still_expected(name: &str, since: &Value, pods: &[Arc<Value>], now: Timestamp) -> bool {
    let young =
        object::stamp(since).is_some_and(|then| now.as_second() - then.as_second() < FORGET);
    let there = pods
        .iter()
        .any(|pod| object::name(pod) == name && !object::is_terminating(pod));
    young && there
}

fn condition(budget: &Value, allowed: bool, now: Timestamp) -> Value {
    let (status, reason) = if allowed {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    let old = object::condition(budget, "DisruptionAllowed").filter(|old| old["status"] == status);
    let since = old.map_or_else(
        || json!(object::second(now)),
        |old| old["lastTransitionTime"].clone(),
    );
    json!({
        "type": "DisruptionAllowed", "status": status, "reason": reason, "message": "",
        "observedGeneration": budget["metadata"]["generation"], "lastTransitionTime": since,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(ready: usize, other: usize) -> Vec<Arc<Value>> {
        let pod = |at: usize, status: &str| {
            Arc::new(
                json!({"metadata": {"name": format!("p{at}")}, "status": {"conditions": [{"type": "Ready", "status": status}]}}),
            )
        };
        (0..ready)
            .map(|at| pod(at, "True"))
            .chain((0..other).map(|at| pod(ready + at, "False")))
            .collect()
    }

    #[test]
    fn a_budget_allows_what_is_healthy_beyond_what_it_wants() {
        let now: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        for (spec, ready, other, allowed, desired) in [
            (json!({"minAvailable": 2}), 3, 0, 1, 2),
            (json!({"minAvailable": 3}), 3, 0, 0, 3),
            (json!({"minAvailable": "50%"}), 3, 0, 1, 2),
            (json!({"maxUnavailable": 1}), 3, 0, 1, 2),
            (json!({"maxUnavailable": 1}), 2, 1, 0, 2),
            (json!({"maxUnavailable": "34%"}), 3, 0, 2, 1),
            (json!({"minAvailable": 0}), 0, 0, 0, 0),
        ] {
            let budget = json!({"metadata": {"generation": 2}, "spec": spec});
            let status = status(&budget, &pods(ready, other), 3, now);
            assert_eq!(status["disruptionsAllowed"], allowed, "{spec}");
            assert_eq!(status["desiredHealthy"], desired, "{spec}");
            assert_eq!(status["observedGeneration"], 2);
        }
    }

    #[test]
    fn a_pod_being_evicted_is_not_healthy_until_it_is_gone_or_forgotten() {
        let now: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        let evicted = |since: &str| {
            let budget = json!({"metadata": {}, "spec": {"minAvailable": 2}, "status": {"disruptedPods": {"p0": since}}});
            status(&budget, &pods(3, 0), 3, now)
        };
        let fresh = evicted("2026-01-01T00:00:09Z");
        assert_eq!(fresh["currentHealthy"], 2);
        assert!(fresh["disruptedPods"]["p0"].is_string());
        assert_eq!(evicted("2025-12-31T23:00:00Z")["currentHealthy"], 3);
    }
}
