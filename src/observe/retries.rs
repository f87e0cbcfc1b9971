//! What has the sidecar that the harness sends through counted of its retries?
//!
//! Istio leaves these statistics out unless the mesh or the pod includes them
//! (`sidecar.istio.io/statsInclusionRegexps`); then there is a reading without any count.

use super::agent::ask_agent;
use super::prometheus::named;
use crate::evidence::{RetryCounts, host_prefix};
use http::{Method, StatusCode};
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// The agent's own, Envoy's and the app's statistics in one text.
const PATH: &str = "/stats/prometheus";

/// Patience with the agent; load goes on meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the agent.
pub(super) async fn read(client: &str, host: Option<&str>) -> io::Result<RetryCounts> {
    let asked = timeout(PATIENCE, ask_agent(Method::GET, PATH));
    let (status, body) = asked
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    if status != StatusCode::OK {
        return Err(io::Error::other(format!("it answered {status}")));
    }
    Ok(counts(client, host, &String::from_utf8_lossy(&body?)))
}

/// The beginning of the target's hosts in the names of clusters.
pub(super) fn host(service: Option<&str>, namespace: &str) -> Option<String> {
    service.map(|service| host_prefix(service, namespace))
}

fn counts(client: &str, host: Option<&str>, text: &str) -> RetryCounts {
    let uptime = named(text, "envoy_server_uptime").find_map(|sample| sample.count());
    let saved = named(text, "envoy_cluster_upstream_rq_retry_success").filter_map(|sample| {
        // Some versions end a cluster's name with a semicolon, to tell where it ends.
        let cluster = sample.label("cluster_name")?.trim_end_matches(';');
        let count = sample.count()?;
        let (_, own) = cluster.strip_prefix("outbound|")?.rsplit_once('|')?;
        let is_targets = host.is_some_and(|host| own.starts_with(host));
        (count > 0 || is_targets).then(|| (cluster.to_owned(), count))
    });
    RetryCounts {
        client: client.to_owned(),
        uptime,
        saved: saved.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cluster: &str, count: u64) -> String {
        format!("envoy_cluster_upstream_rq_retry_success{{cluster_name=\"{cluster}\"}} {count}\n")
    }

    #[test]
    fn the_targets_clusters_are_kept_and_of_others_those_that_counted() {
        let host = host(Some("demo"), "shop");
        let demo = "outbound|80||demo.shop.svc.cluster.local";
        let canary = "outbound|80|v2|demo.shop.svc.mesh.example";
        let text = [
            "# TYPE envoy_server_uptime gauge\nenvoy_server_uptime{} 61\n",
            &line(demo, 0),
            &line(&format!("{canary};"), 2),
            &line("outbound|80||demo2.shop.svc.cluster.local", 0),
            &line("outbound|80||other.shop.svc.cluster.local", 4),
            &line("inbound|8080||", 9),
            &line("xds-grpc", 9),
            "envoy_cluster_upstream_rq_retry_success 9\n",
        ];
        let counts = counts("local", host.as_deref(), &text.concat());
        assert_eq!((counts.client.as_str(), counts.uptime), ("local", Some(61)));
        let saved = counts
            .saved
            .iter()
            .map(|(name, count)| (name.as_str(), *count));
        let wanted = [
            (canary, 2),
            (demo, 0),
            ("outbound|80||other.shop.svc.cluster.local", 4),
        ];
        assert_eq!(saved.collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_stock_mesh_counts_nothing() {
        let counts = counts(
            "local",
            None,
            "envoy_server_uptime{} 61\nistio_agent_up 1\n",
        );
        assert!(counts.saved.is_empty() && counts.uptime == Some(61));
    }
}
