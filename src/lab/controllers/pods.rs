//! What do controllers ask about pods, and how do they make and remove them?

use crate::lab::event::{self, Emitter, Note};
use crate::lab::store::{DeleteOptions, Status, Store, object};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// Neither ended nor being deleted.
pub(super) fn is_active(pod: &Value) -> bool {
    !object::is_terminal(pod) && !object::is_terminating(pod)
}

/// The pods that an object controls.
pub(super) fn owned(store: &Store, namespace: &str, owner_uid: &str) -> Vec<Arc<Value>> {
    let (_, mut pods) = store.list("pods", Some(namespace));
    pods.retain(|pod| object::controller(pod).is_some_and(|owner| owner["uid"] == owner_uid));
    pods
}

/// Seconds until a ready pod counts as available; none when it never will by waiting.
pub(super) fn seconds_to_available(pod: &Value, min_ready: i64, now: Timestamp) -> Option<i64> {
    if !object::is_ready(pod) {
        return None;
    }
    let since = object::condition(pod, "Ready").map(|ready| &ready["lastTransitionTime"])?;
    let ready_for = object::stamp(since).map_or(0, |then| now.as_second() - then.as_second());
    Some((min_ready - ready_for).max(0))
}

/// The reference by which a controller owns what it makes.
pub(super) fn owner_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

/// Makes a pod from the owner's template, and says so.
pub(super) fn create(store: &Arc<Store>, owner: &Value, component: &str) -> Result<(), Status> {
    let template = &owner["spec"]["template"];
    let mut meta = json!({
        "generateName": format!("{}-", object::name(owner)),
        "namespace": object::namespace(owner),
        "ownerReferences": [owner_reference(owner)],
    });
    for key in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(key) {
            meta[key] = value.clone();
        }
    }
    let pod = json!({"metadata": meta, "spec": template["spec"]});
    let pod = store.create("pods", pod)?;
    let message = format!("Created pod: {}", object::name(&pod));
    say(
        store,
        component,
        owner,
        &Note::normal("SuccessfulCreate", &message),
    );
    Ok(())
}

/// Deletes a pod with its own grace, and says so.
pub(super) fn delete(
    store: &Arc<Store>,
    owner: &Value,
    pod: &Value,
    component: &str,
) -> Result<(), Status> {
    let options = DeleteOptions {
        grace: None,
        uid: Some(object::uid(pod).to_owned()),
    };
    store.delete(
        "pods",
        Some(object::namespace(pod)),
        object::name(pod),
        options,
    )?;
    let message = format!("Deleted pod: {}", object::name(pod));
    say(
        store,
        component,
        owner,
        &Note::normal("SuccessfulDelete", &message),
    );
    Ok(())
}

/// Writes an event in a controller's name.
pub(super) fn say(store: &Arc<Store>, component: &str, about: &Value, note: &Note<'_>) {
    let emitter = Emitter {
        component,
        host: "",
        now: Timestamp::now(),
    };
    event::record(store, &emitter, about, note);
}

/// A count for a status, which leaves zero out.
pub(super) fn counts(pairs: &[(&str, i64)]) -> Value {
    let mut status = json!({});
    for (key, count) in pairs {
        if *count != 0 {
            status[*key] = json!(count);
        }
    }
    status
}
