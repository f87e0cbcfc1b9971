//! For how long is a pod's sidecar told to stay once it is told to stop (facts 3.5)?
//!
//! The settings are in the environment that the injector gives `istio-proxy`; what is not there is in
//! the annotation `proxy.istio.io/config`.

use super::object::{list, text};
use super::pods::ContainerSpec;
use serde_json::Value;

/// What a pod's spec says of its sidecar's drain; `None`: nothing, the default is Istio's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainSettings {
    /// `EXIT_ON_ZERO_ACTIVE_CONNECTIONS`: it leaves as soon as nobody is connected.
    pub until_idle: Option<bool>,
    /// `MINIMUM_DRAIN_DURATION`, nanoseconds.
    pub minimum: Option<i64>,
    /// `terminationDrainDuration`, nanoseconds; ignored beside the first.
    pub fixed: Option<i64>,
    /// `drainDuration`, nanoseconds: Envoy accepts for so long once it drains, whatever the others.
    pub accepting: Option<i64>,
}

/// `drainDuration` where nothing sets it.
pub const DRAIN_DURATION: i64 = 45_000_000_000;

/// A duration as Go writes it (`22s`, `1m30s`, `300ms`), in nanoseconds.
pub fn go_duration(text: &str) -> Option<i64> {
    let parsed: jiff::SignedDuration = text.trim().parse().ok()?;
    i64::try_from(parsed.as_nanos()).ok()
}

/// The settings of one pod's proxy.
pub(super) fn settings(pod: &Value, proxy: &ContainerSpec) -> DrainSettings {
    let all = ["/spec/containers", "/spec/initContainers"].into_iter();
    let container = all
        .flat_map(|pointer| list(pod, pointer))
        .find(|container| text(container, "/name") == Some(proxy.name.as_str()));
    let env = |name: &str| {
        let mut all = container.into_iter().flat_map(|one| list(one, "/env"));
        let found = all.find(|one| text(one, "/name") == Some(name))?;
        text(found, "/value")
    };
    let annotation = pod
        .pointer("/metadata/annotations/proxy.istio.io~1config")
        .and_then(Value::as_str);
    // The injector has put the mesh's own settings and the annotation together in the first.
    let written = [env("PROXY_CONFIG"), annotation].into_iter().flatten();
    let configs: Vec<Value> = written
        .filter_map(|written| serde_yaml::from_str(written).ok())
        .collect();
    let set = |pointer: &str| configs.iter().find_map(|config| text(config, pointer));
    let metadata = |name: &str| env(name).or_else(|| set(&format!("/proxyMetadata/{name}")));
    DrainSettings {
        until_idle: metadata("EXIT_ON_ZERO_ACTIVE_CONNECTIONS").and_then(|text| text.parse().ok()),
        minimum: metadata("MINIMUM_DRAIN_DURATION").and_then(go_duration),
        fixed: set("/terminationDrainDuration").and_then(go_duration),
        accepting: set("/drainDuration").and_then(go_duration),
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::containers;
    use super::*;
    use serde_json::json;

    fn read(pod: &Value) -> DrainSettings {
        let proxy = &containers(pod)[0];
        settings(pod, proxy)
    }

    #[test]
    fn settings_are_read_from_the_environment_and_from_the_annotation() {
        let second = 1_000_000_000;
        let copied = json!({"name": "istio-proxy", "env": [
            {"name": "PROXY_CONFIG", "value": "{\"terminationDrainDuration\":\"22s\"}\n"},
            {"name": "EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "value": "true"},
            {"name": "MINIMUM_DRAIN_DURATION", "value": "1m30s"}]});
        let from_env = read(&json!({"spec": {"containers": [copied]}}));
        let expected = DrainSettings {
            until_idle: Some(true),
            minimum: Some(90 * second),
            fixed: Some(22 * second),
            accepting: None,
        };
        assert_eq!(from_env, expected);
        let annotation = "proxyMetadata:\n  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true'\n  MINIMUM_DRAIN_DURATION: 90s\nterminationDrainDuration: 22s\n";
        let annotated = json!({"metadata": {"annotations": {"proxy.istio.io/config": annotation}},
            "spec": {"containers": [{"name": "istio-proxy"}]}});
        assert_eq!(read(&annotated), expected);
        let shorter = json!({"metadata": {"annotations": {"proxy.istio.io/config": "drainDuration: 5s"}},
            "spec": {"containers": [{"name": "istio-proxy", "env": [
                {"name": "PROXY_CONFIG", "value": "{}\n"}]}]}});
        assert_eq!(read(&shorter).accepting, Some(5 * second));
        let plain = json!({"spec": {"containers": [{"name": "istio-proxy"}]}});
        assert_eq!(read(&plain), DrainSettings::default());
    }
}
