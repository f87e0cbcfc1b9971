//! What does one state of an API object say of its owner, its containers and its stamps?

use super::pods::{ContainerSpec, Role};
use serde_json::Value;

/// Names under which meshes run their proxy.
pub const SIDECAR_NAMES: &[&str] = &["istio-proxy", "linkerd-proxy", "envoy-sidecar", "envoy"];

pub(super) fn containers(pod: &Value) -> Vec<ContainerSpec> {
    let mut found = Vec::new();
    for (pointer, init) in [("/spec/containers", false), ("/spec/initContainers", true)] {
        for container in list(pod, pointer) {
            let Some(name) = text(container, "/name") else {
                continue;
            };
            let proxy = SIDECAR_NAMES.contains(&name);
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
                readiness_probe: container
                    .get("readinessProbe")
                    .is_some_and(|probe| !probe.is_null()),
                serves: list(container, "/ports").next().is_some(),
            });
        }
    }
    found
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

pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// An API stamp as epoch nanoseconds.
pub fn epoch(stamp: &str) -> Option<i64> {
    let stamp: jiff::Timestamp = stamp.parse().ok()?;
    i64::try_from(stamp.as_nanosecond()).ok()
}
