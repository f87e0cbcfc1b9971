//! How do manifests become objects of a lab, and when is what they ask for there?

use crate::lab::loopback::{self, Block};
use crate::lab::node::LogBook;
use crate::lab::store::object::{is_ready, items, name, namespace, text, uid};
use crate::lab::store::{RESOURCES, Store};
use crate::task::{WaitTimeout, wait_until};
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long a lab may take until everything is ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why manifests could not be applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error("failed to read `{path}`")]
    Read {
        path: String,
        source: std::io::Error,
    },
    #[error("`{path}` is no YAML")]
    Syntax {
        path: String,
        source: serde_yaml::Error,
    },
    #[error(
        "`{path}`: the lab has no kind `{kind}` of `{api_version}`\n\
         hint: it knows {known}"
    )]
    Unknown {
        path: String,
        kind: String,
        api_version: String,
        known: String,
    },
    #[error("`{path}`: {kind} `{object}` was refused: {text}")]
    Refused {
        path: String,
        kind: String,
        object: String,
        text: String,
    },
    #[error("what the manifests ask for is not there")]
    NotReady(#[source] WaitTimeout),
    #[error("a container of what the manifests ask for ends again and again: {0}")]
    Crashing(String),
}

/// The pod that a harness runs in when it is to send from inside the cluster.
pub(super) const CLIENT: &str = "lastwatch-client";

/// Its container beside the sidecar.
pub(super) const CLIENT_CONTAINER: &str = "client";

/// Creates the client's pod: it does nothing but be there, with a sidecar or without.
pub(super) fn client(store: &Store, meshed: bool) -> Result<(), ApplyError> {
    let inject = meshed.to_string();
    let pod = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": CLIENT, "namespace": "default", "labels": {"app": CLIENT, "sidecar.istio.io/inject": inject}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": CLIENT_CONTAINER, "image": CLIENT, "command": ["sleep", "infinity"]}],
        },
    });
    create(store, "the lab's own manifests", pod)
}

/// Creates every object of a file of manifests. Where pods have no network of their own, Services
/// get addresses of this machine, and ports on which it lets us listen.
pub(super) fn apply(store: &Store, path: &Path, block: Option<&Block>) -> Result<(), ApplyError> {
    let shown = path.display().to_string();
    let file = fs::read_to_string(path).map_err(|source| ApplyError::Read {
        path: shown.clone(),
        source,
    })?;
    for document in serde_yaml::Deserializer::from_str(&file) {
        let mut object = Value::deserialize(document).map_err(|source| ApplyError::Syntax {
            path: shown.clone(),
            source,
        })?;
        if !object.is_null() {
            if let Some(block) = block {
                address(store, block, &mut object);
            }
            create(store, &shown, object)?;
        }
    }
    Ok(())
}

fn address(store: &Store, block: &Block, object: &mut Value) {
    if object["kind"] != "Service" {
        return;
    }
    let ports = object["spec"]["ports"].as_array_mut();
    for port in ports.into_iter().flatten() {
        let number = port["port"].as_u64();
        if let Some(number) = number.and_then(|number| u16::try_from(number).ok()) {
            // Left out, it is the port itself.
            if port["targetPort"].is_null() {
                port["targetPort"] = number.into();
            }
            port["port"] = loopback::service_port(number).into();
        }
    }
    if object["spec"]["clusterIP"].is_null() {
        let (_, services) = store.list("services", None);
        let number = u16::try_from(services.len()).unwrap_or(u16::MAX);
        let address = block.service_address(number);
        object["spec"]["clusterIP"] = Value::String(address.to_string());
    }
}

fn create(store: &Store, path: &str, object: Value) -> Result<(), ApplyError> {
    let kind = text(&object["kind"]).to_owned();
    let api_version = text(&object["apiVersion"]).to_owned();
    let known = RESOURCES
        .iter()
        .find(|resource| resource.kind == kind && resource.api_version() == api_version);
    let Some(resource) = known else {
        let known: Vec<_> = RESOURCES.iter().map(|resource| resource.kind).collect();
        return Err(ApplyError::Unknown {
            path: path.to_owned(),
            kind,
            api_version,
            known: known.join(", "),
        });
    };
    let object_name = name(&object).to_owned();
    store
        .create(resource.plural, object)
        .map(|_| ())
        .map_err(|error| ApplyError::Refused {
            path: path.to_owned(),
            kind,
            object: object_name,
            text: error.to_string(),
        })
}

/// Waits until every Deployment is available and every Service with ready endpoints is reached
/// through the service proxy.
pub(super) async fn wait_ready(store: &Arc<Store>, logs: &LogBook) -> Result<(), ApplyError> {
    let every = Duration::from_millis(100);
    let crashing = wait_until("the workloads are available", PATIENCE, every, || async {
        let Some(missing) = unavailable(store, logs).or_else(|| no_client(store)) else {
            return Ok(None);
        };
        crashing(store, logs).map(Some).ok_or(missing)
    })
    .await
    .map_err(ApplyError::NotReady)?;
    if let Some(crashing) = crashing {
        return Err(ApplyError::Crashing(crashing));
    }
    for (service, address) in reachable(store) {
        let what = format!("service `{service}` answers");
        wait_until(&what, PATIENCE, every, || async {
            let connect = tokio::time::timeout(every * 5, TcpStream::connect(&address));
            match connect.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no answer".to_owned()),
            }
        })
        .await
        .map_err(ApplyError::NotReady)?;
    }
    Ok(())
}

