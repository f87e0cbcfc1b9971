//! Which addresses does a Service have, and in which condition?

use super::driver::{Controller, Key};
use super::pods::owner_reference;
use crate::lab::selector::Selector;
use crate::lab::store::{Change, DeleteOptions, Status, Store, object};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// In the recordings a slice follows its pod's deletion after 15 to 110 ms.
pub(super) const CONTROLLER: Controller = Controller {
    name: "endpointslice",
    watches: &["services", "pods"],
    lag: (8, 55),
    keys,
    reconcile,
};

const MANAGER: &str = "endpointslice-controller.k8s.io";
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const MANAGER_LABEL: &str = "endpointslice.kubernetes.io/managed-by";

/// Endpoints in one slice, as the real controller's default.
const PER_SLICE: usize = 100;

fn keys(store: &Store, resource: &str, change: &Change) -> Vec<Key> {
    if resource == "services" {
        return vec![Key::of(&change.object)];
    }
    let namespace = object::namespace(&change.object);
    let services = store.list("services", Some(namespace)).1;
    let selects = |service: &Value| {
        selector(service).is_some_and(|selector| {
            let before = change
                .previous
                .as_ref()
                .is_some_and(|pod| selector.matches(pod));
            before || selector.matches(&change.object)
        })
    };
    services
        .iter()
        .filter(|service| selects(service))
        .map(|service| Key::of(service))
        .collect()
}

/// Which pods a Service selects, where it does.
pub(in crate::lab) fn selector(service: &Value) -> Option<Selector> {
    let labels = service["spec"]["selector"].as_object()?;
    let some = !labels.is_empty() && service["spec"]["type"] != "ExternalName";
    some.then(|| Selector::from_object(&json!({"matchLabels": labels})))
}

fn reconcile(store: &Arc<Store>, key: &Key) -> Result<Option<Duration>, Status> {
    let Some(service) = store.get("services", key.place(), &key.name) else {
        return Ok(None);
    };
    let Some(selector) = selector(&service) else {
        return Ok(None);
    };
    let pods = store.list("pods", key.place()).1;
    let pods: Vec<&Value> = pods
        .iter()
        .map(AsRef::as_ref)
        .filter(|pod| selector.matches(pod))
        .collect();
    let existing: Vec<Arc<Value>> = store
        .list("endpointslices", key.place())
        .1
        .into_iter()
        .filter(|slice| {
            let labels = &slice["metadata"]["labels"];
            labels[SERVICE_LABEL] == key.name.as_str() && labels[MANAGER_LABEL] == MANAGER
        })
        .collect();
    for change in plan(&existing, desired(&service, &pods)) {
        write(store, key, &service, change)?;
    }
    Ok(None)
}

/// The endpoints by their ports: pods that call a named port differently stand in slices of their
/// own.
fn desired(service: &Value, pods: &[&Value]) -> BTreeMap<String, Vec<Value>> {
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| belongs(pod)) {
        let ports = ports(service, pod).to_string();
        groups
            .entry(ports)
            .or_default()
            .push(endpoint(service, pod));
    }
    if groups.is_empty() {
        groups.insert("[]".to_owned(), Vec::new());
    }
    groups
}

/// A pod stays in its slices until it has ended or lost its address; being deleted is not enough.
fn belongs(pod: &Value) -> bool {
    !object::is_terminal(pod) && !object::text(&pod["status"]["podIP"]).is_empty()
}

fn endpoint(service: &Value, pod: &Value) -> Value {
    let serving = object::is_ready(pod);
    let terminating = object::is_terminating(pod);
    let always = service["spec"]["publishNotReadyAddresses"] == true;
    json!({
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": always || (serving && !terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": {
            "kind": "Pod", "namespace": pod["metadata"]["namespace"],
            "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"],
        },
        "nodeName": pod["spec"]["nodeName"],
    })
}

