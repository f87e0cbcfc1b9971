//! Which verbs does this program use on which resources?
//!
//! One table: preflight asks for those of a plan's steps and workload, the Roles in
//! `manifests/cluster/` grant those of a Deployment, and a lab test compares both with the requests
//! that the API server saw.

use super::connect::Cluster;
use super::error::Error;
use super::exchange::Call;
use super::lock::lease_name;
use crate::scenario::{Action, Plan, WorkloadKind};
use futures::future::try_join_all;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Verbs on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resource with its subresource: `pods/eviction`.
    pub resource: &'static str,
    /// The verb.
    pub verb: &'static str,
    /// What it is needed for.
    pub need: Need,
}

/// The names of the objects that a run works on: a Role may grant a right on these alone, by
/// `resourceNames`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    workload: Option<String>,
    service: Option<String>,
    lease: Option<String>,
}

/// What a right is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Every run: finding the target, watching it, the lock.
    Always,
    /// Runs whose target is of this kind.
    Kind(Kind),
    /// Runs with such a step on a workload of this kind.
    Step(StepKind, Option<Kind>),
    /// Better evidence: without it a run is not refused.
    Wish,
}

/// A workload kind, ordered for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `batch/v1` Job.
    Job,
}

/// A kind of step, as far as rights differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepKind {
    /// `rollingRestart` and `setImage`: a patch of the workload.
    Template,
    /// `scale`: a patch of its `scale` subresource.
    Scale,
    /// `deletePod`.
    DeletePod,
    /// `evict`.
    Evict,
}

const fn right(
    group: &'static str,
    resource: &'static str,
    verb: &'static str,
    need: Need,
) -> Right {
    Right {
        group,
        resource,
        verb,
        need,
    }
}

/// Every verb on every resource that this program uses in the target's namespace.
pub const RIGHTS: &[Right] = &[
    right("", "pods", "list", Need::Always),
    right("", "pods", "watch", Need::Always),
    right("", "pods/log", "get", Need::Always),
    right("", "events", "list", Need::Always),
    right("", "events", "watch", Need::Always),
    right("", "services", "get", Need::Always),
    right("", "services", "list", Need::Always),
    right("", "services", "watch", Need::Wish),
    right("policy", "poddisruptionbudgets", "list", Need::Wish),
    right("policy", "poddisruptionbudgets", "watch", Need::Wish),
    right("discovery.k8s.io", "endpointslices", "list", Need::Always),
    right("discovery.k8s.io", "endpointslices", "watch", Need::Always),
    right("apps", "replicasets", "list", Need::Always),
    right("apps", "replicasets", "watch", Need::Always),
    right("coordination.k8s.io", "leases", "get", Need::Always),
    right("coordination.k8s.io", "leases", "create", Need::Always),
    right("coordination.k8s.io", "leases", "update", Need::Always),
    right("coordination.k8s.io", "leases", "delete", Need::Always),
    right("apps", "deployments", "get", Need::Kind(Kind::Deployment)),
    right("apps", "deployments", "list", Need::Kind(Kind::Deployment)),
    right("apps", "deployments", "watch", Need::Kind(Kind::Deployment)),
    right("apps", "statefulsets", "get", Need::Kind(Kind::StatefulSet)),
    right(
        "apps",
        "statefulsets",
        "list",
        Need::Kind(Kind::StatefulSet),
    ),
    right(
        "apps",
        "statefulsets",
        "watch",
        Need::Kind(Kind::StatefulSet),
    ),
    right("apps", "daemonsets", "get", Need::Kind(Kind::DaemonSet)),
    right("apps", "daemonsets", "list", Need::Kind(Kind::DaemonSet)),
    right("apps", "daemonsets", "watch", Need::Kind(Kind::DaemonSet)),
    right("batch", "jobs", "get", Need::Kind(Kind::Job)),
    right("batch", "jobs", "list", Need::Kind(Kind::Job)),
    right("batch", "jobs", "watch", Need::Kind(Kind::Job)),
    right(
        "apps",
        "deployments",
        "patch",
        Need::Step(StepKind::Template, Some(Kind::Deployment)),
    ),
    right(
        "apps",
        "statefulsets",
        "patch",
        Need::Step(StepKind::Template, Some(Kind::StatefulSet)),
    ),
    right(
        "apps",
        "daemonsets",
        "patch",
        Need::Step(StepKind::Template, Some(Kind::DaemonSet)),
    ),
    right(
        "apps",
        "deployments/scale",
        "patch",
        Need::Step(StepKind::Scale, Some(Kind::Deployment)),
    ),
    right(
        "apps",
        "statefulsets/scale",
        "patch",
        Need::Step(StepKind::Scale, Some(Kind::StatefulSet)),
    ),
    right("", "pods", "delete", Need::Step(StepKind::DeletePod, None)),
    right(
        "",
        "pods/eviction",
        "create",
        Need::Step(StepKind::Evict, None),
    ),
];

