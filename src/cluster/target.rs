//! What does a scenario's target mean in this cluster?

use super::connect::Cluster;
use super::error::Error;
use super::names;
use super::pace::Pace;
use super::pods::{Ownership, PodView};
use super::service::ResolvedService;
use super::workload::{WorkloadView, api_path};
use crate::evidence::is_proxy;
use crate::scenario::{Target, Workload};
use k8s_openapi::api::core::v1::{Container, PodSpec, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use std::time::Duration;

/// A target with everything that the parts of a run need to know about it.
#[derive(Clone, Debug)]
pub struct ResolvedTarget {
    /// Kind and name.
    pub workload: Workload,
    /// Its namespace.
    pub namespace: String,
    /// The workload's uid.
    pub uid: String,
    /// The selector of its pods, as a query.
    pub selector: String,
    /// By what its pods are known.
    pub ownership: Ownership,
    /// Pods that are wanted.
    pub replicas: i32,
    /// The containers of its template and those that were injected into its pods.
    pub containers: Vec<ContainerView>,
    /// Its pods that have not ended, by name.
    pub pods: Vec<PodView>,
    /// Its Service; `None` where the scenario has a URL alone.
    pub service: Option<ResolvedService>,
    /// The grace period of its pods.
    pub grace: Duration,
    /// How fast it may roll out.
    pub pace: Pace,
}

/// A container of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: Option<String>,
    /// It is an init container that ends before the others start.
    pub init: bool,
    /// It is an init container with `restartPolicy: Always`: a native sidecar.
    pub native_sidecar: bool,
}

/// A scenario's target that does not fit the cluster.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No such workload.
    #[error(
        "{kind} `{name}` not found in namespace `{namespace}`\n\
         hint: {suggestion}{kind}s there: {existing}"
    )]
    NoWorkload {
        /// `deployment`, ...
        kind: String,
        /// What was asked for.
        name: String,
        /// Where.
        namespace: String,
        /// `did you mean ...? ` or nothing.
        suggestion: String,
        /// Those that exist.
        existing: String,
    },
    /// No such Service.
    #[error(
        "service `{name}` not found in namespace `{namespace}`\n\
         hint: {suggestion}services there: {existing}"
    )]
    NoService {
        /// What was asked for.
        name: String,
        /// Where.
        namespace: String,
        /// `did you mean ...? ` or nothing.
        suggestion: String,
        /// Those that exist.
        existing: String,
    },
    /// A Service whose endpoints somebody else keeps.
    #[error(
        "service `{service}` has no selector, so its endpoints are not kept by the cluster\n\
         hint: name a Service that selects the workload's pods"
    )]
    NoSelector {
        /// The Service.
        service: String,
    },
    /// A Service that selects something else, or nothing.
    #[error(
        "service `{service}` does not select the pods of `{workload}`: {wrong}\n\
         hint: name the Service that clients of this workload use"
    )]
    SelectsOthers {
        /// The Service.
        service: String,
        /// The workload.
        workload: String,
        /// The labels that differ.
        wrong: String,
    },
    /// Headless or external.
    #[error(
        "service `{service}` has no cluster address (it is headless or external)\n\
         hint: name a Service with one, or ask a URL with `target.url`"
    )]
    NoAddress {
        /// The Service.
        service: String,
    },
    /// No such port.
    #[error(
        "service `{service}` has no TCP port `{port}`\n\
         hint: the ports there are: {existing}"
    )]
    NoPort {
        /// The Service.
        service: String,
        /// What was asked for.
        port: String,
        /// Those that exist.
        existing: String,
    },
    /// Several ports, none chosen.
    #[error(
        "service `{service}` has several ports\n\
         hint: choose one with `target.port`: {existing}"
    )]
    PortUnclear {
        /// The Service.
        service: String,
        /// Those that exist.
        existing: String,
    },
    /// The cluster did not answer as it should.
    #[error("failed to find the target")]
    Cluster {
        /// Why.
        #[from]
        source: Error,
    },
}

#[derive(Deserialize)]
struct Names {
    items: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    metadata: ObjectMeta,
}

