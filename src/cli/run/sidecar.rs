//! Can the Job end whose pod a run was made from?
//!
//! A Job's pod is over when all of its containers have ended, and a classic sidecar never ends by
//! itself: it is asked to, after everything else. A native one is ended by the kubelet.

use crate::cli::Printer;
use crate::cluster::{Cluster, Reach};
use crate::observe::{SIDECAR, ask_agent};
use http::{Method, StatusCode};
use serde_json::Value;
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// Patience with the API server, for the look at our own pod.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// The same at the start of a pod: until its sidecar is ready, all that it sends is refused.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Patience with the agent.
const ASK_PATIENCE: Duration = Duration::from_secs(3);

/// Asks the sidecar of our own pod to end, where the pod could not end otherwise. `meshed`: the
/// scenario says that the run is made beside one; else nobody could read it, and the pod is new.
pub(super) async fn release(reach: &Reach, pod: &str, meshed: bool, printer: Printer) {
    let patience = if meshed {
        LOOK_PATIENCE
    } else {
        START_PATIENCE
    };
    let seen = timeout(patience, look(reach, pod, patience)).await;
    let seen = seen.ok().flatten();
    if !is_to_ask(seen.as_ref(), meshed) {
        return;
    }
    let asked = timeout(ASK_PATIENCE, ask_agent(Method::POST, "/quitquitquit"));
    let asked = asked
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match asked {
        Ok((StatusCode::OK, _)) => printer.say("the sidecar of this pod was asked to end"),
        Ok((status, _)) => printer.say(&format!(
            "the sidecar of this pod was asked to end, and answered {status}"
        )),
        Err(error) if seen.is_some() => printer.say(&format!(
            "the sidecar of this pod could not be asked to end: {error}"
        )),
        // There may be none.
        Err(_) => {}
    }
}

async fn look(reach: &Reach, pod: &str, patience: Duration) -> Option<Value> {
    let cluster = Cluster::connect_patiently(reach, patience, |_| ()).await;
    let cluster = cluster.ok()?;
    let namespace = cluster.namespace();
    // To list is a right that a run has; to get is none.
    let path = format!("/api/v1/namespaces/{namespace}/pods?fieldSelector=metadata.name%3D{pod}");
    let mut list: Value = cluster.read(&path).await.ok()?;
    let found = list["items"].get_mut(0)?;
    Some(found.take())
}

/// Of a pod that cannot be seen what the scenario says is assumed: a native sidecar that is asked in
/// vain is started again, but nobody's shell in a service's pod may cost that its sidecar.
fn is_to_ask(seen: Option<&Value>, meshed: bool) -> bool {
    seen.map_or(meshed, is_kept_up)
}

/// Whether a pod that should come to its end does not as long as its sidecar runs.
fn is_kept_up(pod: &Value) -> bool {
    let spec = &pod["spec"];
    let ends = matches!(spec["restartPolicy"].as_str(), Some("Never" | "OnFailure"));
    let mut containers = spec["containers"].as_array().into_iter().flatten();
    ends && containers.any(|container| container["name"] == SIDECAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_that_cannot_be_seen_is_what_the_scenario_says() {
        let job = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": SIDECAR}]}});
        let cases = [
            (Some(&job), true, true),
            (Some(&job), false, true),
            (None, true, true),
            (None, false, false),
        ];
        for (seen, meshed, asked) in cases {
            assert_eq!(is_to_ask(seen, meshed), asked, "{seen:?} {meshed}");
        }
    }

    #[test]
    fn only_a_pod_that_should_end_is_kept_up_by_a_classic_sidecar() {
        let pod = |policy: &str, containers: &[&str]| {
            let named: Vec<Value> = containers
                .iter()
                .map(|name| json!({"name": name}))
                .collect();
            let native = json!([{"name": SIDECAR, "restartPolicy": "Always"}]);
            json!({"spec": {
                "restartPolicy": policy, "containers": named, "initContainers": native,
            }})
        };
        assert!(is_kept_up(&pod("Never", &["lastwatch", SIDECAR])));
        assert!(is_kept_up(&pod("OnFailure", &[SIDECAR, "lastwatch"])));
        assert!(!is_kept_up(&pod("Always", &["lastwatch", SIDECAR])));
        assert!(!is_kept_up(&pod("Never", &["lastwatch"])), "it is native");
    }
}