fn ports(service: &Value, pod: &Value) -> Value {
    let mut ports = Vec::new();
    for port in object::items(&service["spec"]["ports"]) {
        let number = match &port["targetPort"] {
            Value::String(name) => named(pod, name),
            number => number.as_i64(),
        };
        let Some(number) = number else { continue };
        let mut own = json!({
            "name": object::text(&port["name"]), "protocol": port["protocol"], "port": number,
        });
        if port["appProtocol"].is_string() {
            own["appProtocol"] = port["appProtocol"].clone();
        }
        ports.push(own);
    }
    json!(ports)
}

fn named(pod: &Value, name: &str) -> Option<i64> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let sidecars = object::items(&pod["spec"]["initContainers"])
        .iter()
        .filter(|container| container["restartPolicy"] == "Always");
    object::items(&pod["spec"]["containers"])
        .iter()
        .chain(sidecars)
        .flat_map(|container| object::items(&container["ports"]))
        .find(|port| port["name"] == name)
        .and_then(|port| port["containerPort"].as_i64())
}

/// What is to be done with one slice.
#[derive(Debug, PartialEq)]
enum SliceChange {
    /// Give this one these ports and endpoints.
    Update(String, Value, Vec<Value>),
    /// Make another.
    Create(Value, Vec<Value>),
    /// It is not needed any more.
    Delete(String),
}

/// Brings slices to the wanted endpoints. An endpoint stays in its slice and place; new ones fill
/// what room there is, then slices that have become free, then new slices. One slice stays for a
/// Service without any endpoint.
fn plan(existing: &[Arc<Value>], desired: BTreeMap<String, Vec<Value>>) -> Vec<SliceChange> {
    let mut changes = Vec::new();
    let mut free: Vec<&Value> = existing.iter().map(AsRef::as_ref).collect();
    let alone = desired.len() == 1;
    for (ports, mut wanted) in desired {
        let ports: Value = serde_json::from_str(&ports).unwrap_or(Value::Null);
        let (own, others): (Vec<&Value>, Vec<&Value>) =
            free.into_iter().partition(|slice| slice["ports"] == ports);
        free = others;
        let mut kept: Vec<(&Value, Vec<Value>)> = own
            .into_iter()
            .map(|slice| (slice, stay(slice, &mut wanted)))
            .collect();
        for (_, endpoints) in &mut kept {
            let room = PER_SLICE.saturating_sub(endpoints.len()).min(wanted.len());
            endpoints.extend(wanted.drain(..room));
        }
        let mut any = false;
        for (slice, endpoints) in kept {
            if endpoints.is_empty() {
                free.push(slice);
            } else {
                any = true;
                changes.push(update(slice, &ports, endpoints));
            }
        }
        while !wanted.is_empty() || (alone && !any) {
            let some: Vec<Value> = wanted.drain(..wanted.len().min(PER_SLICE)).collect();
            changes.push(match free.pop() {
                Some(slice) => update(slice, &ports, some),
                None => SliceChange::Create(ports.clone(), some),
            });
            any = true;
        }
    }
    let gone = free.into_iter().map(|slice| object::name(slice).to_owned());
    changes.extend(gone.map(SliceChange::Delete));
    changes
}

fn update(slice: &Value, ports: &Value, endpoints: Vec<Value>) -> SliceChange {
    SliceChange::Update(object::name(slice).to_owned(), ports.clone(), endpoints)
}

fn write(
    store: &Arc<Store>,
    key: &Key,
    service: &Value,
    change: SliceChange,
) -> Result<(), Status> {
    match change {
        SliceChange::Update(name, ports, endpoints) => {
            store.update("endpointslices", key.place(), &name, |slice| {
                slice["endpoints"] = json!(endpoints);
                slice["ports"] = ports;
                slice["metadata"]["labels"] = labels(service);
                Ok(())
            })?;
        }
        SliceChange::Create(ports, endpoints) => {
            store.create("endpointslices", slice(service, &endpoints, &ports))?;
        }
        SliceChange::Delete(name) => {
            store.delete(
                "endpointslices",
                key.place(),
                &name,
                DeleteOptions::default(),
            )?;
        }
    }
    Ok(())
}

fn uid(endpoint: &Value) -> &Value {
    &endpoint["targetRef"]["uid"]
}

