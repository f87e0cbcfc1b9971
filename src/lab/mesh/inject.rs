//! What does Istio's injector add to a pod?

mod probes;
mod sidecar;

use super::settings::Settings;
use crate::lab::store::object::{items, name, text};
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

/// What names a pod that has been injected.
const STATUS: &str = "sidecar.istio.io/status";

/// Whether some of these manifests want sidecars, or may: an Envoy is needed for that.
pub fn is_wanted(manifests: &[PathBuf]) -> bool {
    manifests.iter().any(|path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| {
            let line = line.split('#').next().unwrap_or_default();
            line.contains("istio-injection: enabled")
                || line.contains("sidecar.istio.io/inject: \"true\"")
                || line.contains("sidecar.istio.io/inject: 'true'")
        })
    })
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
        let spec = &mut pod["spec"];
        let mut init = vec![sidecar::init()];
        if native {
            init.push(sidecar.clone());
        }
        init.extend(items(&spec["initContainers"]).iter().cloned());
        spec["initContainers"] = Value::Array(init);
        if !native && let Some(containers) = spec["containers"].as_array_mut() {
            containers.push(sidecar);
        }
        annotate(pod, native);
    }
}

fn wanted(pod: &Value, namespace: Option<&Value>) -> bool {
    const INJECT: &str = "sidecar.istio.io/inject";
    let label = text(&pod["metadata"]["labels"][INJECT]);
    match (label, annotation(pod, INJECT)) {
        ("true", _) | ("", "true") => true,
        ("false", _) | ("", "false") => false,
        _ => namespace
            .is_some_and(|space| space["metadata"]["labels"]["istio-injection"] == "enabled"),
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

fn annotate(pod: &mut Value, native: bool) {
    let first = json!(text(&pod["spec"]["containers"][0]["name"]));
    let status = if native {
        json!({"initContainers": ["istio-init", "istio-proxy"], "containers": null, "revision": "default"})
    } else {
        json!({"initContainers": ["istio-init"], "containers": ["istio-proxy"], "revision": "default"})
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
