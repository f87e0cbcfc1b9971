//! What does the lab's cluster hold, and what changed when?
//!
//! [`Store`] is the lab's etcd and registry in one: objects as JSON by resource, namespace and name,
//! one resourceVersion counter, and a bounded history from which every watch is served. A watch
//! holds a position in the history and no queue of its own, so a slow watcher costs nothing and
//! learns that it came too late (410 Gone) as from a real API server.

mod defaults;
mod deletion;
mod history;
mod labels;
pub mod object;
mod resource;
mod service;
mod shape;
mod status;
mod watch;

pub use deletion::DeleteOptions;
pub use resource::{RESOURCES, Resource, resource};
pub use shape::unknown_fields;
pub use status::Status;
pub use watch::{Change, ChangeKind, WatchStream};

use super::mesh::Injector;
use deletion::Deletion;
use history::Table;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// The objects of a lab, shared by its API server, its controllers and its nodes.
#[derive(Debug)]
pub struct Store {
    inner: Mutex<Inner>,
    injector: OnceLock<Injector>,
}

#[derive(Debug)]
struct Inner {
    version: u64,
    tables: HashMap<&'static str, Table>,
}

impl Store {
    /// An empty cluster: not even a namespace is in it.
    pub fn new() -> Arc<Self> {
        let tables = RESOURCES
            .iter()
            .map(|resource| (resource.plural, Table::new(resource.plural)))
            .collect();
        Arc::new(Self {
            inner: Mutex::new(Inner { version: 1, tables }),
            injector: OnceLock::new(),
        })
    }

    /// Lets every new pod go through the mesh's injector, as an admission webhook would. The first
    /// injector stays.
    pub fn set_injector(&self, injector: Injector) {
        let _ = self.injector.set(injector);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock is a defect of one request; the objects are replaced whole, so
        // what the lock guards is consistent all the same.
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The newest resourceVersion.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// All objects of a resource (of all namespaces for `None`) by namespace and name, and the
    /// resourceVersion at which they were read.
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> (u64, Vec<Arc<Value>>) {
        let inner = self.lock();
        let objects = inner
            .tables
            .get(resource)
            .map(|table| table.objects(namespace))
            .unwrap_or_default();
        (inner.version, objects)
    }

    /// The objects as they were at `version`; Gone when the history no longer reaches back.
    pub fn list_at(
        &self,
        resource: &str,
        namespace: Option<&str>,
        version: u64,
    ) -> Result<Vec<Arc<Value>>, Status> {
        self.lock().table(resource)?.objects_at(namespace, version)
    }

    /// One object.
    pub fn get(&self, resource: &str, namespace: Option<&str>, name: &str) -> Option<Arc<Value>> {
        self.lock()
            .tables
            .get(resource)?
            .get(namespace.unwrap_or_default(), name)
    }

    /// Adds an object. Fills what a registry fills: name from `generateName`, uid,
    /// creationTimestamp, resourceVersion, generation, defaults, and a Service's cluster address.
    pub fn create(&self, resource: &str, mut object: Value) -> Result<Arc<Value>, Status> {
        self.admit(resource, &mut object);
        let mut inner = self.lock();
        let object = inner.prepare(resource, object)?;
        inner.write(resource, object, None)
    }

    /// What a webhook would do to a new object.
    fn admit(&self, resource: &str, object: &mut Value) {
        if resource != "pods" || !object["spec"].is_object() {
            return;
        }
        if let Some(injector) = self.injector.get() {
            let place = match object::namespace(object) {
                "" => "default",
                place => place,
            };
            let namespace = self.get("namespaces", None, place);
            injector.inject(object, namespace.as_deref());
        }
    }

    /// What `create` would store, without storing it.
    pub fn dry_create(&self, resource: &str, mut object: Value) -> Result<Value, Status> {
        self.admit(resource, &mut object);
        let mut inner = self.lock();
        inner.prepare(resource, object)
    }

    /// Reads, changes and writes one object under the lock. A change that changes nothing leaves
    /// the resourceVersion as it is; one of the spec raises the generation. Identity and deletion
    /// stamps cannot be changed here. An object that is being deleted goes with its last finalizer.
    pub fn update(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        change: impl FnOnce(&mut Value) -> Result<(), Status>,
    ) -> Result<Arc<Value>, Status> {
        let mut inner = self.lock();
        let old = inner.existing(resource, namespace, name)?;
        let new = changed(resource, &old, change)?;
        if new == *old {
            return Ok(old);
        }
        let written = inner.write(resource, new, Some(old))?;
        if deletion::ends_now(&written) {
            return inner.remove(resource, written);
        }
        Ok(written)
    }

    /// What `update` would store, without storing it.
    pub fn dry_update(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        change: impl FnOnce(&mut Value) -> Result<(), Status>,
    ) -> Result<Value, Status> {
        let old = self.lock().existing(resource, namespace, name)?;
        changed(resource, &old, change)
    }

    /// Deletes an object as its kind is deleted: a pod gracefully, anything with finalizers when
    /// the last of them has gone, everything else at once. Gives back what was stored last.
    pub fn delete(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        options: DeleteOptions,
    ) -> Result<Arc<Value>, Status> {
        let mut inner = self.lock();
        let old = inner.existing(resource, namespace, name)?;
        if let Some(uid) = &options.uid
            && object::uid(&old) != uid
        {
            let text = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                object::uid(&old)
            );
            return Err(Status::conflict(resource, name, &text));
        }
        match deletion::decide(resource, &old, options.grace, jiff::Timestamp::now()) {
            Deletion::Pending => Ok(old),
            Deletion::Now => inner.remove(resource, old),
            Deletion::Marked(marked) => inner.write(resource, marked, Some(old)),
            Deletion::MarkedThenNow(marked) => {
                let marked = inner.write(resource, marked, Some(old))?;
                inner.remove(resource, marked)
            }
        }
    }

