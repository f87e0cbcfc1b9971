//! Which endpoints does a Service lead to, as kube-proxy chooses them?

use crate::lab::store::object::{items, name, namespace, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// One port of a Service: what rules are made for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServicePort {
    /// `namespace/name:port`.
    pub(crate) id: String,
    /// The cluster address and port.
    pub(crate) address: SocketAddrV4,
}

/// What each port of each Service leads to; nothing: refused.
pub(crate) type Routes = BTreeMap<ServicePort, Vec<SocketAddrV4>>;

/// The routes that these Services and slices ask for.
pub(crate) fn routes(services: &[Arc<Value>], slices: &[Arc<Value>]) -> Routes {
    services
        .iter()
        .flat_map(|service| ports(service, slices))
        .collect()
}

fn ports(service: &Value, slices: &[Arc<Value>]) -> Vec<(ServicePort, Vec<SocketAddrV4>)> {
    let Ok(address) = text(&service["spec"]["clusterIP"]).parse::<Ipv4Addr>() else {
        return Vec::new(); // Headless, or by name only: nothing for a proxy to do.
    };
    let own: Vec<_> = slices
        .iter()
        .filter(|slice| {
            namespace(slice) == namespace(service)
                && text(&slice["metadata"]["labels"]["kubernetes.io/service-name"]) == name(service)
        })
        .collect();
    items(&service["spec"]["ports"])
        .iter()
        .filter(|port| text(&port["protocol"]) == "TCP")
        .filter_map(|port| {
            let number = u16::try_from(port["port"].as_u64()?).ok()?;
            let id = format!("{}/{}:{number}", namespace(service), name(service));
            let address = SocketAddrV4::new(address, number);
            Some((
                ServicePort { id, address },
                chosen(text(&port["name"]), &own),
            ))
        })
        .collect()
}

/// The ready endpoints of a port; without one, those that serve while they terminate.
fn chosen(port: &str, slices: &[&Arc<Value>]) -> Vec<SocketAddrV4> {
    let mut ready = Vec::new();
    let mut terminating = Vec::new();
    for slice in slices {
        let Some(number) = items(&slice["ports"])
            .iter()
            .find(|candidate| text(&candidate["name"]) == port)
            .and_then(|port| u16::try_from(port["port"].as_u64()?).ok())
        else {
            continue;
        };
        for endpoint in items(&slice["endpoints"]) {
            let Some(address) = items(&endpoint["addresses"])
                .first()
                .and_then(|address| text(address).parse::<Ipv4Addr>().ok())
            else {
                continue;
            };
            let address = SocketAddrV4::new(address, number);
            let conditions = &endpoint["conditions"];
            let is_ready = conditions["ready"].as_bool().unwrap_or(true);
            let serving = conditions["serving"].as_bool().unwrap_or(is_ready);
            if is_ready {
                ready.push(address);
            } else if serving && conditions["terminating"].as_bool().unwrap_or(false) {
                terminating.push(address);
            }
        }
    }
    let mut chosen = if ready.is_empty() { terminating } else { ready };
    chosen.sort();
    chosen.dedup();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service() -> Arc<Value> {
        Arc::new(json!({
            "metadata": {"name": "demo", "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.10", "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]}
        }))
    }

    fn slice(endpoints: &[(&str, bool, bool, bool)]) -> Arc<Value> {
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|(address, ready, serving, terminating)| {
                json!({"addresses": [address], "conditions": {"ready": ready, "serving": serving, "terminating": terminating}})
            })
            .collect();
        Arc::new(json!({
            "metadata": {"name": "demo-x", "namespace": "default", "labels": {"kubernetes.io/service-name": "demo"}},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": endpoints
        }))
    }

    fn leads_to(slices: &[Arc<Value>]) -> Vec<String> {
        let routes = routes(&[service()], slices);
        let (port, endpoints) = routes.first_key_value().expect("one port");
        assert_eq!(port.id, "default/demo:80");
        endpoints.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ready_endpoints_of_all_slices_are_chosen() {
        let slices = [
            slice(&[
                ("10.244.1.3", true, true, false),
                ("10.244.0.9", false, true, true),
            ]),
            slice(&[("10.244.0.2", true, true, false)]),
        ];
        assert_eq!(leads_to(&slices), ["10.244.0.2:8080", "10.244.1.3:8080"]);
    }

    #[test]
    fn without_a_ready_one_those_that_serve_while_terminating_are() {
        let slices = [slice(&[
            ("10.244.0.2", false, true, true),
            ("10.244.0.3", false, false, true),
            ("10.244.0.4", false, true, false),
        ])];
        assert_eq!(leads_to(&slices), ["10.244.0.2:8080"]);
    }

    #[test]
    fn a_service_without_endpoints_has_a_route_to_nowhere() {
        assert!(leads_to(&[]).is_empty());
    }

    #[test]
    fn absent_conditions_read_as_the_api_defines_them() {
        let mut slice = (*slice(&[("10.244.0.2", true, true, false)])).clone();
        slice["endpoints"][0]["conditions"] = json!({});
        assert_eq!(leads_to(&[Arc::new(slice)]), ["10.244.0.2:8080"]);
    }
}
