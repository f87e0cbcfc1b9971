//! Which address does the target's Service give, and does it lead to the workload?

use super::names;
use super::target::TargetError;
use crate::scenario::{Workload, WorkloadKind};
use k8s_openapi::api::core::v1::{PodTemplateSpec, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// A Service that leads to the target's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedService {
    /// Its name.
    pub name: String,
    /// Its cluster address; `None` for a headless one, which is a target's only beside a URL.
    pub cluster_ip: Option<String>,
    /// The port that clients use; `None` for a headless one that declares none.
    pub port: Option<u16>,
    /// That port's name, which its slices repeat.
    pub port_name: Option<String>,
    /// The port at which the pods listen; `None` where it is a name that no container declares.
    pub target_port: Option<u16>,
}

impl ResolvedService {
    /// `10.96.0.10:80`, what a client connects to, where it has an address of its own.
    pub fn address(&self) -> Option<String> {
        let (ip, port) = (self.cluster_ip.as_ref()?, self.port?);
        Some(if ip.contains(':') {
            format!("[{ip}]:{port}")
        } else {
            format!("{ip}:{port}")
        })
    }

    /// Reads a Service against the workload that it should lead to. Nobody asks a Job: beside one,
    /// the Service is only what the load asks meanwhile. With a URL (`asked_elsewhere`) the Service is
    /// not asked: it only says which slices list the pods.
    ///
    /// # Errors
    /// It has no selector, selects other pods, has no address that is needed, or its port is not
    /// clear.
    pub(super) fn of(
        service: &Service,
        workload: &Workload,
        template: &PodTemplateSpec,
        asked: Option<&str>,
        asked_elsewhere: bool,
    ) -> Result<Self, TargetError> {
        let name = service.metadata.name.clone().unwrap_or_default();
        let spec = service.spec.clone().unwrap_or_default();
        let labels = template
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.labels.clone())
            .unwrap_or_default();
        if workload.kind != WorkloadKind::Job {
            selects(&name, spec.selector.as_ref(), workload, &labels)?;
        }
        let cluster_ip = spec.cluster_ip.filter(|ip| !ip.is_empty() && ip != "None");
        if cluster_ip.is_none() && !asked_elsewhere {
            return Err(TargetError::NoAddress { service: name });
        }
        let ports = spec.ports.unwrap_or_default();
        let port = if ports.is_empty() && asked.is_none() && asked_elsewhere {
            None
        } else {
            Some(choose_port(&name, &ports, asked)?)
        };
        Ok(Self {
            cluster_ip,
            port: port.map(|port| port_number(port.port)),
            port_name: port.and_then(|port| port.name.clone()),
            target_port: port.and_then(|port| target_port(port, template)),
            name,
        })
    }
}

fn selects(
    service: &str,
    selector: Option<&BTreeMap<String, String>>,
    workload: &Workload,
    labels: &BTreeMap<String, String>,
) -> Result<(), TargetError> {
    let selector = selector.filter(|selector| !selector.is_empty());
    let Some(selector) = selector else {
        return Err(TargetError::NoSelector {
            service: service.to_owned(),
        });
    };
    let wrong: Vec<String> = selector
        .iter()
        .filter(|(key, value)| labels.get(*key) != Some(value))
        .map(|(key, value)| match labels.get(key) {
            Some(other) => format!("`{key}={value}` (the pods have `{key}={other}`)"),
            None => format!("`{key}={value}` (the pods have no `{key}`)"),
        })
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(TargetError::SelectsOthers {
        service: service.to_owned(),
        workload: workload.to_string(),
        wrong: wrong.join(", "),
    })
}

fn choose_port<'a>(
    service: &str,
    ports: &'a [ServicePort],
    asked: Option<&str>,
) -> Result<&'a ServicePort, TargetError> {
    let tcp: Vec<&ServicePort> = ports
        .iter()
        .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
        .collect();
    let existing: Vec<String> = tcp.iter().map(|port| port_label(port)).collect();
    let existing = names::listed(&existing);
    match (asked, tcp.as_slice()) {
        (Some(asked), _) => tcp
            .iter()
            .copied()
            .find(|port| port.name.as_deref() == Some(asked) || port.port.to_string() == asked)
            .ok_or_else(|| TargetError::NoPort {
                service: service.to_owned(),
                port: asked.to_owned(),
                existing,
            }),
        (None, [only]) => Ok(only),
        (None, _) => Err(TargetError::PortUnclear {
            service: service.to_owned(),
            existing,
        }),
    }
}

