//! Which Services and ports does the mesh know?

use crate::lab::store::object::{items, name, namespace, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

/// A port of a Service, as the proxies see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MeshService {
    /// `demo.default.svc.cluster.local`.
    pub(crate) host: String,
    /// Its cluster address.
    pub(crate) vip: String,
    /// Its port.
    pub(crate) port: u16,
    /// HTTP, or opaque bytes.
    pub(crate) http: bool,
    /// `ip:port` of every endpoint that takes requests.
    pub(crate) endpoints: BTreeSet<(String, u16)>,
}

impl MeshService {
    /// The name of its cluster.
    pub(crate) fn cluster(&self) -> String {
        format!("outbound|{}||{}", self.port, self.host)
    }

    /// Its endpoints, `address:port`.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let endpoints = self.endpoints.iter();
        endpoints.map(|(ip, port)| format!("{ip}:{port}")).collect()
    }

    /// The file that holds its endpoints.
    pub(crate) fn file(&self) -> String {
        endpoints_file(&self.host, self.port)
    }
}

/// The file that holds the endpoints of a Service's port.
pub(crate) fn endpoints_file(host: &str, port: impl Display) -> String {
    format!("eds-{host}-{port}.json")
}

/// A port on which a pod's app is reached through its Services.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inbound {
    /// The app's port.
    pub(crate) port: u16,
    /// HTTP, or opaque bytes.
    pub(crate) http: bool,
}

/// Every port of every Service with an address, with the endpoints of its slices: the ready ones,
/// for a terminating one is dropped at once (facts 3.7).
pub(crate) fn mesh_services(services: &[Arc<Value>], slices: &[Arc<Value>]) -> Vec<MeshService> {
    let mut found = Vec::new();
    for service in services {
        let vip = text(&service["spec"]["clusterIP"]);
        if vip.parse::<std::net::Ipv4Addr>().is_err() {
            continue;
        }
        for port in items(&service["spec"]["ports"]) {
            let Some(number) = number(&port["port"]) else {
                continue;
            };
            found.push(MeshService {
                host: format!("{}.{}.svc.cluster.local", name(service), namespace(service)),
                vip: vip.to_owned(),
                port: number,
                http: is_http(port),
                endpoints: ready(service, text(&port["name"]), slices),
            });
        }
    }
    found.sort();
    found
}

fn ready(service: &Value, port: &str, slices: &[Arc<Value>]) -> BTreeSet<(String, u16)> {
    let own = slices.iter().filter(|slice| {
        namespace(slice) == namespace(service)
            && slice["metadata"]["labels"]["kubernetes.io/service-name"] == name(service)
    });
    let mut found = BTreeSet::new();
    for slice in own {
        let numbers = items(&slice["ports"])
            .iter()
            .filter(|candidate| text(&candidate["name"]) == port)
            .filter_map(|candidate| number(&candidate["port"]));
        for number in numbers {
            let endpoints = items(&slice["endpoints"]).iter();
            let ready = endpoints.filter(|one| one["conditions"]["ready"] != false);
            let addresses = ready.flat_map(|one| items(&one["addresses"]));
            found.extend(addresses.map(|address| (text(address).to_owned(), number)));
        }
    }
    found
}

/// The ports of a pod that Services send to.
pub(crate) fn inbound(pod: &Value, services: &[Arc<Value>]) -> BTreeSet<Inbound> {
    let mut found = BTreeSet::new();
    for service in services {
        if namespace(service) != namespace(pod) || !selects(&service["spec"]["selector"], pod) {
            continue;
        }
        for port in items(&service["spec"]["ports"]) {
            let target = match &port["targetPort"] {
                Value::Null => number(&port["port"]),
                Value::String(name) => named(pod, name),
                target => number(target),
            };
            found.extend(target.map(|target| Inbound {
                port: target,
                http: is_http(port),
            }));
        }
    }
    found
}

fn selects(selector: &Value, pod: &Value) -> bool {
    let labels = &pod["metadata"]["labels"];
    selector.as_object().is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value)
    })
}

fn named(pod: &Value, name: &str) -> Option<u16> {
    items(&pod["spec"]["containers"])
        .iter()
        .flat_map(|container| items(&container["ports"]))
        .find(|port| text(&port["name"]) == name)
        .and_then(|port| number(&port["containerPort"]))
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok())
}

/// By `appProtocol` or the port's name, as Istio selects; a port without a name is taken for HTTP,
/// where Istio would look into the bytes.
fn is_http(port: &Value) -> bool {
    let protocol = match text(&port["appProtocol"]) {
        "" => text(&port["name"]),
        protocol => protocol,
    };
    let protocol = protocol.split('-').next().unwrap_or_default();
    matches!(
        protocol,
        "" | "http" | "http2" | "grpc" | "web" | "kubernetes.io/h2c"
    )
}
