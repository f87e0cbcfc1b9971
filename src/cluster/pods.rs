//! Which pods does a workload have?

use super::connect::Cluster;
use super::error::Error;
use super::target::{ContainerView, containers_of};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use std::time::Duration;

/// A pod, as far as a disruption needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its uid: a StatefulSet gives a name again.
    pub uid: String,
    /// Its resource version.
    pub resource_version: String,
    /// Its own address, once it has one.
    pub address: Option<String>,
    /// Condition `Ready`.
    pub ready: bool,
    /// It has a `deletionTimestamp`.
    pub terminating: bool,
    /// That stamp: by when its grace period is over, by the API server's clock.
    pub ends_by: Option<Timestamp>,
    /// The grace period that it was given with its deletion.
    pub deletion_grace: Duration,
    /// It has ended: `Succeeded` or `Failed`.
    pub finished: bool,
    /// The uid of its controller: a ReplicaSet, StatefulSet, DaemonSet, or Job.
    pub controller: Option<String>,
    /// Its containers, injected ones too, init containers first.
    pub containers: Vec<ContainerView>,
}

#[derive(Deserialize)]
struct PodList {
    items: Vec<Pod>,
}

#[derive(Deserialize)]
struct OwnerList {
    items: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    metadata: ObjectMeta,
}

impl PodView {
    fn of(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            resource_version: pod.metadata.resource_version.clone().unwrap_or_default(),
            address: status.and_then(|status| status.pod_ip.clone()),
            ready: status
                .and_then(|status| status.conditions.as_ref())
                .is_some_and(|conditions| {
                    conditions
                        .iter()
                        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
                }),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            ends_by: pod.metadata.deletion_timestamp.as_ref().map(|at| at.0),
            deletion_grace: grace_of(&pod.metadata),
            finished: status
                .and_then(|status| status.phase.as_deref())
                .is_some_and(|phase| matches!(phase, "Succeeded" | "Failed")),
            controller: controller_of(&pod.metadata),
            containers: spec.map(containers_of).unwrap_or_default(),
        }
    }
}

fn grace_of(metadata: &ObjectMeta) -> Duration {
    let seconds = metadata.deletion_grace_period_seconds.unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn controller_of(metadata: &ObjectMeta) -> Option<String> {
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.clone())
}

impl Cluster {
    /// The pods of a workload, in the order of their names: those at work, and those that are being
    /// deleted until they are really gone.
    /// A label alone does not make a pod the workload's.
    pub async fn pods_of(&self, uid: &str, selector: &str) -> Result<Vec<PodView>, Error> {
        let controllers = self.controllers(uid, selector).await?;
        let path = selecting(
            &format!("/api/v1/namespaces/{}/pods", self.namespace()),
            selector,
        );
        let list: PodList = self.read(&path).await?;
        let mut pods: Vec<PodView> = list
            .items
            .iter()
            .map(PodView::of)
            .filter(|pod| pod.terminating || !pod.finished)
            .filter(|pod| {
                pod.controller
                    .as_ref()
                    .is_some_and(|uid| controllers.contains(uid))
            })
            .collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pods)
    }

    /// The uids that the pods of a workload name as their controller: its own, and those of its
    /// ReplicaSets.
    async fn controllers(&self, uid: &str, selector: &str) -> Result<Vec<String>, Error> {
        let path = selecting(
            &format!("/apis/apps/v1/namespaces/{}/replicasets", self.namespace()),
            selector,
        );
        let list: OwnerList = self.read(&path).await?;
        let mut uids = vec![uid.to_owned()];
        uids.extend(
            list.items
                .into_iter()
                .filter(|owner| controller_of(&owner.metadata).as_deref() == Some(uid))
                .filter_map(|owner| owner.metadata.uid),
        );
        Ok(uids)
    }
}

fn selecting(path: &str, selector: &str) -> String {
    let query: String = form_urlencoded::byte_serialize(selector.as_bytes()).collect();
    format!("{path}?labelSelector={query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_survives_the_query_string() {
        assert_eq!(
            selecting("/p", "app=demo,tier in (a,b)"),
            "/p?labelSelector=app%3Ddemo%2Ctier+in+%28a%2Cb%29"
        );
    }
}
