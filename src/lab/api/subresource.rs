//! How is the number of replicas read and set through `scale`?

use super::patch::{self, Patch};
use super::path::Verb;
use super::respond::{self, Answer};
use super::{Call, parse};
use crate::lab::store::{Status, object};
use serde_json::{Value, json};

pub(super) fn scale(call: &Call<'_>, body: &[u8]) -> Result<Answer, Status> {
    let old = call.object()?;
    let stored = match call.address.verb {
        Verb::Get => return Ok(respond::json(200, &of(&old))),
        Verb::Update => {
            let wanted = parse(call.parts, body)?;
            set(call, |_| Ok(wanted))?
        }
        Verb::Patch => {
            let patch = Patch::parse(call.parts, body)?;
            set(call, |scale| {
                patch::apply(call.address.resource, &patch, scale)
            })?
        }
        _ => return Err(Status::method_not_allowed()),
    };
    Ok(respond::json(200, &of(&stored)))
}

/// The `Scale` of a workload.
fn of(workload: &Value) -> Value {
    let meta = &workload["metadata"];
    let labels = &workload["spec"]["selector"]["matchLabels"];
    let selector: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", object::text(value)))
        .collect();
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"], "creationTimestamp": meta["creationTimestamp"],
        },
        "spec": {"replicas": workload["spec"]["replicas"]},
        "status": {
            "replicas": workload["status"]["replicas"].as_i64().unwrap_or(0),
            "selector": selector.join(","),
        },
    })
}

/// Writes the replicas that `make` makes of the present scale.
fn set(
    call: &Call<'_>,
    make: impl FnOnce(Value) -> Result<Value, Status>,
) -> Result<Value, Status> {
    let (namespace, name) = call.address.of_object()?;
    let kind = call.address.resource;
    let act = |stored: &mut Value| {
        let wanted = make(of(stored))?;
        let version = object::text(&wanted["metadata"]["resourceVersion"]);
        if !version.is_empty() && version != object::text(&stored["metadata"]["resourceVersion"]) {
            return Err(Status::outdated(kind.plural, name));
        }
        let replicas = match &wanted["spec"]["replicas"] {
            Value::Null => 0,
            given => given
                .as_i64()
                .filter(|count| (0..=i64::from(i32::MAX)).contains(count))
                .ok_or_else(|| {
                    let why = format!("Invalid value: {given}: must be greater than or equal to 0");
                    Status::invalid(kind, name, "spec.replicas", "FieldValueInvalid", &why)
                })?,
        };
        stored["spec"]["replicas"] = json!(replicas);
        Ok(())
    };
    if call.query.dry_run()? {
        return call.store.dry_update(kind.plural, namespace, name, act);
    }
    let stored = call.store.update(kind.plural, namespace, name, act)?;
    Ok((*stored).clone())
}
