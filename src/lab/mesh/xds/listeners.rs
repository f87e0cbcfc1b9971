//! What does an Envoy accept, and where does it send it?

use super::access_log::{TruthLog, access_log};
use super::mesh_services::{Inbound, MeshService};
use super::{INBOUND_PORT, OUTBOUND_PORT, address, resources, retry};
use crate::lab::mesh::settings::Settings;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// All dynamic listeners of a proxy.
pub(crate) fn listeners(
    services: &[MeshService],
    own: &BTreeSet<Inbound>,
    settings: &Settings,
    truth: &TruthLog,
) -> Value {
    let logging = Logging { settings, truth };
    let virtuals = [inbound(own, logging), outbound(logging)];
    let outbounds = services.iter().map(|service| to_service(service, logging));
    let all = virtuals.into_iter().chain(outbounds).collect();
    resources("listener.v3.Listener", all)
}

/// What a filter is made by: the mesh's settings, and where the truth is written.
#[derive(Clone, Copy)]
struct Logging<'a> {
    settings: &'a Settings,
    truth: &'a TruthLog,
}

impl Logging<'_> {
    fn access_log(self) -> Value {
        access_log(self.settings, self.truth)
    }
}

/// Everything that comes to the pod.
fn inbound(own: &BTreeSet<Inbound>, logging: Logging<'_>) -> Value {
    let mut chains: Vec<_> = own
        .iter()
        .map(|one| {
            let cluster = format!("inbound|{}||", one.port);
            let filter = if one.http {
                http(&Way {
                    prefix: format!("inbound_0.0.0.0_{}", one.port),
                    host: format!("inbound|http|{}", one.port),
                    cluster,
                    retry: retry::inbound(logging.settings),
                    server_name: "istio-envoy",
                    counts_attempts: false,
                    logging,
                })
            } else {
                tcp(&cluster, logging)
            };
            json!({"filter_chain_match": {"destination_port": one.port}, "filters": [filter]})
        })
        .collect();
    chains.push(json!({
        "name": "virtualInbound-catchall",
        "filters": [tcp("InboundPassthroughCluster", logging)],
    }));
    json!({
        "name": "virtualInbound",
        "address": address("0.0.0.0", INBOUND_PORT),
        "traffic_direction": "INBOUND",
        "listener_filters": [original_destination()],
        "filter_chains": chains,
    })
}

/// Everything that leaves the pod and is meant for no Service of ours.
fn outbound(logging: Logging<'_>) -> Value {
    json!({
        "name": "virtualOutbound",
        "address": address("0.0.0.0", OUTBOUND_PORT),
        "traffic_direction": "OUTBOUND",
        "use_original_dst": true,
        "listener_filters": [original_destination()],
        "filter_chains": [{"filters": [tcp("PassthroughCluster", logging)]}],
    })
}

fn to_service(service: &MeshService, logging: Logging<'_>) -> Value {
    let filter = if service.http {
        http(&Way {
            prefix: format!("outbound_{}_{}", service.vip, service.port),
            host: format!("{}:{}", service.host, service.port),
            cluster: service.cluster(),
            retry: retry::outbound(logging.settings),
            server_name: "envoy",
            counts_attempts: true,
            logging,
        })
    } else {
        tcp(&service.cluster(), logging)
    };
    json!({
        "name": format!("{}_{}", service.vip, service.port),
        "address": address(&service.vip, service.port),
        "bind_to_port": false,
        "traffic_direction": "OUTBOUND",
        "filter_chains": [{"filters": [filter]}],
    })
}

fn original_destination() -> Value {
    json!({
        "name": "envoy.filters.listener.original_dst",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
        },
    })
}

fn tcp(cluster: &str, logging: Logging<'_>) -> Value {
    json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": cluster,
            "cluster": cluster,
            "access_log": logging.access_log(),
        },
    })
}

/// A way of HTTP requests to one cluster.
struct Way<'a> {
    prefix: String,
    host: String,
    cluster: String,
    retry: Option<Value>,
    server_name: &'static str,
    /// Tells the next hop how often the request was tried. Istio's inbound routes leave what the
    /// client's sidecar has told.
    counts_attempts: bool,
    logging: Logging<'a>,
}

fn http(way: &Way<'_>) -> Value {
    let mut route = json!({"cluster": way.cluster, "timeout": "0s"});
    if let Some(retry) = &way.retry {
        route["retry_policy"] = retry.clone();
    }
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": way.prefix,
            "route_config": {
                "name": way.prefix,
                "validate_clusters": false,
                "virtual_hosts": [{
                    "name": way.host,
                    "domains": ["*"],
                    "include_request_attempt_count": way.counts_attempts,
                    "routes": [{"name": "default", "match": {"prefix": "/"}, "route": route}],
                }],
            },
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                },
            }],
            "server_name": way.server_name,
            "stream_idle_timeout": "0s",
            // The share that is traced is marked in the request id (facts 4.7).
            "tracing": {
                "client_sampling": {"value": 100.0},
                "random_sampling": {"value": 1.0},
                "overall_sampling": {"value": 100.0},
            },
            "access_log": way.logging.access_log(),
        },
    })
}
