//! Where do a kubelet's probes of the app go when a sidecar is in front of it?
//!
//! To the agent, which asks the app from within the pod. When the agent has closed its port, the
//! probes fail although the app is well (facts 3.3): that is how it is in a real mesh too.

use crate::lab::mesh::xds::STATUS_PORT;
use crate::lab::store::object::{items, text};
use serde_json::{Map, Value, json};

/// Points the HTTP and TCP probes of all containers to the agent; gives what the agent must ask.
pub(super) fn rewrite(pod: &mut Value) -> Map<String, Value> {
    let mut probers = Map::new();
    let Some(containers) = pod["spec"]["containers"].as_array_mut() else {
        return probers;
    };
    for container in containers {
        let whole = container.clone();
        let name = text(&whole["name"]);
        for (kind, word) in [
            ("readinessProbe", "readyz"),
            ("livenessProbe", "livez"),
            ("startupProbe", "startupz"),
        ] {
            let Some(probe) = container.get_mut(kind).and_then(Value::as_object_mut) else {
                continue;
            };
            let Some((handler, mut asked)) = ["httpGet", "tcpSocket"]
                .into_iter()
                .find_map(|handler| Some((handler, probe.remove(handler)?)))
            else {
                continue;
            };
            asked["port"] = resolve(&asked["port"], &whole);
            let path = format!("/app-health/{name}/{word}");
            let patience = probe
                .get("timeoutSeconds")
                .and_then(Value::as_u64)
                .unwrap_or(1);
            probers.insert(
                path.clone(),
                json!({handler: asked, "timeoutSeconds": patience}),
            );
            let get = json!({"path": path, "port": STATUS_PORT, "scheme": "HTTP"});
            probe.insert("httpGet".to_owned(), get);
        }
    }
    probers
}

/// A port's number, where it has a name.
fn resolve(port: &Value, container: &Value) -> Value {
    let named = items(&container["ports"])
        .iter()
        .find(|candidate| port.is_string() && candidate["name"] == *port);
    named.map_or_else(|| port.clone(), |named| named["containerPort"].clone())
}