/// What is read outside the target's namespace where that is permitted: the nodes, and their leases
/// in `kube-node-lease`, which bound the nodes' clocks.
pub const NODE_RIGHTS: &[Right] = &[
    right("", "nodes", "list", Need::Wish),
    right("", "nodes", "watch", Need::Wish),
    right("coordination.k8s.io", "leases", "list", Need::Wish),
    right("coordination.k8s.io", "leases", "watch", Need::Wish),
];

impl From<WorkloadKind> for Kind {
    fn from(kind: WorkloadKind) -> Self {
        match kind {
            WorkloadKind::Deployment => Self::Deployment,
            WorkloadKind::StatefulSet => Self::StatefulSet,
            WorkloadKind::DaemonSet => Self::DaemonSet,
            WorkloadKind::Job => Self::Job,
        }
    }
}

impl StepKind {
    /// What a step's action needs; a wait needs nothing.
    pub const fn of(action: &Action) -> Option<Self> {
        match action {
            Action::RollingRestart | Action::SetImage { .. } => Some(Self::Template),
            Action::Scale { .. } => Some(Self::Scale),
            Action::DeletePod { .. } => Some(Self::DeletePod),
            Action::Evict { .. } => Some(Self::Evict),
            Action::Wait { .. } => None,
        }
    }
}

/// The rights without which a plan cannot be carried out.
pub fn required(plan: &Plan) -> Vec<Right> {
    let kind = Kind::from(plan.target.workload.kind);
    let steps: Vec<StepKind> = plan
        .steps
        .iter()
        .filter_map(|step| StepKind::of(&step.action))
        .collect();
    RIGHTS
        .iter()
        .filter(|right| match right.need {
            Need::Always => true,
            Need::Kind(needed) => needed == kind,
            Need::Step(step, of) => steps.contains(&step) && of.is_none_or(|of| of == kind),
            Need::Wish => false,
        })
        .copied()
        .collect()
}

// === impl Names ===

impl Names {
    /// The objects of a plan.
    pub fn of(plan: &Plan) -> Self {
        Self {
            workload: Some(plan.target.workload.name.clone()),
            service: plan.target.service.clone(),
            lease: Some(lease_name(&plan.target.workload)),
        }
    }

    /// The object of a right, where the right is used on one that is known by name. A list or a watch
    /// is about many, and what is created has no name yet.
    fn object(&self, right: &Right) -> Option<&str> {
        if !matches!(right.verb, "get" | "update" | "patch" | "delete") {
            return None;
        }
        let resource = right.resource.split('/').next().unwrap_or_default();
        let name = match resource {
            "deployments" | "statefulsets" | "daemonsets" | "jobs" => &self.workload,
            "services" => &self.service,
            "leases" => &self.lease,
            // Pods are replaced, and with them their names.
            _ => return None,
        };
        name.as_deref()
    }
}

#[derive(Deserialize)]
struct Review {
    status: ReviewStatus,
}

#[derive(Deserialize)]
struct ReviewStatus {
    allowed: bool,
}

