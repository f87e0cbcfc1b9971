//! Which pods and Services did the clients of a capture ask, as far as it tells?

use super::text;
use crate::evidence::{EventKind, Resource};
use crate::run::import::gathered::Gathered;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What the clients asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Pods that answers named.
    pub(super) pods: BTreeSet<String>,
    /// Services by namespace, where it is told, and name.
    services: BTreeSet<(Option<String>, String)>,
}

impl Asked {
    pub(super) fn of(gathered: &Gathered) -> Self {
        let mut asked = Self::default();
        for raw in &gathered.raw {
            let pod = match &raw.kind {
                EventKind::Requests(counts) => &counts.pod,
                EventKind::RequestFailed(request) => &request.response.pod,
                _ => continue,
            };
            asked.pods.extend(pod.clone());
        }
        for host in gathered.asked.iter().map(|asked| host(asked)) {
            match host.parse::<IpAddr>() {
                Ok(_) => asked.services.extend(with_address(gathered, host)),
                Err(_) => asked.services.extend(named(host)),
            }
        }
        asked
    }

    /// The clients asked the Service.
    pub(super) fn service(&self, namespace: Option<&str>, name: &str) -> bool {
        self.services.iter().any(|(of, service)| {
            let same = of
                .as_deref()
                .is_none_or(|of| namespace.is_none_or(|is| is == of));
            service == name && same
        })
    }
}

/// The host of a URL, of `host:port` or of `[address]:port`.
fn host(asked: &str) -> &str {
    let rest = asked.split_once("://").map_or(asked, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or_default();
    if let Some((address, _)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    match rest.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => rest,
    }
}

/// A Service by the name that the cluster's DNS gives it: `demo`, `demo.shop`, `demo.shop.svc...`.
fn named(host: &str) -> Option<(Option<String>, String)> {
    let mut labels = host.split('.').filter(|label| !label.is_empty());
    let name = labels.next()?.to_owned();
    let namespace = labels.next().map(str::to_owned);
    let within = labels.next().is_none_or(|label| label == "svc");
    within.then_some((namespace, name))
}

/// The Service that has this address.
fn with_address(gathered: &Gathered, address: &str) -> Option<(Option<String>, String)> {
    gathered
        .objects(Resource::Services)
        .find_map(|(_, _, service)| {
            let all = service
                .pointer("/spec/clusterIPs")
                .and_then(Value::as_array);
            let mut all = all.into_iter().flatten().filter_map(Value::as_str);
            let own = text(service, "/spec/clusterIP") == Some(address);
            let name =
                text(service, "/metadata/name").filter(|_| own || all.any(|it| it == address))?;
            let namespace = text(service, "/metadata/namespace").map(str::to_owned);
            Some((namespace, name.to_owned()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_whatever_a_client_wrote_is_found() {
        for (asked, expected) in [
            ("demo", "demo"),
            ("demo.shop.svc:8080", "demo.shop.svc"),
            ("http://demo.shop/path?x=http://y", "demo.shop"),
            ("10.96.0.10:80", "10.96.0.10"),
            ("[fd00::1]:80", "fd00::1"),
            ("fd00::1", "fd00::1"),
        ] {
            assert_eq!(host(asked), expected, "{asked}");
        }
    }

    #[test]
    fn a_name_of_the_clusters_dns_is_a_service_and_another_name_is_not() {
        let service =
            |namespace: Option<&str>| Some((namespace.map(str::to_owned), "demo".to_owned()));
        assert_eq!(named("demo"), service(None));
        assert_eq!(named("demo.shop"), service(Some("shop")));
        assert_eq!(named("demo.shop.svc.cluster.local"), service(Some("shop")));
        assert_eq!(named("demo.example.com"), None);
    }
}
