//! Does everyone in a lab know of everything that its manifests brought?
//!
//! A workload is available before it listens where it has no readiness probe, and before nodes and
//! proxies that learn late know it. A run that began then would see the start of a lab for a rollout, so a
//! lab is ready once its own truth says otherwise. What never comes is left as it is, and told.

use crate::lab::controllers::service_selector;
use crate::lab::mesh;
use crate::lab::proxy::{self, Routes};
use crate::lab::store::Store;
use crate::lab::store::object::{is_ready, is_terminating, items, name, namespace, text, uid};
use crate::lab::truth::{Fact, records, whole_lines};
use crate::task::wait_until;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::future::ready;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long an app may take from being available to listening, and nodes and proxies to hear of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the declared ports of running pods are open, the slices list every ready pod, each
/// node's rules lead to all endpoints, and every proxy has every endpoint.
pub(super) async fn wait(store: &Arc<Store>, truth: &Path) {
    let every = Duration::from_millis(200);
    let mut told = Told::default();
    let settled = wait_until("the lab has settled", PATIENCE, every, || {
        ready(told.read_on(truth).and_then(|()| told.settled(store)))
    });
    if let Err(error) = settled.await {
        tracing::warn!("{error}");
    }
}

/// What the truth says by now.
#[derive(Debug, Default)]
struct Told {
    /// So many bytes of the truth have been read.
    read: u64,
    /// Open ports by the uid of their pod.
    open: BTreeSet<(String, u64)>,
    /// By node, then service and port: the endpoints that its rules lead to.
    rules: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// By the uid of a proxy's pod and file: the addresses of endpoints in it.
    pushed: BTreeMap<(String, String), Vec<String>>,
}

