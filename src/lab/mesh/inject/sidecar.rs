//! What do the injected containers look like?

use super::{INIT, Injector, PROXY};
use crate::lab::mesh::xds::HEALTH_PORT;
use crate::lab::store::object::{items, name, text};
use serde_json::{Map, Value, json};

const IMAGE: &str = "docker.io/istio/proxyv2:lab";

/// The part of this program that is pilot-agent.
const AGENT: [&str; 3] = ["lastwatch", "lab", "agent"];

fn command(rest: &[&str]) -> Value {
    json!(AGENT.iter().chain(rest).collect::<Vec<_>>())
}

/// The container that installs the redirect.
pub(super) fn init() -> Value {
    json!({
        "name": INIT,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": command(&["redirect"]),
    })
}

/// The sidecar itself.
pub(super) fn container(
    injector: &Injector,
    pod: &Value,
    own: &Map<String, Value>,
    proxy: &Map<String, Value>,
    probers: &Map<String, Value>,
    native: bool,
) -> Value {
    let probe = |period: u32, failures: u32| {
        json!({
            "httpGet": {"path": "/healthz/ready", "port": HEALTH_PORT, "scheme": "HTTP"},
            "timeoutSeconds": 3,
            "periodSeconds": period,
            "successThreshold": 1,
            "failureThreshold": failures,
        })
    };
    let mut container = json!({
        "name": PROXY,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": command(&["proxy"]),
        "ports": [{"name": "http-envoy-prom", "containerPort": 15_090, "protocol": "TCP"}],
        "env": environment(injector, pod, own, proxy, probers),
        "readinessProbe": probe(15, 4),
        "startupProbe": probe(1, 600),
    });
    if native {
        container["restartPolicy"] = json!("Always");
        container["lifecycle"] =
            json!({"preStop": {"exec": {"command": command(&["request", "POST", "drain"])}}});
    } else if super::holds(proxy) {
        container["lifecycle"] = json!({"postStart": {"exec": {"command": command(&["wait"])}}});
    }
    container
}

fn environment(
    injector: &Injector,
    pod: &Value,
    own: &Map<String, Value>,
    proxy: &Map<String, Value>,
    probers: &Map<String, Value>,
) -> Vec<Value> {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    let plain = |name: &str, value: String| json!({"name": name, "value": escaped(&value)});
    let app = match text(&pod["metadata"]["labels"]["app"]) {
        "" => name(pod),
        app => app,
    };
    let apps: Vec<_> = items(&pod["spec"]["containers"])
        .iter()
        .map(name_of)
        .collect();
    let mut env = vec![
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        field("POD_UID", "metadata.uid"),
        field("INSTANCE_IP", "status.podIP"),
        plain("PROXY_CONFIG", json!(own).to_string()),
        plain("ISTIO_META_APP_CONTAINERS", apps.join(",")),
        plain("ISTIO_META_WORKLOAD_NAME", app.to_owned()),
        plain("ISTIO_KUBE_APP_PROBERS", json!(probers).to_string()),
        plain("LAB_PROXY_CONFIG", json!(proxy).to_string()),
        plain("LAB_MESH_DIR", injector.dir.display().to_string()),
        plain("LAB_ENVOY", injector.envoy.display().to_string()),
    ];
    let stats = super::annotation(pod, "sidecar.istio.io/statsInclusionRegexps");
    if !stats.is_empty() {
        env.push(plain("LAB_STATS_REGEXPS", stats.to_owned()));
    }
    // As Istio does, so that a pod's spec shows them.
    if let Some(metadata) = proxy.get("proxyMetadata").and_then(Value::as_object) {
        let pairs = metadata.iter();
        env.extend(pairs.map(|(key, value)| plain(key, text(value).to_owned())));
    }
    env
}

fn name_of(container: &Value) -> &str {
    text(&container["name"])
}

/// A `$` in a container's environment begins a reference.
fn escaped(value: &str) -> String {
    value.replace('$', "$$")
}
