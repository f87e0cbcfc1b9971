//! How many pods has a ReplicaSet, and which go first when there are too many?

use super::driver::{Controller, Key};
use super::pods;
use crate::lab::store::{Change, Status, Store, object};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CONTROLLER: Controller = Controller {
    name: "replicaset",
    watches: &["replicasets", "pods"],
    lag: (3, 12),
    keys,
    reconcile,
};

const COMPONENT: &str = "replicaset-controller";

fn keys(_: &Store, resource: &str, change: &Change) -> Vec<Key> {
    if resource == "replicasets" {
        return vec![Key::of(&change.object)];
    }
    Key::of_owner(&change.object, "ReplicaSet")
        .into_iter()
        .collect()
}

fn reconcile(store: &Arc<Store>, key: &Key) -> Result<Option<Duration>, Status> {
    let Some(set) = store.get("replicasets", key.place(), &key.name) else {
        return Ok(None);
    };
    let now = Timestamp::now();
    let owned = pods::owned(store, &key.namespace, object::uid(&set));
    // The status tells what was there before this turn's creations and deletions, as the real one.
    let (status, again) = status(&set, &owned, now);
    if !object::is_terminating(&set) {
        manage(store, &set, &owned, now)?;
    }
    store.update("replicasets", key.place(), &key.name, |set| {
        set["status"] = status;
        Ok(())
    })?;
    Ok(again)
}

fn manage(
    store: &Arc<Store>,
    set: &Value,
    owned: &[Arc<Value>],
    now: Timestamp,
) -> Result<(), Status> {
    let active: Vec<&Value> = owned
        .iter()
        .map(AsRef::as_ref)
        .filter(|pod| pods::is_active(pod))
        .collect();
    let wanted = usize::try_from(set["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0);
    for _ in active.len()..wanted {
        pods::create(store, set, COMPONENT)?;
    }
    if active.len() > wanted {
        let related = related(store, set);
        for pod in to_delete(active.clone(), &related, active.len() - wanted, now) {
            pods::delete(store, set, pod, COMPONENT)?;
        }
    }
    Ok(())
}

/// The active pods of all ReplicaSets of the same owner.
fn related(store: &Arc<Store>, set: &Value) -> Vec<Arc<Value>> {
    let namespace = object::namespace(set);
    let owner = object::controller(set).map(|owner| owner["uid"].clone());
    let sets = store.list("replicasets", Some(namespace)).1;
    sets.iter()
        .filter(|other| {
            object::uid(other) == object::uid(set)
                || (owner.is_some()
                    && object::controller(other).map(|own| own["uid"].clone()) == owner)
        })
        .flat_map(|other| pods::owned(store, namespace, object::uid(other)))
        .filter(|pod| pods::is_active(pod))
        .collect()
}

/// The status, and when a pod becomes available by waiting.
fn status(set: &Value, owned: &[Arc<Value>], now: Timestamp) -> (Value, Option<Duration>) {
    let min_ready = set["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    let (mut replicas, mut labelled, mut ready, mut available, mut terminating) = (0, 0, 0, 0, 0);
    let mut again = None;
    for pod in owned {
        if object::is_terminating(pod) && !object::is_terminal(pod) {
            terminating += 1;
        }
        if !pods::is_active(pod) {
            continue;
        }
        replicas += 1;
        labelled += i64::from(carries(pod, labels));
        match pods::seconds_to_available(pod, min_ready, now) {
            None => {}
            Some(0) => {
                ready += 1;
                available += 1;
            }
            Some(left) => {
                ready += 1;
                let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
                again = Some(again.map_or(left, |own: Duration| own.min(left)));
            }
        }
    }
    let mut status = pods::counts(&[
        ("fullyLabeledReplicas", labelled),
        ("readyReplicas", ready),
        ("availableReplicas", available),
    ]);
    status["replicas"] = json!(replicas);
    status["terminatingReplicas"] = json!(terminating);
    status["observedGeneration"] = set["metadata"]["generation"].clone();
    (status, again)
}

fn carries(pod: &Value, labels: &Value) -> bool {
    labels
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value))
}

/// The pods to delete: unassigned ones first, then the less ready, the cheaper, the crowded, the
/// shorter ready, the more often restarted, the newer.
fn to_delete<'a>(
    mut pods: Vec<&'a Value>,
    related: &[Arc<Value>],
    count: usize,
    now: Timestamp,
) -> Vec<&'a Value> {
    let mut crowd: HashMap<&str, i64> = HashMap::new();
    for pod in related.iter().filter(|pod| object::is_ready(pod)) {
        *crowd
            .entry(object::text(&pod["spec"]["nodeName"]))
            .or_default() += 1;
    }
    pods.sort_by(|left, right| order(left, right, &crowd, now));
    pods.truncate(count);
    pods
}

