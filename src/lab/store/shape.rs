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

/// Reads a value by a type, and gives back what the type kept.
type Reader = fn(&Value) -> Result<Value, serde_json::Error>;

fn reader(plural: &str) -> Option<Reader> {
    Some(match plural {
        "namespaces" => reread::<Namespace>,
        "nodes" => reread::<Node>,
        "pods" => reread::<Pod>,
        "services" => reread::<Service>,
        "events" => reread::<Event>,
        "configmaps" => reread::<ConfigMap>,
        "secrets" => reread::<Secret>,
        "serviceaccounts" => reread::<ServiceAccount>,
        "deployments" => reread::<Deployment>,
        "replicasets" => reread::<ReplicaSet>,
        "jobs" => reread::<Job>,
        "poddisruptionbudgets" => reread::<PodDisruptionBudget>,
        "endpointslices" => reread::<EndpointSlice>,
        "leases" => reread::<Lease>,
        "roles" => reread::<Role>,
        "rolebindings" => reread::<RoleBinding>,
        "clusterroles" => reread::<ClusterRole>,
        "clusterrolebindings" => reread::<ClusterRoleBinding>,
        _ => return None,
    })
}

fn reread<T: for<'de> Deserialize<'de> + serde::Serialize>(
    value: &Value,
) -> Result<Value, serde_json::Error> {
    serde_json::to_value(T::deserialize(value)?)
}

/// Refuses an object that its kind's type cannot read, as the API server's decoder does.
pub(super) fn check(kind: &Resource, value: &Value) -> Result<(), Status> {
    let read = reader(kind.plural).map_or(Ok(Value::Null), |reader| reader(value));
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

/// The paths of fields that the kind does not have.
pub fn unknown_fields(kind: &Resource, value: &Value) -> Vec<String> {
    let known = reader(kind.plural).and_then(|reader| reader(value).ok());
    let mut unknown = Vec::new();
    if let Some(known) = known {
        compare(value, &known, "", &mut unknown);
    }
    unknown
}

fn compare(given: &Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (key, value) in given {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match known.get(key) {
                    Some(known) => compare(value, known, &path, unknown),
                    None if value.is_null() => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (at, (given, known)) in given.iter().zip(known).enumerate() {
                compare(given, known, &format!("{path}[{at}]"), unknown);
            }
        }
        _ => {}
    }
}
