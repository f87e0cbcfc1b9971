//! Where do a kubelet's probes and hooks of the app go when a sidecar is in front of it?
//!
//! To the agent, which asks the app from within the pod. When the agent has closed its port, they
//! fail although the app is well (facts 3.3): that is how it is in a real mesh too.

use crate::lab::mesh::xds::STATUS_PORT;
use crate::lab::store::object::{items, text};
use serde_json::{Map, Value, json};

/// What is rewritten, and the words that stand for it in the agent's paths.
const PROBES: [(&str, &str); 3] = [
    ("readinessProbe", "readyz"),
    ("livenessProbe", "livez"),
    ("startupProbe", "startupz"),
];
const HOOKS: [(&str, &str); 2] = [("preStop", "prestopz"), ("postStart", "poststartz")];

/// Points the HTTP and TCP probes and hooks of all containers to the agent; gives what the agent
/// must ask.
pub(super) fn rewrite(pod: &mut Value) -> Map<String, Value> {
    let mut probers = Map::new();
    let Some(containers) = pod["spec"]["containers"].as_array_mut() else {
        return probers;
    };
    for container in containers {
        let whole = container.clone();
        let name = text(&whole["name"]);
        for (kind, word) in PROBES {
            let path = format!("/app-health/{name}/{word}");
            if let Some(probe) = container.get_mut(kind).and_then(Value::as_object_mut) {
                let patience = probe.get("timeoutSeconds").and_then(Value::as_u64);
                let asked = redirect(probe, &path, &whole);
                probers.extend(asked.map(|mut asked| {
                    asked["timeoutSeconds"] = json!(patience.unwrap_or(1));
                    (path, asked)
                }));
            }
        }
        let Some(hooks) = container.get_mut("lifecycle") else {
            continue;
        };
        for (kind, word) in HOOKS {
            let path = format!("/app-lifecycle/{name}/{word}");
            if let Some(hook) = hooks.get_mut(kind).and_then(Value::as_object_mut) {
                let asked = redirect(hook, &path, &whole);
                probers.extend(asked.map(|asked| (path, asked)));
            }
        }
    }
    probers
}

/// Lets the agent be asked under `path`; gives what it must ask instead.
fn redirect(asked: &mut Map<String, Value>, path: &str, container: &Value) -> Option<Value> {
    let (handler, mut target) = ["httpGet", "tcpSocket"]
        .into_iter()
        .find_map(|handler| Some((handler, asked.remove(handler)?)))?;
    target["port"] = resolve(&target["port"], container);
    let get = json!({"path": path, "port": STATUS_PORT, "scheme": "HTTP"});
    asked.insert("httpGet".to_owned(), get);
    Some(json!({handler: target}))
}

/// A port's number, where it has a name.
fn resolve(port: &Value, container: &Value) -> Value {
    let named = items(&container["ports"])
        .iter()
        .find(|candidate| port.is_string() && candidate["name"] == *port);
    named.map_or_else(|| port.clone(), |named| named["containerPort"].clone())
}