/// The wanted endpoints that this slice has already, in its order, taken out of the wanted ones.
fn stay(slice: &Value, wanted: &mut Vec<Value>) -> Vec<Value> {
    object::items(&slice["endpoints"])
        .iter()
        .filter_map(|own| {
            let at = wanted.iter().position(|new| uid(new) == uid(own))?;
            Some(wanted.remove(at))
        })
        .collect()
}

fn labels(service: &Value) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    if !labels.is_object() {
        labels = json!({});
    }
    labels[MANAGER_LABEL] = json!(MANAGER);
    labels[SERVICE_LABEL] = service["metadata"]["name"].clone();
    if service["spec"]["clusterIP"] == "None" {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    labels
}

fn slice(service: &Value, endpoints: &[Value], ports: &Value) -> Value {
    json!({
        "metadata": {
            "generateName": format!("{}-", object::name(service)),
            "namespace": object::namespace(service),
            "labels": labels(service),
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Value {
        json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "n"}, "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]}})
    }

    fn pod(name: &str, ready: bool, terminating: bool, phase: &str) -> Value {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "n", "labels": {"app": "web"}},
            "spec": {"nodeName": "node1", "containers": [{"name": "app", "image": "x:1", "ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"phase": phase, "podIP": "10.244.0.5", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}
        });
        if terminating {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        pod
    }

    fn conditions(service: &Value, pod: &Value) -> [bool; 3] {
        let endpoint = endpoint(service, pod);
        ["ready", "serving", "terminating"].map(|key| endpoint["conditions"][key] == true)
    }

    #[test]
    fn conditions_follow_readiness_and_deletion() {
        let mut unready = service();
        unready["spec"]["publishNotReadyAddresses"] = json!(true);
        for (service, ready, terminating, told) in [
            (service(), true, false, [true, true, false]),
            (service(), false, false, [false, false, false]),
            (service(), true, true, [false, true, true]),
            (service(), false, true, [false, false, true]),
            (unready.clone(), false, true, [true, false, true]),
        ] {
            assert_eq!(
                conditions(&service, &pod("a", ready, terminating, "Running")),
                told
            );
        }
    }

    #[test]
    fn an_ended_pod_and_one_without_an_address_leave_the_slice() {
        let mut bare = pod("c", false, false, "Pending");
        bare["status"]["podIP"] = Value::Null;
        let pods = [
            pod("a", true, true, "Running"),
            pod("b", false, true, "Succeeded"),
            bare,
        ];
        let desired = desired(&service(), &pods.iter().collect::<Vec<_>>());
        let (ports, endpoints) = desired.first_key_value().unwrap();
        assert_eq!(endpoints.len(), 1);
        assert_eq!(endpoints[0]["targetRef"]["name"], "a");
        let ports: Value = serde_json::from_str(ports).unwrap();
        assert_eq!(
            ports,
            json!([{"name": "http", "protocol": "TCP", "port": 8080}])
        );
    }

    #[test]
    fn slices_are_filled_split_and_emptied() {
        let store = Store::new();
        let service = store.create("services", service()).unwrap();
        let key = Key::of(&service);
        let sizes = || {
            reconcile(&store, &key).unwrap();
            let slices = store.list("endpointslices", None).1;
            let mut sizes: Vec<usize> = slices
                .iter()
                .map(|slice| object::items(&slice["endpoints"]).len())
                .collect();
            sizes.sort_unstable();
            sizes
        };
        assert_eq!(sizes(), [0]);
        for at in 0..103 {
            store
                .create("pods", pod(&format!("p{at}"), true, false, "Running"))
                .unwrap();
        }
        assert_eq!(sizes(), [3, 100]);
        let before = store.version();
        assert_eq!(sizes(), [3, 100]);
        assert_eq!(store.version(), before, "nothing changed");
        for at in 0..103 {
            let options = DeleteOptions {
                grace: Some(0),
                uid: None,
            };
            store
                .delete("pods", Some("n"), &format!("p{at}"), options)
                .unwrap();
        }
        assert_eq!(sizes(), [0]);
    }
}
