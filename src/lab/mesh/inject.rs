//! What does Istio's injector add to a pod?

mod probes;
mod sidecar;

use super::settings::Settings;
use crate::lab::store::object::{items, name, text};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Adds the sidecar to pods that want one.
#[derive(Clone, Debug)]
pub struct Injector {
    /// The mesh.
    pub settings: Settings,
    /// The Envoy that sidecars run.
    pub envoy: PathBuf,
    /// Below this folder each proxy has one of its own, named by its pod's uid.
    pub dir: PathBuf,
}

/// What a pod, and what a namespace says about sidecars.
const INJECT: &str = "sidecar.istio.io/inject";
const INJECTION: &str = "istio-injection";

/// The injected containers: the one that installs the redirect, and the sidecar.
pub(crate) const INIT: &str = "istio-init";
pub(crate) const PROXY: &str = "istio-proxy";

/// What names a pod that has been injected.
const STATUS: &str = "sidecar.istio.io/status";

/// Whether some of these manifests want sidecars: an Envoy is needed for that.
pub fn is_wanted(manifests: &[PathBuf]) -> bool {
    manifests.iter().any(|path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // What is no YAML is told where it is applied.
        let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
        documents.flatten().any(|document| wants(&document))
    })
}

/// Whether something in an object, its pod template perhaps, asks for sidecars.
fn wants(part: &Value) -> bool {
    match part {
        Value::Object(map) => {
            map.get(INJECT).is_some_and(|own| own == "true")
                || map.get(INJECTION).is_some_and(|own| own == "enabled")
                || map.values().any(wants)
        }
        Value::Array(parts) => parts.iter().any(wants),
        _ => false,
    }
}

/// Whether a pod has a sidecar of ours.
pub(super) fn is_injected(pod: &Value) -> bool {
    pod["metadata"]["annotations"][STATUS].is_string()
}

impl Injector {
    /// Adds the sidecar to a new pod, if it or its namespace wants it.
    pub fn inject(&self, pod: &mut Value, namespace: Option<&Value>) {
        if !wanted(pod, namespace) || is_injected(pod) {
            return;
        }
        let own = proxy_config(pod);
        let proxy = self.settings.proxy_with(&own);
        let native = match annotation(pod, "sidecar.istio.io/nativeSidecar") {
            "true" => true,
            "false" => false,
            _ => self.settings.native,
        };
        let probers = probes::rewrite(pod);
        let sidecar = sidecar::container(self, pod, &own, &proxy, &probers, native);
        let app = text(&pod["spec"]["containers"][0]["name"]).to_owned();
        place(&mut pod["spec"], sidecar, native, holds(&proxy));
        annotate(pod, native, &app);
    }
}

/// Puts the redirect and the sidecar where Istio puts them. A classic redirect comes after the
/// pod's own init containers, which would find no proxy behind it; a native sidecar is there before
/// them. A sidecar for which the app waits is the first container, else it is the last.
fn place(spec: &mut Value, sidecar: Value, native: bool, holds: bool) {
    let mut init = items(&spec["initContainers"]).to_vec();
    let mut containers = items(&spec["containers"]).to_vec();
    if native {
        init.splice(..0, [sidecar::init(), sidecar]);
    } else {
        init.push(sidecar::init());
        let at = if holds { 0 } else { containers.len() };
        containers.insert(at, sidecar);
    }
    spec["initContainers"] = Value::Array(init);
    spec["containers"] = Value::Array(containers);
}

/// The app is to wait until the proxy is ready.
fn holds(proxy: &Map<String, Value>) -> bool {
    proxy.get("holdApplicationUntilProxyStarts") == Some(&Value::Bool(true))
}

fn wanted(pod: &Value, namespace: Option<&Value>) -> bool {
    let label = text(&pod["metadata"]["labels"][INJECT]);
    match (label, annotation(pod, INJECT)) {
        ("true", _) | ("", "true") => true,
        ("false", _) | ("", "false") => false,
        _ => namespace.is_some_and(|space| space["metadata"]["labels"][INJECTION] == "enabled"),
    }
}

fn annotation<'a>(pod: &'a Value, key: &str) -> &'a str {
    text(&pod["metadata"]["annotations"][key])
}

/// `proxy.istio.io/config`, YAML; what is none is left out, as it cannot be asked about here.
fn proxy_config(pod: &Value) -> Map<String, Value> {
    let written = annotation(pod, "proxy.istio.io/config");
    serde_yaml::from_str(written).unwrap_or_else(|error| {
        tracing::warn!(pod = name(pod), %error, "`proxy.istio.io/config` is no map");
        Map::new()
    })
}

fn annotate(pod: &mut Value, native: bool, app: &str) {
    let first = json!(app);
    let status = if native {
        json!({"initContainers": [INIT, PROXY], "containers": null, "revision": "default"})
    } else {
        json!({"initContainers": [INIT], "containers": [PROXY], "revision": "default"})
    };
    let meta = &mut pod["metadata"];
    for map in ["annotations", "labels"] {
        if !meta[map].is_object() {
            meta[map] = json!({});
        }
    }
    meta["annotations"]["istio.io/rev"] = json!("default");
    if meta["annotations"]["kubectl.kubernetes.io/default-container"].is_null() {
        meta["annotations"]["kubectl.kubernetes.io/default-container"] = first.clone();
        meta["annotations"]["kubectl.kubernetes.io/default-logs-container"] = first;
    }
    meta["annotations"][STATUS] = json!(status.to_string());
    meta["labels"]["security.istio.io/tlsMode"] = json!("disabled");
}

#[cfg(test)]
mod tests;
