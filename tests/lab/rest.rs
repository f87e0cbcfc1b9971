//! Is the workload of a practice cluster at rest, and what is changed of it?

use lastwatch::lab::store::{Store, object};
use serde_json::{Value, json};

/// The annotation of a rolling restart, which stays by design and is named.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// All that a run could have left changed of the Deployment `demo`, when that is at rest; else what
/// it still does.
pub(crate) fn resting(store: &Store, namespace: &str) -> Result<Value, String> {
    let demo = store.get("deployments", Some(namespace), "demo");
    let mut demo = Value::clone(&demo.expect("the Deployment"));
    let (status, wanted) = (&demo["status"], &demo["spec"]["replicas"]);
    let pods = store.list("pods", Some(namespace)).1.len();
    let rest = status["observedGeneration"] == demo["metadata"]["generation"]
        && status["availableReplicas"] == *wanted
        && status["updatedReplicas"] == *wanted
        && json!(pods) == *wanted;
    if !rest {
        return Err(format!("{pods} pods, {status}"));
    }
    let template = &mut demo["spec"]["template"];
    object::remove(&mut template["metadata"]["annotations"], RESTARTED_AT);
    let annotations = template["metadata"]["annotations"].as_object();
    if annotations.is_none_or(serde_json::Map::is_empty) {
        object::remove(&mut template["metadata"], "annotations");
    }
    let leases = store.list("leases", Some(namespace)).1;
    Ok(json!({"spec": demo["spec"], "leases": leases.len()}))
}
