//! What goes when its owner has gone?

use super::driver::{Controller, Key};
use crate::lab::api::FOREGROUND;
use crate::lab::store::{Change, ChangeKind, DeleteOptions, RESOURCES, Status, Store, object};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Keys of this controller are uids of owners, not names.
pub(super) const CONTROLLER: Controller = Controller {
    name: "garbage collector",
    watches: &[
        "deployments",
        "replicasets",
        "jobs",
        "pods",
        "services",
        "configmaps",
    ],
    lag: (10, 40),
    keys,
    reconcile,
};

fn keys(_: &Store, _: &str, change: &Change) -> Vec<Key> {
    let held = object::items(&change.object["metadata"]["finalizers"]).contains(&json!(FOREGROUND));
    let mut keys = Vec::new();
    if change.kind == ChangeKind::Deleted || held {
        keys.push(key(object::uid(&change.object)));
    }
    if change.kind == ChangeKind::Deleted {
        // An owner that waits for what it owns may be free now.
        for owner in object::items(&change.object["metadata"]["ownerReferences"]) {
            keys.push(key(object::text(&owner["uid"])));
        }
    }
    keys
}

fn key(uid: &str) -> Key {
    Key {
        namespace: String::new(),
        name: uid.to_owned(),
    }
}

fn reconcile(store: &Arc<Store>, key: &Key) -> Result<Option<Duration>, Status> {
    let uid = key.name.as_str();
    let owner = find(store, uid);
    let waits = owner.as_ref().is_some_and(|(_, owner)| {
        object::is_terminating(owner)
            && object::items(&owner["metadata"]["finalizers"]).contains(&json!(FOREGROUND))
    });
    if owner.is_some() && !waits {
        return Ok(None);
    }
    let owned = owned(store, uid);
    for (resource, object) in &owned {
        if !object::is_terminating(object) && !has_other_owner(store, object, uid) {
            let options = DeleteOptions {
                grace: None,
                uid: Some(object::uid(object).to_owned()),
            };
            store.delete(resource, place(object), object::name(object), options)?;
        }
    }
    if owned.is_empty()
        && let Some((resource, owner)) = owner
    {
        release(store, resource, &owner)?;
    }
    Ok(None)
}

fn place(object: &Value) -> Option<&str> {
    Some(object::namespace(object)).filter(|namespace| !namespace.is_empty())
}

fn everything(store: &Store) -> impl Iterator<Item = (&'static str, Arc<Value>)> {
    RESOURCES.iter().flat_map(|kind| {
        let objects = store.list(kind.plural, None).1;
        objects.into_iter().map(|object| (kind.plural, object))
    })
}

fn find(store: &Store, uid: &str) -> Option<(&'static str, Arc<Value>)> {
    everything(store).find(|(_, object)| object::uid(object) == uid)
}

fn owned(store: &Store, uid: &str) -> Vec<(&'static str, Arc<Value>)> {
    everything(store)
        .filter(|(_, object)| {
            object::items(&object["metadata"]["ownerReferences"])
                .iter()
                .any(|owner| owner["uid"] == uid)
        })
        .collect()
}

fn has_other_owner(store: &Store, object: &Value, uid: &str) -> bool {
    object::items(&object["metadata"]["ownerReferences"])
        .iter()
        .map(|owner| object::text(&owner["uid"]))
        .any(|other| other != uid && find(store, other).is_some())
}

fn release(store: &Arc<Store>, resource: &str, owner: &Value) -> Result<(), Status> {
    store.update(resource, place(owner), object::name(owner), |owner| {
        let left: Vec<Value> = object::items(&owner["metadata"]["finalizers"])
            .iter()
            .filter(|finalizer| **finalizer != FOREGROUND)
            .cloned()
            .collect();
        owner["metadata"]["finalizers"] = json!(left);
        Ok(())
    })?;
    Ok(())
}
