//! What does one state of an API object say of its owner, its containers and its stamps?

use super::pods::{ContainerSpec, FLOOR, Role};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Names under which meshes run their proxy.
const SIDECAR_NAMES: &[&str] = &["istio-proxy", "linkerd-proxy", "envoy-sidecar", "envoy"];

pub(super) fn containers(pod: &Value) -> Vec<ContainerSpec> {
    let mut found = Vec::new();
    for (pointer, init) in [("/spec/containers", false), ("/spec/initContainers", true)] {
        for container in list(pod, pointer) {
            let Some(name) = text(container, "/name") else {
                continue;
            };
            let proxy = is_proxy(name);
            let always = text(container, "/restartPolicy") == Some("Always");
            let role = match (init, proxy) {
                (false, true) => Role::ClassicSidecar,
                (false, false) => Role::App,
                (true, true) if always => Role::NativeSidecar,
                (true, _) => Role::Init,
            };
            found.push(ContainerSpec {
                name: name.to_owned(),
                role,
                prestop: container.pointer("/lifecycle/preStop").is_some(),
                prestop_sleep: prestop_sleep(container).unwrap_or(0),
                readiness_probe: container
                    .get("readinessProbe")
                    .is_some_and(|probe| !probe.is_null()),
                ports: ports(container),
            });
        }
    }
    // A proxy beside no app is nobody's sidecar: a gateway serves by itself.
    if found.iter().all(|spec| spec.role != Role::App) {
        for spec in &mut found {
            if spec.role == Role::ClassicSidecar {
                spec.role = Role::App;
            }
        }
    }
    found
}

/// The numbers of the ports that a container declares, and of those that its probes ask by number.
fn ports(container: &Value) -> BTreeSet<u16> {
    let declared = list(container, "/ports").filter_map(|port| port.get("containerPort"));
    let probes = ["readinessProbe", "livenessProbe", "startupProbe"];
    let asked = probes.iter().flat_map(|probe| {
        ["httpGet", "tcpSocket", "grpc"]
            .iter()
            .filter_map(move |way| container.pointer(&format!("/{probe}/{way}/port")))
    });
    let numbers = declared.chain(asked).filter_map(Value::as_u64);
    numbers
        .filter_map(|port| u16::try_from(port).ok())
        .collect()
}

/// A mesh's proxy runs in the pod.
pub(crate) fn has_sidecar(pod: &Value) -> bool {
    containers(pod).iter().any(ContainerSpec::is_sidecar)
}

/// Whether a container of this name is a mesh's proxy.
pub(crate) fn is_proxy(name: &str) -> bool {
    SIDECAR_NAMES.contains(&name)
}

/// Whether a container with this `terminated` state ran at all. These reasons are given to one that
/// never did: the kubelet could not start it, or it was deleted while it was being created.
pub(crate) fn ran(state: &Value) -> bool {
    let never = ["ContainerStatusUnknown", "StartError", "ContainerCannotRun"];
    state["terminated"].is_object()
        && text(state, "/terminated/reason").is_none_or(|reason| !never.contains(&reason))
}

/// The controller among an object's owners: its kind and name.
pub(crate) fn controller(object: &Value) -> Option<(&str, &str)> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
        .or_else(|| owners.first())?;
    Some((text(owner, "/kind")?, text(owner, "/name")?))
}

/// How long a preStop hook sleeps that does nothing else: `sleep`, or `exec` of a plain sleep.
fn prestop_sleep(container: &Value) -> Option<i64> {
    let hook = container.pointer("/lifecycle/preStop")?;
    let seconds = match hook.pointer("/sleep/seconds").and_then(Value::as_i64) {
        Some(seconds) => seconds as f64,
        None => {
            let mut words = list(hook, "/exec/command").filter_map(Value::as_str);
            let program = words.next()?.rsplit('/').next()?;
            let last = words.last()?;
            let told = match program {
                "sleep" => last,
                "sh" | "bash" | "ash" => last.trim().strip_prefix("sleep ")?.trim(),
                _ => return None,
            };
            told.trim_end_matches('s').parse().ok()?
        }
    };
    (0.0..86_400.0)
        .contains(&seconds)
        .then_some((seconds * FLOOR as f64) as i64)
}

/// An object's labels.
pub(super) fn labels(object: &Value) -> BTreeMap<String, String> {
    let labels = object
        .pointer("/metadata/labels")
        .and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    labels.into_iter().flatten().filter_map(text).collect()
}

pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// An API stamp as epoch nanoseconds.
pub fn epoch(stamp: &str) -> Option<i64> {
    let stamp: jiff::Timestamp = stamp.parse().ok()?;
    i64::try_from(stamp.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_proxy_is_a_sidecar_only_beside_an_app() {
        let roles = |containers: Value, init: Value| {
            let pod = json!({"spec": {"containers": containers, "initContainers": init}});
            let found = super::containers(&pod);
            found.iter().map(|spec| spec.role).collect::<Vec<_>>()
        };
        let named = |name: &str| json!({"name": name});
        let native = json!({"name": "istio-proxy", "restartPolicy": "Always"});
        for (containers, init, expected) in [
            (
                json!([named("app"), named("istio-proxy")]),
                json!([named("istio-init")]),
                vec![Role::App, Role::ClassicSidecar, Role::Init],
            ),
            (
                json!([named("app")]),
                json!([native]),
                vec![Role::App, Role::NativeSidecar],
            ),
            (json!([named("istio-proxy")]), Value::Null, vec![Role::App]),
            (json!([named("envoy")]), Value::Null, vec![Role::App]),
        ] {
            assert_eq!(roles(containers.clone(), init), expected, "{containers}");
        }
    }

    #[test]
    fn a_hook_that_only_sleeps_tells_for_how_long() {
        for (hook, seconds) in [
            (json!({"sleep": {"seconds": 7}}), Some(7)),
            (json!({"exec": {"command": ["sleep", "5"]}}), Some(5)),
            (
                json!({"exec": {"command": ["/bin/sh", "-c", "sleep 15"]}}),
                Some(15),
            ),
            (
                json!({"exec": {"command": ["sh", "-c", "sleep 3; quit"]}}),
                None,
            ),
            (
                json!({"exec": {"command": ["sh", "-c", "curl -X POST localhost/drain"]}}),
                None,
            ),
            (json!({"httpGet": {"path": "/drain"}}), None),
        ] {
            let container = json!({"lifecycle": {"preStop": hook}});
            let expected = seconds.map(|seconds: i64| seconds * FLOOR);
            assert_eq!(prestop_sleep(&container), expected, "{container}");
        }
    }
}