fn port_label(port: &ServicePort) -> String {
    match &port.name {
        Some(name) => format!("{} ({name})", port.port),
        None => port.port.to_string(),
    }
}

fn target_port(port: &ServicePort, template: &PodTemplateSpec) -> Option<u16> {
    match &port.target_port {
        None => Some(port_number(port.port)),
        Some(IntOrString::Int(number)) => Some(port_number(*number)),
        Some(IntOrString::String(name)) => {
            let spec = template.spec.as_ref()?;
            spec.containers
                .iter()
                .flat_map(|container| container.ports.iter().flatten())
                .find(|declared| declared.name.as_deref() == Some(name))
                .map(|declared| port_number(declared.container_port))
        }
    }
}

/// The API keeps ports within 1 to 65535.
fn port_number(port: i32) -> u16 {
    u16::try_from(port).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn resolve(spec: Value, asked: Option<&str>) -> Result<ResolvedService, String> {
        resolve_for(WorkloadKind::Deployment, spec, asked)
    }

    fn resolve_for(
        kind: WorkloadKind,
        spec: Value,
        asked: Option<&str>,
    ) -> Result<ResolvedService, String> {
        let workload = Workload {
            kind,
            name: "demo".to_owned(),
        };
        let service: Service =
            serde_json::from_value(json!({"metadata": {"name": "demo"}, "spec": spec})).unwrap();
        let template: PodTemplateSpec = serde_json::from_value(json!({
            "metadata": {"labels": {"app": "demo", "tier": "front"}},
            "spec": {"containers": [{"name": "app", "ports": [{"name": "web", "containerPort": 8080}]}]}
        }))
        .unwrap();
        ResolvedService::of(&service, &workload, &template, asked, false)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_named_target_port_is_looked_up_in_the_pod_template() {
        let spec = json!({
            "selector": {"app": "demo"},
            "clusterIP": "10.96.0.10",
            "ports": [
                {"name": "http", "port": 80, "targetPort": "web"},
                {"name": "metrics", "port": 9090}
            ]
        });
        let by_name = resolve(spec.clone(), Some("http")).unwrap();
        assert_eq!(by_name.target_port, Some(8080));
        assert_eq!(by_name.address().as_deref(), Some("10.96.0.10:80"));
        assert_eq!(
            resolve(spec.clone(), Some("9090")).unwrap().port,
            Some(9090)
        );
        assert_eq!(
            resolve(spec.clone(), None).unwrap_err(),
            "service `demo` has several ports\n\
             hint: choose one with `target.port`: `80 (http)`, `9090 (metrics)`"
        );
        assert_eq!(
            resolve(spec, Some("81")).unwrap_err(),
            "service `demo` has no TCP port `81`\n\
             hint: the ports there are: `80 (http)`, `9090 (metrics)`"
        );
    }

    #[test]
    fn a_service_that_leads_elsewhere_says_which_label_differs() {
        let error = resolve(
            json!({
                "selector": {"app": "demo", "tier": "back", "track": "stable"},
                "clusterIP": "10.96.0.10",
                "ports": [{"port": 80}]
            }),
            None,
        )
        .unwrap_err();
        assert_eq!(
            error,
            "service `demo` does not select the pods of `deployment/demo`: \
             `tier=back` (the pods have `tier=front`), `track=stable` (the pods have no `track`)\n\
             hint: name the Service that clients of this workload use"
        );
    }

    #[test]
    fn a_job_is_asked_by_nobody_so_its_service_may_lead_elsewhere() {
        let spec = json!({
            "selector": {"app": "shop"}, "clusterIP": "10.96.0.10", "ports": [{"port": 80}]
        });
        assert!(resolve_for(WorkloadKind::Deployment, spec.clone(), None).is_err());
        let service = resolve_for(WorkloadKind::Job, spec, None).unwrap();
        assert_eq!(service.address().as_deref(), Some("10.96.0.10:80"));
    }

    #[test]
    fn a_service_without_selector_or_address_is_refused() {
        let headless =
            json!({"selector": {"app": "demo"}, "clusterIP": "None", "ports": [{"port": 80}]});
        assert!(
            resolve(headless, None)
                .unwrap_err()
                .contains("no cluster address")
        );
        let bare = json!({"clusterIP": "10.96.0.10", "ports": [{"port": 80}]});
        assert!(resolve(bare, None).unwrap_err().contains("has no selector"));
    }
}
