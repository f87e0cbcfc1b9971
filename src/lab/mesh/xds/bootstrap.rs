//! With which configuration and command line does Envoy start?

use super::{ADMIN_PORT, HEALTH_PORT, STATUS_PORT, address, file_source};
use crate::lab::mesh::clock;
use regex::Regex;
use serde_json::{Value, json};
use std::path::Path;

/// The format of Envoy's own log behind its stamp (facts 3.1).
const LOG_FORMAT: &str = "\t%l\tenvoy %n %g:%#\t%v\tthread=%t";

/// Statistics that a stock Istio does not keep, and one of them in full.
const RETRIES: &str = "upstream_rq_retry";
const RETRY: &str = "cluster.outbound|80||demo.shop.svc.cluster.local.upstream_rq_retry_success";

/// The static part: administration, the readiness that is passed to the agent, and where the rest
/// is read from. `stats`: patterns of statistics that are kept besides, with commas between.
pub(crate) fn bootstrap(node: &str, cluster: &str, dir: &Path, stats: &str) -> Value {
    let log_format = format!("{}{LOG_FORMAT}", clock::APPLICATION);
    json!({
        "node": {"id": node, "cluster": cluster},
        "application_log_config": {"log_format": {"text_format": log_format}},
        "admin": {"address": address("127.0.0.1", ADMIN_PORT)},
        "stats_config": statistics(stats),
        "dynamic_resources": {
            "lds_config": file_source(&dir.join("lds.json")),
            "cds_config": file_source(&dir.join("cds.json")),
        },
        "static_resources": {
            "clusters": [{
                "name": "agent",
                "type": "STATIC",
                "connect_timeout": "0.25s",
                "load_assignment": {
                    "cluster_name": "agent",
                    "endpoints": [{"lb_endpoints": [{
                        "endpoint": {"address": address("127.0.0.1", STATUS_PORT)},
                    }]}],
                },
            }],
            "listeners": [health()],
        },
    })
}

/// Clusters are named as Istio names them, in a label of their own.
fn statistics(kept: &str) -> Value {
    let keeps = |pattern: &str| {
        let whole = Regex::new(&format!("^(?:{pattern})$"));
        whole.is_ok_and(|whole| whole.is_match(RETRY))
    };
    let mut config = json!({
        "use_all_default_tags": false,
        "stats_tags": [{
            "tag_name": "cluster_name",
            "regex": r"^cluster\.((.+?(\..+?\.svc\.cluster\.local)?)\.)",
        }],
    });
    if !kept.split(',').any(keeps) {
        config["stats_matcher"] = json!({"exclusion_list": {"patterns": [{"contains": RETRIES}]}});
    }
    config
}

fn health() -> Value {
    json!({
        "name": "agent-health",
        "address": address("0.0.0.0", HEALTH_PORT),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "agent",
                "route_config": {"virtual_hosts": [{
                    "name": "backend",
                    "domains": ["*"],
                    "routes": [{
                        "match": {"prefix": "/healthz/ready"},
                        "route": {"cluster": "agent", "timeout": "3s"},
                    }],
                }]},
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                    },
                }],
            },
        }]}],
    })
}

/// Envoy's arguments as the agent passes them.
pub(crate) fn command(config: &Path, drain_seconds: u64) -> Vec<String> {
    let drain = drain_seconds.to_string();
    let config = config.display().to_string();
    [
        "-c",
        &config,
        "--drain-time-s",
        &drain,
        "--drain-strategy",
        "immediate",
        "--local-address-ip-version",
        "v4",
        "--file-flush-interval-msec",
        "1000",
        "--disable-hot-restart",
        "--allow-unknown-static-fields",
        "-l",
        "warning",
        "--component-log-level",
        "misc:error",
        "--skip-deprecated-logs",
        "--concurrency",
        "2",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_counted_only_where_a_pod_asks_for_it() {
        for (kept, counts) in [
            ("", false),
            ("upstream_rq_retry", false),
            (".*circuit_breakers.*", false),
            ("(", false),
            (".*upstream_rq_retry.*", true),
            (".*circuit_breakers.*,.*upstream_rq_retry.*", true),
        ] {
            let config = statistics(kept);
            assert_eq!(config["stats_matcher"].is_null(), counts, "{kept}");
        }
    }
}