impl Told {
    /// Takes in what was written since.
    fn read_on(&mut self, truth: &Path) -> Result<(), String> {
        let mut news = String::new();
        let read = File::open(truth).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_string(&mut news)
        });
        read.map_err(|error| format!("the truth cannot be read: {error}"))?;
        self.take(&news);
        Ok(())
    }

    fn take(&mut self, news: &str) {
        let whole = whole_lines(news);
        self.read += whole.len() as u64;
        for record in records(whole) {
            match record.fact {
                Fact::Listen {
                    uid, port, sockets, ..
                } if sockets > 0 => {
                    self.open.insert((uid, u64::from(port)));
                }
                Fact::Listen { uid, port, .. } => {
                    self.open.remove(&(uid, u64::from(port)));
                }
                Fact::Rules {
                    node,
                    service,
                    endpoints,
                } => {
                    self.rules
                        .entry(node)
                        .or_default()
                        .insert(service, endpoints);
                }
                Fact::Pushed {
                    uid,
                    file,
                    endpoints,
                    ..
                } => {
                    self.pushed.insert((uid, file), endpoints);
                }
                _ => {}
            }
        }
    }

    /// What is missing, if something is.
    fn settled(&self, store: &Store) -> Result<(), String> {
        let (_, pods) = store.list("pods", None);
        let (_, services) = store.list("services", None);
        let (_, slices) = store.list("endpointslices", None);
        let missing = self
            .closed_port(&pods)
            .or_else(|| late_slice(&services, &pods, &slices))
            .or_else(|| self.late_node(&proxy::routes(&services, &slices)))
            .or_else(|| self.late_proxy(&pods, &mesh::endpoints(store)));
        missing.map_or(Ok(()), Err)
    }

    /// The first declared TCP port of a running pod that is not open: nobody listens on others.
    fn closed_port(&self, pods: &[Arc<Value>]) -> Option<String> {
        let running = pods.iter().filter(|pod| is_ready(pod));
        let mut declared = running.flat_map(|pod| {
            // A sidecar declares ports for metrics that the lab has no use for.
            let apps = items(&pod["spec"]["containers"])
                .iter()
                .filter(|container| text(&container["name"]) != mesh::PROXY);
            let ports = apps.flat_map(|container| items(&container["ports"]));
            let ports = ports.filter(|port| matches!(text(&port["protocol"]), "" | "TCP"));
            ports.filter_map(move |port| Some((pod, port["containerPort"].as_u64()?)))
        });
        declared
            .find(|(pod, port)| !self.open.contains(&(uid(pod).to_owned(), *port)))
            .map(|(pod, port)| format!("nobody listens on port {port} of pod `{}`", name(pod)))
    }

    /// The first node whose rules do not lead where they should. (Rules that lead nowhere are told as
    /// soon as there is a Service.)
    fn late_node(&self, routes: &Routes) -> Option<String> {
        let mut wanted = self.rules.iter().flat_map(|(node, rules)| {
            let ports = routes.iter();
            ports.map(move |(port, endpoints)| (node, rules.get(&port.id), port, endpoints))
        });
        let (node, rules, port, endpoints) = wanted.find(|(_, rules, _, endpoints)| {
            let told = rules.map(Vec::as_slice).unwrap_or_default();
            !endpoints
                .iter()
                .map(ToString::to_string)
                .eq(told.iter().cloned())
        })?;
        Some(format!(
            "the rules of node `{node}` for {} lead to {rules:?} instead of {endpoints:?}",
            port.id
        ))
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

/// The first ready pod that a Service selects and whose slices do not call it ready: a workload is
/// available as soon as its pods are, and the slices' controller has not seen them by then.
fn late_slice(
    services: &[Arc<Value>],
    pods: &[Arc<Value>],
    slices: &[Arc<Value>],
) -> Option<String> {
    let listed = |service: &Value, pod: &Value| {
        let own = slices.iter().filter(|slice| {
            namespace(slice) == namespace(service)
                && text(&slice["metadata"]["labels"]["kubernetes.io/service-name"]) == name(service)
        });
        own.flat_map(|slice| items(&slice["endpoints"])).any(|one| {
            text(&one["targetRef"]["uid"]) == uid(pod) && one["conditions"]["ready"] == true
        })
    };
    services.iter().find_map(|service| {
        let selector = service_selector(service)?;
        let late = pods.iter().find(|pod| {
            namespace(pod) == namespace(service)
                && selector.matches(pod)
                && is_ready(pod)
                && !is_terminating(pod)
                && !listed(service, pod)
        })?;
        let (service, pod) = (name(service), name(late));
        Some(format!(
            "the slices of Service `{service}` do not say that pod `{pod}` is ready"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::proxy::ServicePort;
    use crate::lab::truth::Record;
    use serde_json::json;

    fn pod() -> Arc<Value> {
        Arc::new(json!({
            "metadata": {"name": "demo-1", "uid": "u"},
            "spec": {"containers": [
                {"name": "app", "ports": [
                    {"containerPort": 8080, "protocol": "TCP"},
                    {"containerPort": 53, "protocol": "UDP"},
                ]},
                {"name": "istio-proxy", "ports": [{"containerPort": 15090}]},
            ]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }))
    }

    fn written(facts: Vec<Fact>) -> String {
        let lines = facts
            .into_iter()
            .map(|fact| serde_json::to_string(&Record { t: 0, fact }).expect("plain data") + "\n");
        lines.collect()
    }

    fn told(facts: Vec<Fact>) -> Told {
        let mut told = Told::default();
        told.take(&written(facts));
        told
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
    fn what_is_written_meanwhile_is_read_once_it_is_whole() {
        let path = tempfile::NamedTempFile::new()
            .expect("a file")
            .into_temp_path();
        let (first, second) = (written(vec![listen(1)]), written(vec![listen(0)]));
        let half = second.len() / 2;
        let mut told = Told::default();
        for (text, open) in [
            (first.clone() + &second[..half], 1),
            (first.clone() + &second, 0),
            (first.clone() + &second + &first, 1),
        ] {
            std::fs::write(&path, &text).expect("it is writable");
            told.read_on(&path).expect("it is readable");
            assert_eq!(told.open.len(), open, "{text}");
        }
        assert_eq!(told.read, (2 * first.len() + second.len()) as u64);
        let error = told.read_on(Path::new("/no-such-truth")).unwrap_err();
        assert!(error.contains("cannot be read"), "{error}");
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
    fn slices_are_late_until_they_call_every_ready_pod_ready() {
        let labels = json!({"app": "demo"});
        let service = Arc::new(json!({
            "metadata": {"name": "demo"}, "spec": {"selector": labels},
        }));
        let mut labelled = (*pod()).clone();
        labelled["metadata"]["labels"] = labels;
        let missing = |pod: &Value, ready: bool| {
            let slice = json!({
                "metadata": {"labels": {"kubernetes.io/service-name": "demo"}},
                "endpoints": [
                    {"targetRef": {"uid": "u"}, "conditions": {"ready": ready}},
                ],
            });
            late_slice(
                std::slice::from_ref(&service),
                &[Arc::new(pod.clone())],
                &[Arc::new(slice)],
            )
        };
        assert_eq!(
            missing(&labelled, false).as_deref(),
            Some("the slices of Service `demo` do not say that pod `demo-1` is ready")
        );
        assert_eq!(missing(&labelled, true), None);
        assert_eq!(missing(&pod(), false), None, "another Service's");
        labelled["status"]["conditions"][0]["status"] = json!("False");
        assert_eq!(missing(&labelled, false), None, "not ready yet");
    }

    #[test]
    fn a_node_is_late_until_its_rules_lead_to_every_endpoint() {
        let rules = |node: &str, endpoints: &[&str]| Fact::Rules {
            node: node.to_owned(),
            service: "default/demo:80".to_owned(),
            endpoints: endpoints.iter().map(|&one| one.to_owned()).collect(),
        };
        let port = ServicePort {
            id: "default/demo:80".to_owned(),
            address: "10.96.0.10:80".parse().expect("an address"),
        };
        let endpoint = "10.0.0.1:8080".parse().expect("an address");
        let routes = Routes::from([(port.clone(), vec![endpoint])]);
        let missing = |facts| told(facts).late_node(&routes);
        let (first, second) = (rules("node-1", &[]), rules("node-2", &["10.0.0.1:8080"]));
        let late = missing(vec![first, second]).expect("the first is late");
        assert!(late.contains("`node-1` for default/demo:80"), "{late}");
        assert_eq!(missing(vec![rules("node-1", &["10.0.0.1:8080"])]), None);
        let nobody = Routes::from([(port, Vec::new())]);
        assert_eq!(told(vec![rules("node-1", &[])]).late_node(&nobody), None);
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
