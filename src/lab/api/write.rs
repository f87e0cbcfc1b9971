//! How are objects created, replaced and patched?

use super::patch::{self, Patch};
use super::respond::Answer;
use super::{Call, events, parse};
use crate::lab::store::{Status, object, unknown_fields};
use serde_json::{Value, json};

pub(super) fn create(call: &Call<'_>, body: &[u8]) -> Result<Answer, Status> {
    let object = events::inward(&call.address.group, parse(call.parts, body)?);
    let created = new(call, object)?;
    Ok(call.show(201, &created))
}

/// Stores a new object (or says what would be stored, for a dry run).
fn new(call: &Call<'_>, mut object: Value) -> Result<Value, Status> {
    check_body(call, &object)?;
    let kind = call.address.resource;
    if kind.namespaced {
        place(call, &mut object)?;
    }
    // A status is what the cluster says; only a node brings its own.
    if kind.subresources.contains(&"status") && kind.plural != "nodes" {
        object::remove(&mut object, "status");
    }
    if call.query.dry_run()? {
        call.store.dry_create(kind.plural, object)
    } else {
        let created = call.store.create(kind.plural, object)?;
        Ok((*created).clone())
    }
}

/// Puts a new object into the namespace of the path, which must exist and not be going.
fn place(call: &Call<'_>, object: &mut Value) -> Result<(), Status> {
    let namespace = call.address.namespace.as_deref().ok_or_else(|| {
        Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )
    })?;
    let found = call
        .store
        .get("namespaces", None, namespace)
        .ok_or_else(|| Status::not_found("namespaces", namespace))?;
    if object::is_terminating(&found) {
        let name = object::name(object).to_owned();
        let kind = call.address.resource;
        let message = format!(
            "{} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
            kind.qualified()
        );
        return Err(Status::forbidden(kind.plural, &name, message));
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"]["namespace"] = json!(namespace);
    Ok(())
}

/// The kind, name, namespace and fields of a body must be those of the path.
fn check_body(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    let kind = call.address.resource;
    if !(object["metadata"].is_null() || object["metadata"].is_object()) {
        return Err(Status::bad_request("`metadata` is not an object"));
    }
    let given = object["kind"].as_str().unwrap_or(kind.kind);
    if given != kind.kind {
        let text = format!(
            "{given} in version \"v1\" cannot be handled as a {}",
            kind.kind
        );
        return Err(Status::bad_request(&text));
    }
    let own = object::namespace(object);
    if let Some(namespace) = call.address.namespace.as_deref()
        && !own.is_empty()
        && own != namespace
    {
        let text = format!(
            "the namespace of the provided object does not match the namespace sent on the request (`{own}`, not `{namespace}`)"
        );
        return Err(Status::bad_request(&text));
    }
    if let Some(name) = call.address.name.as_deref()
        && !object::name(object).is_empty()
        && object::name(object) != name
    {
        let text = format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            object::name(object)
        );
        return Err(Status::bad_request(&text));
    }
    strict(call, object)
}

/// Refuses unknown fields when the client asked for that.
fn strict(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    if call.query.text("fieldValidation") != Some("Strict") {
        return Ok(());
    }
    let unknown = unknown_fields(call.address.resource, object);
    if unknown.is_empty() {
        return Ok(());
    }
    let kind = call.address.resource;
    let list: Vec<String> = unknown
        .iter()
        .map(|path| format!("unknown field \"{path}\""))
        .collect();
    let text = format!(
        "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
        kind.kind,
        kind.version,
        kind.kind,
        list.join(", ")
    );
    Err(Status::bad_request(&text))
}

pub(super) fn update(call: &Call<'_>, body: &[u8]) -> Result<Answer, Status> {
    let new = events::inward(&call.address.group, parse(call.parts, body)?);
    check_body(call, &new)?;
    let stored = change(call, |_| Ok(new))?;
    Ok(call.show(200, &stored))
}

