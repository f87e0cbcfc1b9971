//! Which pods does a workload have?

use super::connect::Cluster;
use super::error::Error;
use super::target::{ContainerView, containers_of};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Deserialize;
use std::collections::BTreeSet;
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

/// By what a workload's pods are known as its own.
///
/// A pod names its controller by uid. With `revisionHistoryLimit: 0` an old ReplicaSet is removed
/// while its last pods still end, so those that were seen once are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    workload: String,
    uid: String,
    selector: String,
    controllers: BTreeSet<String>,
}

impl Ownership {
    /// Of a workload by name, uid and selector; no ReplicaSet of it has been seen yet.
    pub fn new(workload: &str, uid: &str, selector: &str) -> Self {
        Self {
            workload: workload.to_owned(),
            uid: uid.to_owned(),
            selector: selector.to_owned(),
            controllers: BTreeSet::from([uid.to_owned()]),
        }
    }

    /// A label alone does not make a pod the workload's. `living` are the ReplicaSets that exist: of
    /// one that went before it was ever seen, its name tells whose it was.
    fn covers(&self, pod: &ObjectMeta, living: &BTreeSet<String>) -> bool {
        let Some(controller) = controller_of(pod) else {
            return false;
        };
        let outlived = || {
            let hash = pod.labels.as_ref()?.get(TEMPLATE_HASH)?;
            let name = format!("{}-{hash}", self.workload);
            (controller.kind == "ReplicaSet" && controller.name == name).then_some(())
        };
        self.controllers.contains(&controller.uid)
            || (pod.deletion_timestamp.is_some()
                && !living.contains(&controller.uid)
                && outlived().is_some())
    }
}

/// By which a Deployment names its ReplicaSets and labels their pods.
const TEMPLATE_HASH: &str = "pod-template-hash";

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
            controller: controller_of(&pod.metadata).map(|owner| owner.uid.clone()),
            containers: spec.map(containers_of).unwrap_or_default(),
        }
    }
}

fn grace_of(metadata: &ObjectMeta) -> Duration {
    let seconds = metadata.deletion_grace_period_seconds.unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn controller_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

impl Cluster {
    /// The pods of a workload, in the order of their names: those at work, and those that are being
    /// deleted until they are really gone.
    pub async fn pods_of(&self, own: &mut Ownership) -> Result<Vec<PodView>, Error> {
        let living = self.replica_sets(own).await?;
        let path = selecting(
            &format!("/api/v1/namespaces/{}/pods", self.namespace()),
            &own.selector,
        );
        let list: PodList = self.read(&path).await?;
        let mut pods: Vec<PodView> = list
            .items
            .iter()
            .filter(|pod| own.covers(&pod.metadata, &living))
            .map(PodView::of)
            .filter(|pod| pod.terminating || !pod.finished)
            .collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pods)
    }

    /// The uids of the ReplicaSets that exist; those of the workload are remembered.
    async fn replica_sets(&self, own: &mut Ownership) -> Result<BTreeSet<String>, Error> {
        let path = selecting(
            &format!("/apis/apps/v1/namespaces/{}/replicasets", self.namespace()),
            &own.selector,
        );
        let list: OwnerList = self.read(&path).await?;
        let mut living = BTreeSet::new();
        for set in list.items {
            let Some(uid) = &set.metadata.uid else {
                continue;
            };
            if controller_of(&set.metadata).is_some_and(|owner| owner.uid == own.uid) {
                own.controllers.insert(uid.clone());
            }
            living.insert(uid.clone());
        }
        Ok(living)
    }
}

fn selecting(path: &str, selector: &str) -> String {
    let query: String = form_urlencoded::byte_serialize(selector.as_bytes()).collect();
    format!("{path}?labelSelector={query}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::mock::MemoryApi;
    use serde_json::{Value, json};

    const SETS: &str = "/apis/apps/v1/namespaces/shop/replicasets";
    const PODS: &str = "/api/v1/namespaces/shop/pods";

    fn owned_by(kind: &str, name: &str, uid: &str) -> Value {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}])
    }

    fn put_pod(api: &MemoryApi, name: &str, set: &str, uid: &str, terminating: bool) {
        let mut pod = json!({
            "metadata": {
                "name": name, "uid": name, "labels": {"app": "demo", TEMPLATE_HASH: "aaa"},
                "ownerReferences": owned_by("ReplicaSet", set, uid)
            },
            "status": {"phase": "Running"}
        });
        if terminating {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-24T17:00:30Z");
        }
        api.put(&format!("{PODS}/{name}"), pod);
    }

    async fn names(api: &MemoryApi, own: &mut Ownership) -> Vec<String> {
        let pods = api.cluster().pods_of(own).await.unwrap();
        pods.into_iter().map(|pod| pod.name).collect()
    }

    #[tokio::test]
    async fn a_pod_outlives_its_replica_set_and_is_still_the_workloads() {
        let api = MemoryApi::start();
        let set = format!("{SETS}/demo-aaa");
        let owners = owned_by("Deployment", "demo", "d1");
        api.put(
            &set,
            json!({"metadata": {"name": "demo-aaa", "uid": "r1", "ownerReferences": owners}}),
        );
        put_pod(&api, "demo-aaa-1", "demo-aaa", "r1", true);
        let mut own = Ownership::new("demo", "d1", "app=demo");
        assert_eq!(names(&api, &mut own).await, ["demo-aaa-1"]);
        api.remove(&set);
        assert_eq!(names(&api, &mut own).await, ["demo-aaa-1"], "it was seen");

        let mut late = Ownership::new("demo", "d1", "app=demo");
        put_pod(&api, "demo-aaa-2", "demo-aaa", "r1", false);
        put_pod(&api, "other-1", "other-aaa", "r2", true);
        let known = names(&api, &mut late).await;
        assert_eq!(known, ["demo-aaa-1"], "by its name, and while it ends only");
    }

    #[test]
    fn a_selector_survives_the_query_string() {
        assert_eq!(
            selecting("/p", "app=demo,tier in (a,b)"),
            "/p?labelSelector=app%3Ddemo%2Ctier+in+%28a%2Cb%29"
        );
    }
}