    /// The changes after `from`; without it, the objects that exist as `Added` and then what
    /// follows. Gone when the history no longer reaches back to `from`.
    pub fn watch(
        self: &Arc<Self>,
        resource: &str,
        namespace: Option<&str>,
        from: Option<u64>,
    ) -> Result<WatchStream, Status> {
        let inner = self.lock();
        let table = inner.table(resource)?;
        let (initial, position) = match from {
            None => (table.objects(namespace), inner.version),
            Some(from) => {
                table.reaches(from)?;
                (Vec::new(), from)
            }
        };
        Ok(WatchStream::new(
            Arc::clone(self),
            table.key,
            namespace,
            initial,
            position,
            table.signal.subscribe(),
        ))
    }

    /// Forgets the history, as a compaction does: a watch from before now is Gone.
    pub fn expire_history(&self) {
        let mut inner = self.lock();
        let version = inner.version;
        for table in inner.tables.values_mut() {
            table.expire(version);
        }
    }

    /// The next change of `resource` after `position`, or the newest resourceVersion when there is
    /// none yet.
    fn change_after(&self, resource: &str, position: u64) -> Result<Result<Change, u64>, Status> {
        let inner = self.lock();
        let table = inner.table(resource)?;
        table.reaches(position)?;
        Ok(table.after(position).ok_or(inner.version))
    }
}

// === impl Inner ===

impl Inner {
    fn table(&self, resource: &str) -> Result<&Table, Status> {
        self.tables
            .get(resource)
            .ok_or_else(Status::unknown_resource)
    }

    fn existing(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Arc<Value>, Status> {
        self.table(resource)?
            .get(namespace.unwrap_or_default(), name)
            .ok_or_else(|| Status::not_found(resource, name))
    }

    /// Fills a new object in.
    fn prepare(&mut self, resource: &str, mut object: Value) -> Result<Value, Status> {
        let kind = resource::resource(resource).ok_or_else(Status::unknown_resource)?;
        if !object.is_object() {
            return Err(Status::bad_request("the object is not a JSON object"));
        }
        if object["metadata"].is_null() {
            object["metadata"] = json!({});
        }
        object::type_meta(&mut object, kind);
        shape::check(kind, &object)?;
        let table = self.table(resource)?;
        object::fill_name(&mut object, kind)?;
        labels::check(kind, &object)?;
        if kind.namespaced && object::namespace(&object).is_empty() {
            object["metadata"]["namespace"] = json!("default");
        }
        let (namespace, name) = (object::namespace(&object), object::name(&object));
        if table.get(namespace, name).is_some() {
            return Err(Status::already_exists(resource, name));
        }
        let meta = &mut object["metadata"];
        meta["uid"] = json!(uuid::Uuid::new_v4().to_string());
        meta["creationTimestamp"] = json!(object::second(jiff::Timestamp::now()));
        for stamp in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "resourceVersion",
        ] {
            object::remove(meta, stamp);
        }
        if kind.generation {
            meta["generation"] = json!(1);
        }
        defaults::fill(resource, &mut object);
        if resource == "services" {
            let services = self.table("services")?.objects(None);
            service::allocate(&mut object, &services)?;
        }
        Ok(object)
    }

    /// Writes an object as the next change.
    fn write(
        &mut self,
        resource: &str,
        mut object: Value,
        previous: Option<Arc<Value>>,
    ) -> Result<Arc<Value>, Status> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let kind = if previous.is_some() {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        let object = Arc::new(object);
        let change = Change {
            version: self.version,
            kind,
            object: Arc::clone(&object),
            previous,
        };
        self.record(resource, change)?;
        Ok(object)
    }

    /// Removes an object; its last event carries the resourceVersion of the removal.
    fn remove(&mut self, resource: &str, old: Arc<Value>) -> Result<Arc<Value>, Status> {
        self.version += 1;
        let mut object = (*old).clone();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        let change = Change {
            version: self.version,
            kind: ChangeKind::Deleted,
            object: Arc::clone(&object),
            previous: Some(old),
        };
        self.record(resource, change)?;
        Ok(object)
    }

    fn record(&mut self, resource: &str, change: Change) -> Result<(), Status> {
        self.tables
            .get_mut(resource)
            .ok_or_else(Status::unknown_resource)?
            .apply(change);
        Ok(())
    }
}

/// `old` after `change`, with what a change may not touch put back and the generation raised.
fn changed(
    resource: &str,
    old: &Value,
    change: impl FnOnce(&mut Value) -> Result<(), Status>,
) -> Result<Value, Status> {
    let mut new = old.clone();
    change(&mut new)?;
    let kind = resource::resource(resource).ok_or_else(Status::unknown_resource)?;
    object::keep_identity(&mut new, old);
    shape::check(kind, &new)?;
    labels::check(kind, &new)?;
    defaults::fill(resource, &mut new);
    if kind.generation && object::spec_changed(old, &new) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
        new["metadata"]["generation"] = json!(generation + 1);
    }
    Ok(new)
}

#[cfg(test)]
mod tests;