pub(super) fn patch(call: &Call<'_>, body: &[u8]) -> Result<Answer, Status> {
    let patch = Patch::parse(call.parts, body)?;
    if let Patch::Apply(wanted) = &patch {
        check_body(call, wanted)?;
        if let Err(status) = call.object() {
            let mut wanted = wanted.clone();
            if status.code != 404 || call.address.subresource.is_some() {
                return Err(status);
            }
            if !wanted["metadata"].is_object() {
                wanted["metadata"] = json!({});
            }
            wanted["metadata"]["name"] = json!(call.address.name);
            return Ok(call.show(201, &new(call, wanted)?));
        }
    }
    let kind = call.address.resource;
    let stored = change(call, |old| {
        let outward = events::outward(&call.address.group, old.clone());
        let patched = patch::apply(kind, &patch, outward)?;
        let patched = events::inward(&call.address.group, patched);
        strict(call, &patched)?;
        Ok(patched)
    })?;
    Ok(call.show(200, &stored))
}

/// Replaces the stored object by what `make` makes of it, within what the path may change.
fn change(
    call: &Call<'_>,
    make: impl FnOnce(&Value) -> Result<Value, Status>,
) -> Result<Value, Status> {
    let (namespace, name) = call.address.of_object()?;
    let kind = call.address.resource;
    let of_status = call.address.subresource.as_deref() == Some("status");
    let has_status = kind.subresources.contains(&"status");
    let act = |stored: &mut Value| {
        let mut new = make(stored)?;
        preconditions(kind.plural, name, stored, &new)?;
        if of_status {
            stored["status"] = new["status"].take();
            return Ok(());
        }
        if has_status {
            new["status"] = stored["status"].clone();
        }
        unchangeable(kind, name, stored, &new)?;
        *stored = new;
        Ok(())
    };
    if call.query.dry_run()? {
        call.store.dry_update(kind.plural, namespace, name, act)
    } else {
        let stored = call.store.update(kind.plural, namespace, name, act)?;
        Ok((*stored).clone())
    }
}

/// A resourceVersion or uid that the client sends along must be the stored one.
fn preconditions(plural: &str, name: &str, stored: &Value, new: &Value) -> Result<(), Status> {
    let version = object::text(&new["metadata"]["resourceVersion"]);
    if !version.is_empty() && version != object::text(&stored["metadata"]["resourceVersion"]) {
        return Err(Status::outdated(plural, name));
    }
    let uid = object::uid(new);
    if !uid.is_empty() && uid != object::uid(stored) {
        let text = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            object::uid(stored)
        );
        return Err(Status::conflict(plural, name, &text));
    }
    Ok(())
}

/// What no update may change.
fn unchangeable(
    kind: &'static crate::lab::store::Resource,
    name: &str,
    stored: &Value,
    new: &Value,
) -> Result<(), Status> {
    let (field, why) = match kind.plural {
        "deployments" | "replicasets" if stored["spec"]["selector"] != new["spec"]["selector"] => (
            "spec.selector",
            format!("Invalid value: {}: field is immutable", new["spec"]["selector"]),
        ),
        "pods" if frozen(&stored["spec"]) != frozen(&new["spec"]) => (
            "spec",
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)".to_owned(),
        ),
        _ => return Ok(()),
    };
    let cause = if kind.plural == "pods" {
        "FieldValueForbidden"
    } else {
        "FieldValueInvalid"
    };
    Err(Status::invalid(kind, name, field, cause, &why))
}

/// A pod's spec without what may change.
fn frozen(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for key in ["activeDeadlineSeconds", "tolerations"] {
        object::remove(&mut spec, key);
    }
    for list in ["containers", "initContainers"] {
        if let Some(containers) = spec.get_mut(list).and_then(Value::as_array_mut) {
            for container in containers {
                object::remove(container, "image");
            }
        }
    }
    spec
}
