//! How are objects deleted, one or many, with what belongs to them?

use super::respond::{self, Answer};
use super::{Call, parse, read};
use crate::lab::store::{DeleteOptions, RESOURCES, Status, object};
use serde_json::{Value, json};

/// What happens to the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagation {
    /// They are deleted afterwards, by the garbage collector.
    Background,
    /// They are deleted first; a finalizer holds the owner meanwhile.
    Foreground,
    /// They stay, ownerless.
    Orphan,
}

struct Request {
    options: DeleteOptions,
    propagation: Propagation,
    dry_run: bool,
}

/// Reads the body (`DeleteOptions`) and the parameters, of which the body's win.
fn request(call: &Call<'_>, body: &[u8]) -> Result<Request, Status> {
    let body = if body.is_empty() {
        json!({})
    } else {
        parse(call.parts, body)?
    };
    let grace = match &body["gracePeriodSeconds"] {
        Value::Null => call.query.number("gracePeriodSeconds")?,
        given => Some(given.as_i64().ok_or_else(|| {
            Status::bad_request(&format!(
                "`gracePeriodSeconds` must be a whole number, not {given}"
            ))
        })?),
    };
    let propagation = body["propagationPolicy"]
        .as_str()
        .or_else(|| call.query.text("propagationPolicy"));
    let propagation = match (propagation, body["orphanDependents"].as_bool()) {
        (Some("Foreground"), _) => Propagation::Foreground,
        (Some("Orphan"), _) | (None, Some(true)) => Propagation::Orphan,
        _ => Propagation::Background,
    };
    let dry_run = !object::items(&body["dryRun"]).is_empty() || call.query.dry_run()?;
    let uid = body["preconditions"]["uid"].as_str().map(str::to_owned);
    Ok(Request {
        options: DeleteOptions { grace, uid },
        propagation,
        dry_run,
    })
}

pub(super) fn one(call: &Call<'_>, body: &[u8]) -> Result<Answer, Status> {
    let request = request(call, body)?;
    let old = call.object()?;
    let left = delete(call, &request, &old)?;
    Ok(told(call, &left))
}

/// A pod is told as it was stored last; of anything else that is gone only the name.
fn told(call: &Call<'_>, object: &Value) -> Answer {
    let kind = call.address.resource;
    if kind.plural == "pods" || object::is_terminating(object) {
        return call.show(200, object);
    }
    let mut details =
        json!({"name": object::name(object), "kind": kind.plural, "uid": object::uid(object)});
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    respond::json(200, &status)
}

pub(super) fn many(call: &Call<'_>, body: &[u8]) -> Result<Answer, Status> {
    let request = request(call, body)?;
    let selector = read::selector(call)?;
    let kind = call.address.resource;
    let (version, objects) = call
        .store
        .list(kind.plural, call.address.namespace.as_deref());
    let mut items = Vec::new();
    for old in objects.iter().filter(|object| selector.matches(object)) {
        match delete(call, &request, old) {
            Ok(left) => items.push(left),
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let list = json!({
        "kind": format!("{}List", kind.kind),
        "apiVersion": kind.api_version(),
        "metadata": {"resourceVersion": version.to_string()},
        "items": items,
    });
    Ok(respond::json(200, &list))
}

/// Deletes one object and gives back its last state.
fn delete(call: &Call<'_>, request: &Request, old: &Value) -> Result<Value, Status> {
    if request.dry_run {
        return Ok(old.clone());
    }
    let plural = call.address.resource.plural;
    let namespace = Some(object::namespace(old)).filter(|namespace| !namespace.is_empty());
    let name = object::name(old);
    match request.propagation {
        Propagation::Background => {}
        Propagation::Orphan => orphan(call, old)?,
        Propagation::Foreground => {
            call.store.update(plural, namespace, name, |object| {
                let mut finalizers = object::items(&object["metadata"]["finalizers"]).to_vec();
                if !finalizers.contains(&json!(FOREGROUND)) {
                    finalizers.push(json!(FOREGROUND));
                }
                object["metadata"]["finalizers"] = json!(finalizers);
                Ok(())
            })?;
        }
    }
    let deleted = call
        .store
        .delete(plural, namespace, name, request.options.clone())?;
    Ok((*deleted).clone())
}

/// The finalizer that the garbage collector removes when nothing is owned any more.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// Takes the owner out of everything that it owns.
fn orphan(call: &Call<'_>, owner: &Value) -> Result<(), Status> {
    let uid = object::uid(owner);
    for kind in RESOURCES {
        for owned in call.store.list(kind.plural, None).1 {
            let owners = object::items(&owned["metadata"]["ownerReferences"]);
            if !owners.iter().any(|owner| owner["uid"] == uid) {
                continue;
            }
            let namespace = Some(object::namespace(&owned)).filter(|n| !n.is_empty());
            call.store
                .update(kind.plural, namespace, object::name(&owned), |object| {
                    let left: Vec<Value> = object::items(&object["metadata"]["ownerReferences"])
                        .iter()
                        .filter(|owner| owner["uid"] != uid)
                        .cloned()
                        .collect();
                    object["metadata"]["ownerReferences"] = json!(left);
                    Ok(())
                })?;
        }
    }
    Ok(())
}
