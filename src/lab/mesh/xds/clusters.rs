//! Where can an Envoy send to?

use super::mesh_services::{Inbound, MeshService};
use super::{MARK, address, file_source, resources};
use crate::lab::mesh::settings::Settings;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Istio's default `connectTimeout`.
const CONNECT_TIMEOUT: &str = "10s";

/// All clusters of a proxy whose files are in `dir`.
pub(crate) fn clusters(
    services: &[MeshService],
    inbound: &BTreeSet<Inbound>,
    settings: &Settings,
    dir: &Path,
) -> Value {
    let outbound = services
        .iter()
        .map(|service| outbound(service, settings, dir));
    let own = inbound.iter().map(|one| {
        let mut cluster = to_the_app(&format!("inbound|{}||", one.port));
        limit_idle(&mut cluster, settings);
        cluster
    });
    let rest = [
        to_the_app("InboundPassthroughCluster"),
        passthrough("PassthroughCluster", "0.0.0.0", true),
    ];
    resources(
        "cluster.v3.Cluster",
        outbound.chain(own).chain(rest).collect(),
    )
}

fn outbound(service: &MeshService, settings: &Settings, dir: &Path) -> Value {
    let mut cluster = json!({
        "name": service.cluster(),
        "type": "EDS",
        "connect_timeout": CONNECT_TIMEOUT,
        "lb_policy": "LEAST_REQUEST",
        "eds_cluster_config": {
            "service_name": service.cluster(),
            "eds_config": file_source(&dir.join(service.file())),
        },
        "common_lb_config": {"healthy_panic_threshold": {"value": 0.0}},
        "circuit_breakers": unlimited(),
        "upstream_bind_config": bind("0.0.0.0", true),
    });
    limit_idle(&mut cluster, settings);
    if let Some(errors) = settings.consecutive_5xx {
        // The defaults of a DestinationRule's `outlierDetection`.
        cluster["outlier_detection"] = json!({
            "consecutive_5xx": errors,
            "interval": "10s",
            "base_ejection_time": "30s",
            "max_ejection_percent": 10,
            "enforcing_consecutive_5xx": 100,
            "enforcing_success_rate": 0,
        });
    }
    cluster
}

/// Closes pooled connections before the peer does.
fn limit_idle(cluster: &mut Value, settings: &Settings) {
    if let Some(idle) = settings.idle_timeout {
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": format!("{}s", idle.as_secs_f64())},
                "explicit_http_config": {"http_protocol_options": {}},
            },
        });
    }
}

/// The app, at the address that the client asked for, from an address that tells the proxy's
/// connections from others.
fn to_the_app(name: &str) -> Value {
    passthrough(name, "127.0.0.6", false)
}

fn passthrough(name: &str, source: &str, marked: bool) -> Value {
    json!({
        "name": name,
        "type": "ORIGINAL_DST",
        "connect_timeout": CONNECT_TIMEOUT,
        "lb_policy": "CLUSTER_PROVIDED",
        "cleanup_interval": "60s",
        "circuit_breakers": unlimited(),
        "upstream_bind_config": bind(source, marked),
    })
}

fn bind(source: &str, marked: bool) -> Value {
    let mut bind = json!({"source_address": {"address": source, "port_value": 0}});
    if marked {
        // SOL_SOCKET and SO_MARK.
        bind["socket_options"] = json!([{"level": "1", "name": "36", "int_value": MARK.to_string(), "state": "STATE_PREBIND"}]);
    }
    bind
}

fn unlimited() -> Value {
    let most = u32::MAX;
    json!({"thresholds": [{
        "max_connections": most,
        "max_pending_requests": most,
        "max_requests": most,
        "max_retries": most,
    }]})
}

/// The endpoints of one port of a Service.
pub(crate) fn endpoints(service: &MeshService) -> Value {
    let endpoints: Vec<_> = service
        .endpoints
        .iter()
        .map(|(ip, port)| json!({"endpoint": {"address": address(ip, *port)}}))
        .collect();
    let assignment = json!({
        "cluster_name": service.cluster(),
        "endpoints": [{"lb_endpoints": endpoints}],
    });
    resources("endpoint.v3.ClusterLoadAssignment", vec![assignment])
}