impl ResolvedTarget {
    /// Finds the target's objects. `cluster` already has the namespace that the run uses.
    pub async fn resolve(cluster: &Cluster, target: &Target) -> Result<Self, TargetError> {
        let view = find_workload(cluster, &target.workload).await?;
        let service = match &target.service {
            Some(name) => {
                let service = find_service(cluster, name).await?;
                let template = &view.spec.template;
                let port = target.port.as_deref();
                Some(ResolvedService::of(
                    &service,
                    &target.workload,
                    template,
                    port,
                    target.url.is_some(),
                )?)
            }
            None => None,
        };
        let selector = view.selector();
        let mut ownership = Ownership::new(&target.workload.name, view.uid(), &selector);
        let pods = cluster.pods_of(&mut ownership).await?;
        let spec = view.spec.template.spec.clone().unwrap_or_default();
        let grace = spec.termination_grace_period_seconds.unwrap_or(30);
        Ok(Self {
            workload: target.workload.clone(),
            namespace: cluster.namespace().to_owned(),
            uid: view.uid().to_owned(),
            selector,
            ownership,
            replicas: view.wanted(),
            containers: containers(&spec, &pods),
            pods,
            service,
            grace: Duration::from_secs(u64::try_from(grace).unwrap_or(1)),
            pace: Pace::of(&view),
        })
    }

    /// A sidecar proxy stands before the app, in the template or injected.
    pub fn meshed(&self) -> bool {
        self.containers
            .iter()
            .any(|container| is_proxy(&container.name))
    }
}

async fn find_workload(
    cluster: &Cluster,
    workload: &Workload,
) -> Result<WorkloadView, TargetError> {
    if let Some(view) = WorkloadView::read(cluster, workload).await? {
        return Ok(view);
    }
    let namespace = cluster.namespace();
    let existing = existing(cluster, &api_path(workload.kind, namespace, None)).await;
    let text = workload.to_string();
    let kind = text.split_once('/').map_or("workload", |(kind, _)| kind);
    Err(TargetError::NoWorkload {
        kind: kind.to_owned(),
        name: workload.name.clone(),
        namespace: namespace.to_owned(),
        suggestion: names::did_you_mean(&workload.name, &existing),
        existing: names::listed(&existing),
    })
}

async fn find_service(cluster: &Cluster, name: &str) -> Result<Service, TargetError> {
    let namespace = cluster.namespace();
    let list = format!("/api/v1/namespaces/{namespace}/services");
    if let Some(service) = cluster.find(&format!("{list}/{name}")).await? {
        return Ok(service);
    }
    let existing = existing(cluster, &list).await;
    Err(TargetError::NoService {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        suggestion: names::did_you_mean(name, &existing),
        existing: names::listed(&existing),
    })
}

/// The names in a list, for a message: without the right to list there are none to tell.
async fn existing(cluster: &Cluster, list: &str) -> Vec<String> {
    let names: Result<Names, Error> = cluster.read(list).await;
    let items = names.map(|names| names.items).unwrap_or_default();
    items
        .into_iter()
        .filter_map(|named| named.metadata.name)
        .collect()
}

fn containers(spec: &PodSpec, pods: &[PodView]) -> Vec<ContainerView> {
    let mut found = containers_of(spec);
    for injected in pods.iter().flat_map(|pod| &pod.containers) {
        if !found.iter().any(|known| known.name == injected.name) {
            found.push(injected.clone());
        }
    }
    found
}

/// The containers of a pod's spec, init containers first.
pub(super) fn containers_of(spec: &PodSpec) -> Vec<ContainerView> {
    let init = spec.init_containers.iter().flatten().map(|container| {
        let native = container.restart_policy.as_deref() == Some("Always");
        container_view(container, !native, native)
    });
    let main = spec.containers.iter();
    init.chain(main.map(|container| container_view(container, false, false)))
        .collect()
}

fn container_view(container: &Container, init: bool, native_sidecar: bool) -> ContainerView {
    ContainerView {
        name: container.name.clone(),
        image: container.image.clone(),
        init,
        native_sidecar,
    }
}

#[cfg(test)]
mod tests;
