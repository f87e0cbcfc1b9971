//! Does everyone in a lab know of everything that its manifests brought?
//!
//! A workload is available before it listens where it has no readiness probe, and before proxies
//! that learn late know it. A run that began then would see the start of a lab for a rollout, so a
//! lab is ready once its own truth says otherwise. What never comes is left as it is, and told.

use crate::lab::mesh;
use crate::lab::store::Store;
use crate::lab::store::object::{is_ready, items, name, text, uid};
use crate::lab::truth::{Fact, Record};
use crate::task::wait_until;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long an app may take from being available to listening, and proxies to hear of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the declared ports of running pods are open, and every proxy has every endpoint.
pub(super) async fn wait(store: &Arc<Store>, truth: &Path) {
    let every = Duration::from_millis(200);
    let settled = wait_until("the lab has settled", PATIENCE, every, || async {
        let told = Told::read(&fs::read_to_string(truth).unwrap_or_default());
        let (_, pods) = store.list("pods", None);
        let missing = told
            .closed_port(&pods)
            .or_else(|| told.late_proxy(&pods, &mesh::endpoints(store)));
        missing.map_or(Ok(()), Err)
    });
    if let Err(error) = settled.await {
        tracing::warn!("{error}");
    }
}

/// What the truth says by now.
#[derive(Debug, Default)]
struct Told {
    /// Open ports by the uid of their pod.
    open: BTreeSet<(String, u64)>,
    /// By the uid of a proxy's pod and file: the addresses of endpoints in it.
    pushed: BTreeMap<(String, String), Vec<String>>,
}

impl Told {
    fn read(truth: &str) -> Self {
        let mut told = Self::default();
        for line in truth.lines() {
            // The last line may still be being written.
            let Ok(Record { fact, .. }) = serde_json::from_str(line) else {
                continue;
            };
            match fact {
                Fact::Listen {
                    uid, port, sockets, ..
                } if sockets > 0 => {
                    told.open.insert((uid, u64::from(port)));
                }
                Fact::Listen { uid, port, .. } => {
                    told.open.remove(&(uid, u64::from(port)));
                }
                Fact::Pushed {
                    uid,
                    file,
                    endpoints,
                    ..
                } => {
                    told.pushed.insert((uid, file), endpoints);
                }
                _ => {}
            }
        }
        told
    }

    /// The first declared port of a running pod that is not open.
    fn closed_port(&self, pods: &[Arc<Value>]) -> Option<String> {
        let running = pods.iter().filter(|pod| is_ready(pod));
        let mut declared = running.flat_map(|pod| {
            // A sidecar declares ports for metrics that the lab has no use for.
            let apps = items(&pod["spec"]["containers"])
                .iter()
                .filter(|container| text(&container["name"]) != mesh::PROXY);
            let ports = apps.flat_map(|container| items(&container["ports"]));
            ports.filter_map(move |port| Some((pod, port["containerPort"].as_u64()?)))
        });
        declared
            .find(|(pod, port)| !self.open.contains(&(uid(pod).to_owned(), *port)))
            .map(|(pod, port)| format!("nobody listens on port {port} of pod `{}`", name(pod)))
    }

    /// The first proxy that has not heard of an endpoint, and which.
    fn late_proxy(&self, pods: &[Arc<Value>], endpoints: &BTreeSet<String>) -> Option<String> {
        let proxies: BTreeSet<&str> = self.pushed.keys().map(|(uid, _)| uid.as_str()).collect();
        let mut proxies = pods.iter().filter(|pod| proxies.contains(uid(pod)));
        proxies.find_map(|pod| {
            let own = self.pushed.iter().filter(|((of, _), _)| of == uid(pod));
            let known: BTreeSet<&String> = own.flat_map(|(_, endpoints)| endpoints).collect();
            let missing = endpoints
                .iter()
                .find(|endpoint| !known.contains(endpoint))?;
            let pod = name(pod);
            Some(format!("the proxy of pod `{pod}` does not know {missing}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Arc<Value> {
        Arc::new(json!({
            "metadata": {"name": "demo-1", "uid": "u"},
            "spec": {"containers": [
                {"name": "app", "ports": [{"containerPort": 8080}]},
                {"name": "istio-proxy", "ports": [{"containerPort": 15090}]},
            ]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }))
    }

    fn told(facts: Vec<Fact>) -> Told {
        let lines: Vec<String> = facts
            .into_iter()
            .map(|fact| serde_json::to_string(&Record { t: 0, fact }).expect("plain data"))
            .collect();
        Told::read(&lines.join("\n"))
    }

    fn listen(sockets: usize) -> Fact {
        Fact::Listen {
            pod: "demo-1".to_owned(),
            uid: "u".to_owned(),
            port: 8080,
            sockets,
        }
    }

    #[test]
    fn a_declared_port_is_open_once_somebody_listens() {
        let missing = |facts| told(facts).closed_port(&[pod()]);
        let words = "nobody listens on port 8080 of pod `demo-1`";
        assert_eq!(missing(vec![]).as_deref(), Some(words));
        assert_eq!(missing(vec![listen(1)]), None);
        assert_eq!(missing(vec![listen(1), listen(0)]).as_deref(), Some(words));
    }

    #[test]
    fn a_proxy_is_late_until_its_files_name_every_endpoint() {
        let pushed = |endpoints: &[&str]| Fact::Pushed {
            pod: "demo-1".to_owned(),
            uid: "u".to_owned(),
            file: "eds-demo.json".to_owned(),
            endpoints: endpoints.iter().map(|&one| one.to_owned()).collect(),
        };
        let ready: BTreeSet<String> = ["10.0.0.1:8080", "10.0.0.2:8080"].map(str::to_owned).into();
        let missing = |facts| told(facts).late_proxy(&[pod()], &ready);
        let first = pushed(&["10.0.0.1:8080"]);
        assert_eq!(
            missing(vec![first]).as_deref(),
            Some("the proxy of pod `demo-1` does not know 10.0.0.2:8080")
        );
        let both = pushed(&["10.0.0.1:8080", "10.0.0.2:8080"]);
        assert_eq!(missing(vec![both]), None);
        assert_eq!(missing(vec![]), None, "no proxy is in the lab");
    }
}
