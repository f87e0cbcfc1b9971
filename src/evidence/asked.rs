//! Which of a Service's ports do the clients ask for?
//!
//! A Service often has a port of metrics beside the one that serves, and its slices list both. The
//! address that a client asks, the Service's own object and the names of ports join the two.

use super::event::{EventKind, Resource};
use super::object::{list, text};
use super::timeline::Timeline;
use serde_json::Value;
use std::collections::BTreeSet;

/// The names of these ports, as slices have them. `None` where a client asks by another way, such as
/// an ingress, or the Service's object was not seen.
pub(super) fn names(timeline: &Timeline, service: &str) -> Option<BTreeSet<String>> {
    let services: Vec<&Value> = objects(timeline, service).collect();
    let mut found = BTreeSet::new();
    for event in &timeline.events {
        let EventKind::Client(client) = &event.kind else {
            continue;
        };
        let target = client.target.as_deref()?;
        let names: BTreeSet<&str> = services
            .iter()
            .flat_map(|object| names_of(object, target))
            .collect();
        if names.is_empty() {
            return None;
        }
        found.extend(names.into_iter().map(str::to_owned));
    }
    (!found.is_empty()).then_some(found)
}

/// The states of the Service's object that were seen, in their order.
pub(super) fn objects<'a>(
    timeline: &'a Timeline,
    service: &'a str,
) -> impl Iterator<Item = &'a Value> {
    let objects = timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Object {
                resource: Resource::Services,
                object,
                ..
            } => Some(object),
            _ => None,
        });
    objects.filter(move |object| text(object, "/metadata/name") == Some(service))
}

/// The names of a Service's ports that `target` (`10.96.0.10:80`) is.
fn names_of<'a>(service: &'a Value, target: &str) -> Vec<&'a str> {
    let Some((host, port)) = target.rsplit_once(':') else {
        return Vec::new();
    };
    let port = port.parse::<u64>().ok();
    if port.is_none() || !is_host(service, host.trim_matches(['[', ']'])) {
        return Vec::new();
    }
    let asked = |one: &&Value| one.get("port").and_then(Value::as_u64) == port && is_tcp(one);
    let ports = list(service, "/spec/ports").filter(asked);
    ports.map(port_name).collect()
}

/// `host` is an address or a name of the Service. The port of a headless one is the pod's own.
pub(super) fn is_host(service: &Value, host: &str) -> bool {
    let Some(address) = text(service, "/spec/clusterIP").filter(|address| *address != "None")
    else {
        return false;
    };
    let mut others = list(service, "/spec/clusterIPs").filter_map(Value::as_str);
    let mut labels = host.split('.');
    let by_name = labels.next() == text(service, "/metadata/name")
        && labels
            .next()
            .is_none_or(|label| Some(label) == text(service, "/metadata/namespace"))
        && labels.next().is_none_or(|label| label == "svc");
    address == host || others.any(|other| other == host) || by_name
}

/// A port of a Service or of a slice is one for TCP, as it is unless it says otherwise.
pub(super) fn is_tcp(port: &Value) -> bool {
    text(port, "/protocol").is_none_or(|protocol| protocol == "TCP")
}

/// The only port of a Service needs no name.
pub(super) fn port_name(port: &Value) -> &str {
    text(port, "/name").unwrap_or_default()
}