/// A container that was started so often will not come up any more.
const STARTS: i64 = 3;

/// The first container that ends again and again, and its last words.
fn crashing(store: &Store, logs: &LogBook) -> Option<String> {
    let (_, pods) = store.list("pods", None);
    pods.iter().find_map(|pod| {
        let crashing = container_statuses(pod).find(|status| {
            status["restartCount"].as_i64() >= Some(STARTS - 1)
                && status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })?;
        let container = text(&crashing["name"]);
        let words = last_words(logs, pod, container);
        Some(format!("`{container}` of pod `{}`{words}", name(pod)))
    })
}

fn container_statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|field| items(&pod["status"][field]))
}

/// How many of a container's last lines are told. What goes to stderr may be logged before or after
/// what goes to stdout, so the reason need not be the last of them.
const LAST_LINES: u64 = 10;

/// ` (its last lines: ...)`, where a container has written any: those of its newest instance, or of
/// the one before, as long as a new one has said nothing.
fn last_words(logs: &LogBook, pod: &Value, container: &str) -> String {
    let lines = [false, true].into_iter().find_map(|previous| {
        let log = logs.find(uid(pod), container, previous)?;
        let (lines, _) = log.read(log.first(Some(LAST_LINES)));
        let texts: Vec<String> = lines.into_iter().map(|line| line.text).collect();
        (!texts.is_empty()).then(|| texts.join(" | "))
    });
    lines.map_or(String::new(), |lines| format!(" (its last lines: {lines})"))
}

/// The first Deployment that lacks replicas, and what its pods say.
fn unavailable(store: &Store, logs: &LogBook) -> Option<String> {
    let (_, deployments) = store.list("deployments", None);
    deployments.iter().find_map(|deployment| {
        let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
        let available = deployment["status"]["availableReplicas"]
            .as_i64()
            .unwrap_or(0);
        let observed = deployment["status"]["observedGeneration"]
            .as_i64()
            .unwrap_or(0);
        let newest = deployment["metadata"]["generation"].as_i64().unwrap_or(0);
        (available < wanted || observed < newest).then(|| {
            format!(
                "deployment `{}` has {available} of {wanted} replicas; pods: {}",
                name(deployment),
                pods(store, logs, namespace(deployment))
            )
        })
    })
}

/// What is missing of the client's pod, where there is one.
fn no_client(store: &Store) -> Option<String> {
    let client = store.get("pods", Some("default"), CLIENT)?;
    (!is_ready(&client)).then(|| format!("pod `{CLIENT}` is not ready"))
}

fn pods(store: &Store, logs: &LogBook, place: &str) -> String {
    let (_, pods) = store.list("pods", Some(place));
    let said: Vec<_> = pods
        .iter()
        .map(|pod| {
            let unready: Vec<_> = container_statuses(pod)
                .filter(|status| status["ready"] != true && status["state"]["terminated"].is_null())
                .map(|status| {
                    let (container, waiting) = (text(&status["name"]), &status["state"]["waiting"]);
                    format!(
                        " {container} {} {}{}",
                        text(&waiting["reason"]),
                        text(&waiting["message"]),
                        last_words(logs, pod, container)
                    )
                })
                .collect();
            format!(
                "{} {}{}",
                name(pod),
                text(&pod["status"]["phase"]),
                unready.concat()
            )
        })
        .collect();
    said.join(", ")
}

/// The addresses of Services that have a ready endpoint.
fn reachable(store: &Store) -> Vec<(String, String)> {
    let (_, slices) = store.list("endpointslices", None);
    let (_, services) = store.list("services", None);
    services
        .iter()
        .filter(|service| {
            slices.iter().any(|slice| {
                namespace(slice) == namespace(service)
                    && slice["metadata"]["labels"]["kubernetes.io/service-name"]
                        == service["metadata"]["name"]
                    && items(&slice["endpoints"])
                        .iter()
                        .any(|endpoint| endpoint["conditions"]["ready"] == true)
            })
        })
        .filter(|service| text(&service["spec"]["clusterIP"]).contains('.'))
        .filter_map(|service| {
            let port = items(&service["spec"]["ports"]).first()?["port"].as_u64()?;
            let address = format!("{}:{port}", text(&service["spec"]["clusterIP"]));
            Some((name(service).to_owned(), address))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str) -> Result<Arc<Store>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("demo.yaml");
        fs::write(&path, text).expect("a file");
        let store = Store::new();
        let result = apply(&store, &path, None);
        result.map(|()| store).map_err(|error| error.to_string())
    }

    #[test]
    fn every_document_of_a_file_becomes_an_object() {
        let store = applied(
            "---\napiVersion: v1\nkind: Service\nmetadata: {name: demo}\nspec: {ports: [{port: 80}]}\n---\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {mode: fast}\n",
        )
        .expect("applied");
        let service = store
            .get("services", Some("default"), "demo")
            .expect("created");
        assert!(text(&service["spec"]["clusterIP"]).starts_with("10.96."));
        assert!(
            store
                .get("configmaps", Some("default"), "settings")
                .is_some()
        );
    }

    #[test]
    fn what_the_lab_does_not_know_is_named_with_what_it_does() {
        let error =
            applied("apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: x}\n").unwrap_err();
        assert!(
            error.contains("no kind `DaemonSet` of `apps/v1`"),
            "{error}"
        );
        assert!(error.contains("Deployment"), "{error}");
        assert!(applied("a: [").unwrap_err().contains("is no YAML"));
    }
}
