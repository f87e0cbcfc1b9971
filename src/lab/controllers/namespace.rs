//! Which namespaces does a cluster begin with, and how does one end?

use super::driver::{Controller, Key};
use crate::lab::store::{Change, DeleteOptions, RESOURCES, Status, Store, object};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CONTROLLER: Controller = Controller {
    name: "namespace",
    watches: &["namespaces"],
    lag: (2, 10),
    keys,
    reconcile,
};

/// How often the content of a namespace that is being deleted is looked at.
const EMPTYING: Duration = Duration::from_millis(200);

/// The namespaces that exist from the beginning.
pub(super) fn bootstrap(store: &Arc<Store>) {
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        // A store that has them already keeps them.
        let _ = store.create("namespaces", json!({"metadata": {"name": name}}));
    }
}

fn keys(_: &Store, _: &str, change: &Change) -> Vec<Key> {
    vec![Key::of(&change.object)]
}

fn reconcile(store: &Arc<Store>, key: &Key) -> Result<Option<Duration>, Status> {
    let Some(namespace) = store.get("namespaces", None, &key.name) else {
        return Ok(None);
    };
    if !object::is_terminating(&namespace) {
        return furnish(store, &key.name).map(|()| None);
    }
    let mut left = 0;
    for kind in RESOURCES.iter().filter(|kind| kind.namespaced) {
        for object in store.list(kind.plural, Some(&key.name)).1 {
            left += 1;
            if !object::is_terminating(&object) {
                let options = DeleteOptions::default();
                store.delete(kind.plural, Some(&key.name), object::name(&object), options)?;
            }
        }
    }
    if left > 0 {
        return Ok(Some(EMPTYING));
    }
    store.update("namespaces", None, &key.name, |namespace| {
        namespace["spec"]["finalizers"] = json!([]);
        Ok(())
    })?;
    Ok(None)
}

/// Every namespace has a default service account.
fn furnish(store: &Arc<Store>, namespace: &str) -> Result<(), Status> {
    if store
        .get("serviceaccounts", Some(namespace), "default")
        .is_none()
    {
        let account = json!({"metadata": {"name": "default", "namespace": namespace}});
        store.create("serviceaccounts", account)?;
    }
    Ok(())
}
