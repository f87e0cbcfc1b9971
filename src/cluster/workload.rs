//! What does the API say about a workload, whichever its kind?

use super::connect::Cluster;
use super::error::Error;
use crate::scenario::{Workload, WorkloadKind};
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStrategy};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Deserialize;

/// The path of a workload, or of the list of its kind when `name` is `None`.
pub fn api_path(kind: WorkloadKind, namespace: &str, name: Option<&str>) -> String {
    let (group, plural) = match kind {
        WorkloadKind::Deployment => ("apps/v1", "deployments"),
        WorkloadKind::StatefulSet => ("apps/v1", "statefulsets"),
        WorkloadKind::DaemonSet => ("apps/v1", "daemonsets"),
        WorkloadKind::Job => ("batch/v1", "jobs"),
    };
    let list = format!("/apis/{group}/namespaces/{namespace}/{plural}");
    name.map_or_else(|| list.clone(), |name| format!("{list}/{name}"))
}

/// A workload as the API shows it, with the fields that all kinds have in common.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadView {
    /// Name, uid, generation, resource version, annotations.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: WorkloadSpec,
    /// What is there.
    #[serde(default)]
    pub status: WorkloadStatus,
}

/// What is wanted of a workload.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSpec {
    /// Wanted pods; a DaemonSet has none, its nodes decide.
    pub replicas: Option<i32>,
    /// Which pods are its own.
    #[serde(default)]
    pub selector: LabelSelector,
    /// How its pods look.
    pub template: PodTemplateSpec,
    /// A Deployment whose rollouts are held.
    #[serde(default)]
    pub paused: bool,
    /// How a Deployment replaces its pods.
    pub strategy: Option<DeploymentStrategy>,
    /// For how long a pod must be ready to count as available.
    pub min_ready_seconds: Option<i32>,
    /// For how long a Deployment may make no progress.
    pub progress_deadline_seconds: Option<i32>,
}

/// What is there of a workload.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadStatus {
    /// The generation that the controller has seen.
    pub observed_generation: Option<i64>,
    /// Pods that are not terminating.
    pub replicas: Option<i32>,
    /// Those of the newest template.
    pub updated_replicas: Option<i32>,
    /// Ready ones.
    pub ready_replicas: Option<i32>,
    /// Available ones.
    pub available_replicas: Option<i32>,
    /// Pods of a DaemonSet that should run.
    pub desired_number_scheduled: Option<i32>,
    /// Its pods of the newest template.
    pub updated_number_scheduled: Option<i32>,
    /// Its available pods.
    pub number_available: Option<i32>,
    /// Conditions.
    pub conditions: Vec<DeploymentCondition>,
}

impl WorkloadView {
    /// Reads a workload; `None` where there is none of this name.
    pub async fn read(cluster: &Cluster, workload: &Workload) -> Result<Option<Self>, Error> {
        let path = api_path(workload.kind, cluster.namespace(), Some(&workload.name));
        cluster.find(&path).await
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Its resource version.
    pub fn resource_version(&self) -> &str {
        self.metadata
            .resource_version
            .as_deref()
            .unwrap_or_default()
    }

    /// How many pods are wanted.
    pub fn wanted(&self) -> i32 {
        self.status
            .desired_number_scheduled
            .or(self.spec.replicas)
            .unwrap_or(1)
    }

    /// How many pods are available.
    pub fn available(&self) -> i32 {
        self.status
            .number_available
            .or(self.status.available_replicas)
            .unwrap_or(0)
    }

    /// Its selector in the form of a query (`app=demo,tier in (a,b)`).
    pub fn selector(&self) -> String {
        selector_query(&self.spec.selector)
    }

    /// An annotation of its pod template.
    pub fn template_annotation(&self, key: &str) -> Option<&str> {
        let metadata = self.spec.template.metadata.as_ref()?;
        metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The image of a container of its template.
    pub fn image(&self, container: &str) -> Option<&str> {
        let spec = self.spec.template.spec.as_ref()?;
        spec.containers
            .iter()
            .find(|candidate| candidate.name == container)
            .and_then(|container| container.image.as_deref())
    }

    /// Why the workload is not at rest: a rollout under way, pods missing; `None`: it is.
    ///
    /// The controller's own test (facts 1.10) plus readiness; terminating pods are not in it.
    pub fn unrest(&self) -> Option<String> {
        let generation = self.metadata.generation.unwrap_or(0);
        let observed = self.status.observed_generation.unwrap_or(0);
        if observed < generation {
            return Some(format!(
                "its controller has seen generation {observed} of {generation}"
            ));
        }
        let wanted = self.wanted();
        let updated = self
            .status
            .updated_number_scheduled
            .or(self.status.updated_replicas)
            .unwrap_or(0);
        let there = self.status.replicas.unwrap_or(updated);
        // A StatefulSet at rest may leave out `updatedReplicas`.
        let counted = self.status.updated_replicas.is_some()
            || self.status.updated_number_scheduled.is_some()
            || self.status.replicas.is_none();
        if counted && updated < wanted {
            return Some(format!(
                "{updated} of {wanted} pods are of the newest template"
            ));
        }
        if counted && there > updated {
            return Some(format!(
                "{} pods of an older template are left",
                there - updated
            ));
        }
        let available = self.available();
        (available < wanted).then(|| format!("{available} of {wanted} pods are available"))
    }

    /// The controller has given up on the rollout.
    pub fn progress_deadline_exceeded(&self) -> bool {
        self.status.conditions.iter().any(|condition| {
            condition.type_ == "Progressing"
                && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
        })
    }
}

/// A label selector in the form of a query.
fn selector_query(selector: &LabelSelector) -> String {
    let mut terms: Vec<String> = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    for requirement in selector.match_expressions.iter().flatten() {
        let key = &requirement.key;
        let values = requirement.values.clone().unwrap_or_default().join(",");
        terms.push(match requirement.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        });
    }
    terms.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(status: serde_json::Value) -> WorkloadView {
        serde_json::from_value(json!({
            "metadata": {"name": "demo", "generation": 2},
            "spec": {
                "replicas": 3,
                "selector": {
                    "matchLabels": {"app": "demo"},
                    "matchExpressions": [
                        {"key": "tier", "operator": "In", "values": ["a", "b"]},
                        {"key": "old", "operator": "DoesNotExist"}
                    ]
                },
                "template": {"spec": {"containers": [{"name": "app", "image": "x:1"}]}}
            },
            "status": status
        }))
        .unwrap()
    }

    #[test]
    fn a_workload_is_at_rest_only_when_all_pods_are_new_and_available() {
        let rest = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3});
        for (change, unrest) in [
            (json!({}), None),
            (
                json!({"observedGeneration": 1}),
                Some("its controller has seen generation 1 of 2"),
            ),
            (
                json!({"updatedReplicas": 1}),
                Some("1 of 3 pods are of the newest template"),
            ),
            (
                json!({"replicas": 4}),
                Some("1 pods of an older template are left"),
            ),
            (
                json!({"availableReplicas": 2}),
                Some("2 of 3 pods are available"),
            ),
        ] {
            let mut status = rest.clone();
            for (key, value) in change.as_object().unwrap() {
                status[key] = value.clone();
            }
            assert_eq!(deployment(status).unrest().as_deref(), unrest);
        }
    }

    #[test]
    fn a_selector_becomes_a_query() {
        assert_eq!(
            deployment(json!({})).selector(),
            "app=demo,tier in (a,b),!old"
        );
    }
}