/// Those of `wanted` that we do not have on these objects, by the API server's own word.
pub async fn missing(
    cluster: &Cluster,
    wanted: &[Right],
    names: &Names,
) -> Result<Vec<Right>, Error> {
    let asked = wanted.iter().map(|right| async move {
        let (resource, subresource) = right
            .resource
            .split_once('/')
            .unwrap_or((right.resource, ""));
        let mut review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "namespace": cluster.namespace(), "verb": right.verb, "group": right.group,
                "resource": resource, "subresource": subresource,
            }},
        });
        if let Some(name) = names.object(right) {
            review["spec"]["resourceAttributes"]["name"] = json!(name);
        }
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let review: Review = cluster.exchange(&Call::post(path, review)).await?.json()?;
        Ok::<_, Error>((*right, review.status.allowed))
    });
    let answers = try_join_all(asked).await?;
    Ok(answers
        .into_iter()
        .filter(|(_, allowed)| !allowed)
        .map(|(right, _)| right)
        .collect())
}

/// The rules of a Role that grants these rights, as YAML.
pub fn rules_yaml(rights: &[Right]) -> String {
    let mut verbs: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for right in rights {
        verbs
            .entry((right.group, right.resource))
            .or_default()
            .push(right.verb);
    }
    let rule = |((group, resource), verbs): ((&str, &str), Vec<&str>)| {
        format!(
            "- apiGroups: [\"{group}\"]\n  resources: [\"{resource}\"]\n  verbs: [\"{}\"]\n",
            verbs.join("\", \"")
        )
    };
    verbs.into_iter().map(rule).collect()
}

/// A Role that grants these rights in a namespace, as YAML.
pub fn role_yaml(namespace: &str, rights: &[Right]) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: Role\n\
         metadata:\n  name: lastwatch\n  namespace: {namespace}\n\
         rules:\n{}",
        rules_yaml(rights)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::mock::MemoryApi;

    #[test]
    fn a_role_has_one_rule_a_resource_with_its_verbs() {
        let rights = [
            right("", "pods", "list", Need::Always),
            right("apps", "deployments", "patch", Need::Always),
            right("", "pods", "watch", Need::Always),
        ];
        let role: serde_json::Value = serde_yaml::from_str(&role_yaml("shop", &rights)).unwrap();
        assert_eq!(
            role["rules"],
            json!([
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
                {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]}
            ])
        );
        assert_eq!(role["metadata"]["namespace"], "shop");
    }

    #[tokio::test]
    async fn a_right_that_the_server_denies_is_missing() {
        let api = MemoryApi::start();
        api.review(|asked| asked["verb"] != "watch");
        let wanted = ["list", "watch", "delete"].map(|verb| right("", "pods", verb, Need::Always));
        let names = Names::default();
        let missing = missing(&api.cluster(), &wanted, &names).await.unwrap();
        assert_eq!(missing, [wanted[1]]);
    }

    #[tokio::test]
    async fn a_right_is_asked_for_by_the_name_of_its_object_where_that_is_known() {
        let api = MemoryApi::start();
        let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let asking = std::sync::Arc::clone(&asked);
        api.review(move |attributes| {
            let name = attributes["name"].as_str().unwrap_or("-");
            let text = |key: &str| attributes[key].as_str().unwrap_or_default().to_owned();
            let what = format!(
                "{} {}/{} {name}",
                text("verb"),
                text("resource"),
                text("subresource")
            );
            asking.lock().unwrap().push(what);
            true
        });
        let names = Names {
            workload: Some("demo".to_owned()),
            service: Some("front".to_owned()),
            lease: Some("lastwatch-deployment-demo".to_owned()),
        };
        missing(&api.cluster(), RIGHTS, &names).await.unwrap();
        let mut asked = asked.lock().unwrap().clone();
        asked.sort();
        let named: Vec<&str> = asked
            .iter()
            .filter(|what| !what.ends_with(" -"))
            .filter(|what| !what.contains("sets") && !what.contains("jobs"))
            .map(String::as_str)
            .collect();
        assert_eq!(
            named,
            [
                "delete leases/ lastwatch-deployment-demo",
                "get deployments/ demo",
                "get leases/ lastwatch-deployment-demo",
                "get services/ front",
                "patch deployments/ demo",
                "patch deployments/scale demo",
                "update leases/ lastwatch-deployment-demo",
            ]
        );
    }
}