fn order(left: &Value, right: &Value, crowd: &HashMap<&str, i64>, now: Timestamp) -> Ordering {
    let assigned = |pod: &Value| !object::text(&pod["spec"]["nodeName"]).is_empty();
    let phase = |pod: &Value| match object::text(&pod["status"]["phase"]) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let cost = |pod: &Value| {
        let text = &pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"];
        object::text(text).parse::<i32>().unwrap_or(0)
    };
    let siblings = |pod: &Value| {
        let count = crowd.get(object::text(&pod["spec"]["nodeName"]));
        std::cmp::Reverse(count.copied().unwrap_or(0))
    };
    let restarts = |pod: &Value| {
        let statuses = object::items(&pod["status"]["containerStatuses"]);
        let most = statuses
            .iter()
            .filter_map(|own| own["restartCount"].as_i64())
            .max();
        std::cmp::Reverse(most.unwrap_or(0))
    };
    let ready_since = |pod: &Value| {
        let ready = object::condition(pod, "Ready").map(|ready| &ready["lastTransitionTime"]);
        age_rank(ready.unwrap_or(&Value::Null), now)
    };
    let created = |pod: &Value| age_rank(&pod["metadata"]["creationTimestamp"], now);
    assigned(left)
        .cmp(&assigned(right))
        .then_with(|| phase(left).cmp(&phase(right)))
        .then_with(|| object::is_ready(left).cmp(&object::is_ready(right)))
        .then_with(|| cost(left).cmp(&cost(right)))
        .then_with(|| siblings(left).cmp(&siblings(right)))
        .then_with(|| ready_since(left).cmp(&ready_since(right)))
        .then_with(|| restarts(left).cmp(&restarts(right)))
        .then_with(|| created(left).cmp(&created(right)))
        .then_with(|| object::uid(left).cmp(object::uid(right)))
}

/// Ages in powers of two, so that pods of about the same age are chosen among at random (by uid).
fn age_rank(stamp: &Value, now: Timestamp) -> u32 {
    let Some(then) = object::stamp(stamp) else {
        return 0;
    };
    let seconds = u64::try_from(now.as_second() - then.as_second()).unwrap_or(0);
    (seconds + 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T01:00:00Z".parse().unwrap()
    }

    fn pod(name: &str, change: impl FnOnce(&mut Value)) -> Arc<Value> {
        let mut pod = json!({
            "metadata": {"name": name, "uid": name, "labels": {"a": "b"}, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "node1"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}]}
        });
        change(&mut pod);
        Arc::new(pod)
    }

    #[test]
    fn pods_are_deleted_in_the_order_of_a_real_replica_set() {
        let plain = pod("a-plain", |_| {});
        let unready = |pod: &mut Value| pod["status"]["conditions"][0]["status"] = json!("False");
        for (first, other) in [
            (
                pod("z", |pod| pod["spec"]["nodeName"] = json!("")),
                pod("a", unready),
            ),
            (
                pod("z", |pod| pod["status"]["phase"] = json!("Pending")),
                pod("a", unready),
            ),
            (pod("z", unready), plain.clone()),
            (
                pod("z", |pod| {
                    pod["metadata"]["annotations"] =
                        json!({"controller.kubernetes.io/pod-deletion-cost": "-5"})
                }),
                plain.clone(),
            ),
            (
                plain.clone(),
                pod("z", |pod| {
                    pod["metadata"]["annotations"] =
                        json!({"controller.kubernetes.io/pod-deletion-cost": "5"})
                }),
            ),
            (
                pod("z", |pod| pod["spec"]["nodeName"] = json!("node2")),
                plain.clone(),
            ),
            (
                pod("z", |pod| {
                    pod["status"]["conditions"][0]["lastTransitionTime"] =
                        json!("2026-01-01T00:59:00Z")
                }),
                plain.clone(),
            ),
            (
                pod("z", |pod| {
                    pod["status"]["containerStatuses"] = json!([{"restartCount": 2}])
                }),
                plain.clone(),
            ),
            (
                pod("z", |pod| {
                    pod["metadata"]["creationTimestamp"] = json!("2026-01-01T00:59:50Z")
                }),
                plain.clone(),
            ),
            // Nothing tells them apart: by uid.
            (plain.clone(), pod("b", |_| {})),
        ] {
            let crowd = pod("crowd", |pod| pod["spec"]["nodeName"] = json!("node2"));
            let related = [plain.clone(), crowd.clone(), crowd];
            let chosen = to_delete(vec![&other, &first], &related, 1, now());
            assert_eq!(object::name(chosen[0]), object::name(&first));
        }
    }

    #[test]
    fn the_status_counts_what_is_active_ready_available_and_terminating() {
        let set = json!({"metadata": {"generation": 3}, "spec": {"minReadySeconds": 20, "template": {"metadata": {"labels": {"a": "b"}}}}});
        let owned = [
            pod("a", |_| {}),
            pod("b", |pod| {
                pod["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-01-01T00:59:45Z")
            }),
            pod("c", |pod| pod["status"]["conditions"] = json!([])),
            pod("d", |pod| {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:10Z")
            }),
            pod("e", |pod| pod["status"]["phase"] = json!("Failed")),
        ];
        let (status, again) = status(&set, &owned, now());
        assert_eq!(
            status,
            json!({"replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 2, "availableReplicas": 1, "terminatingReplicas": 1, "observedGeneration": 3})
        );
        assert_eq!(again, Some(Duration::from_secs(5)));
    }
}
