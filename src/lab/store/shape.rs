//! Has an object the shape of its kind?
//!
//! The types of the real API read it once, so that everything behind may rely on it: a `spec` is an
//! object, `replicas` a number.

use super::{Resource, Status, object};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    batch::v1::Job,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Event, Namespace, Node, Pod, Secret, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
    policy::v1::PodDisruptionBudget,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use serde::Deserialize;
use serde_json::Value;

/// Refuses an object that its kind's type cannot read, as the API server's decoder does.
pub(super) fn check(kind: &Resource, value: &Value) -> Result<(), Status> {
    let read = match kind.plural {
        "namespaces" => read::<Namespace>(value),
        "nodes" => read::<Node>(value),
        "pods" => read::<Pod>(value),
        "services" => read::<Service>(value),
        "events" => read::<Event>(value),
        "configmaps" => read::<ConfigMap>(value),
        "secrets" => read::<Secret>(value),
        "serviceaccounts" => read::<ServiceAccount>(value),
        "deployments" => read::<Deployment>(value),
        "replicasets" => read::<ReplicaSet>(value),
        "jobs" => read::<Job>(value),
        "poddisruptionbudgets" => read::<PodDisruptionBudget>(value),
        "endpointslices" => read::<EndpointSlice>(value),
        "leases" => read::<Lease>(value),
        "roles" => read::<Role>(value),
        "rolebindings" => read::<RoleBinding>(value),
        "clusterroles" => read::<ClusterRole>(value),
        "clusterrolebindings" => read::<ClusterRoleBinding>(value),
        _ => Ok(()),
    };
    read.map_err(|error| {
        let text = format!(
            "{} in version {:?} cannot be handled as a {}: json: {error}",
            kind.kind, kind.version, kind.kind
        );
        Status::bad_request(&text)
    })?;
    match kind.plural {
        "deployments" | "replicasets" => workload(kind, value),
        "pods" => containers(kind, value, &value["spec"], "spec"),
        "jobs" => containers(
            kind,
            value,
            &value["spec"]["template"]["spec"],
            "spec.template.spec",
        ),
        _ => Ok(()),
    }
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> Result<(), serde_json::Error> {
    T::deserialize(value).map(|_| ())
}

/// A selector that is there and selects the template's pods.
fn workload(kind: &Resource, value: &Value) -> Result<(), Status> {
    let spec = &value["spec"];
    containers(kind, value, &spec["template"]["spec"], "spec.template.spec")?;
    let Some(wanted) = spec["selector"]["matchLabels"].as_object() else {
        if spec["selector"]["matchExpressions"].is_array() {
            return Ok(());
        }
        return Err(Status::invalid(
            kind,
            object::name(value),
            "spec.selector",
            "FieldValueRequired",
            "Required value",
        ));
    };
    let labels = &spec["template"]["metadata"]["labels"];
    if wanted
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
    {
        return Ok(());
    }
    Err(Status::invalid(
        kind,
        object::name(value),
        "spec.template.metadata.labels",
        "FieldValueInvalid",
        &format!("Invalid value: {labels}: `selector` does not match template `labels`"),
    ))
}

/// At least one container, each with a name of its own.
fn containers(kind: &Resource, value: &Value, spec: &Value, path: &str) -> Result<(), Status> {
    let containers = object::items(&spec["containers"]);
    let refuse = |field: &str, cause: &str, why: &str| {
        let field = format!("{path}.{field}");
        Err(Status::invalid(
            kind,
            object::name(value),
            &field,
            cause,
            why,
        ))
    };
    if containers.is_empty() {
        return refuse("containers", "FieldValueRequired", "Required value");
    }
    let mut names = std::collections::BTreeSet::new();
    for (at, container) in containers.iter().enumerate() {
        let name = object::text(&container["name"]);
        let field = format!("containers[{at}].name");
        if name.is_empty() {
            return refuse(&field, "FieldValueRequired", "Required value");
        }
        if !names.insert(name) {
            let why = format!("Duplicate value: {name:?}");
            return refuse(&field, "FieldValueDuplicate", &why);
        }
    }
    Ok(())
}
