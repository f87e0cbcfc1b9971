//! What does istiod tell an Envoy? Pure functions from Services and pods to Envoy's own JSON.
//!
//! The shape is that of Istio: virtual listeners with original destinations, a cluster for each
//! port of each Service, endpoints of their own, Istio's access log. What Istio adds in filters of
//! its own is left out, and so is mutual TLS: traffic between sidecars is plain here.

mod access_log;
mod bootstrap;
mod clusters;
mod listeners;
mod mesh_services;
mod retry;

pub(crate) use access_log::TruthLog;
pub(crate) use bootstrap::{bootstrap, command};
pub(crate) use clusters::{clusters, endpoints};
pub(crate) use listeners::listeners;
pub(crate) use mesh_services::{MeshService, endpoints_file, inbound, mesh_services};

use serde_json::{Value, json};

/// Where the inbound listener takes redirected connections.
pub(crate) const INBOUND_PORT: u16 = 15_006;
/// Where the outbound listener takes them.
pub(crate) const OUTBOUND_PORT: u16 = 15_001;
/// Envoy's administration, on the pod's loopback only.
pub(crate) const ADMIN_PORT: u16 = 15_000;
/// Where the agent answers: readiness, the app's probes, `/drain`, `/quitquitquit`.
pub(crate) const STATUS_PORT: u16 = 15_020;
/// Where Envoy passes readiness on to the agent.
pub(crate) const HEALTH_PORT: u16 = 15_021;
/// The mark of Envoy's own connections, which the redirect lets pass.
pub(crate) const MARK: u32 = 1_337;

/// A discovery response as Envoy reads it from a file.
pub(crate) fn resources(kind: &str, resources: Vec<Value>) -> Value {
    let name = format!("type.googleapis.com/envoy.config.{kind}");
    let resources: Vec<_> = resources
        .into_iter()
        .map(|mut resource| {
            resource["@type"] = json!(name);
            resource
        })
        .collect();
    json!({ "resources": resources })
}

fn address(ip: &str, port: u16) -> Value {
    json!({"socket_address": {"address": ip, "port_value": port}})
}

/// Where a file of discovery is; it is read again when another is moved to its place.
fn file_source(path: &std::path::Path) -> Value {
    json!({"path_config_source": {"path": path}, "resource_api_version": "V3"})
}

#[cfg(test)]
mod tests;
