//! Which objects does one resource have, and what were its last changes?

use super::Status;
use super::watch::{Change, ChangeKind};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Changes kept for each resource. A rollout of 100 pods makes some 1,500 pod changes; with as many
/// events beside them a watcher may fall minutes behind before it is told that it came too late.
const KEPT: usize = 8_192;

/// The objects and the history of one resource.
#[derive(Debug)]
pub(super) struct Table {
    /// The resource's own name, once it is known.
    pub(super) key: &'static str,
    objects: BTreeMap<(String, String), Arc<Value>>,
    history: VecDeque<Change>,
    /// Everything up to this version has been forgotten.
    forgotten: u64,
    /// Store --newest version--> watchers.
    pub(super) signal: tokio::sync::watch::Sender<u64>,
}

impl Table {
    pub(super) fn new(key: &'static str) -> Self {
        Self {
            key,
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            forgotten: 0,
            signal: tokio::sync::watch::Sender::new(0),
        }
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        // A key of two owned strings cannot be looked up by two borrowed ones; the copies are small.
        self.objects
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    pub(super) fn objects(&self, namespace: Option<&str>) -> Vec<Arc<Value>> {
        within(&self.objects, namespace)
    }

    /// The objects at `version`, by taking the changes since then back.
    pub(super) fn objects_at(
        &self,
        namespace: Option<&str>,
        version: u64,
    ) -> Result<Vec<Arc<Value>>, Status> {
        self.reaches(version)?;
        let mut objects = self.objects.clone();
        for change in self.history.iter().rev() {
            if change.version <= version {
                break;
            }
            match &change.previous {
                Some(previous) => objects.insert(change.key(), Arc::clone(previous)),
                None => objects.remove(&change.key()),
            };
        }
        Ok(within(&objects, namespace))
    }

    /// Gone when changes after `version` have been forgotten.
    pub(super) fn reaches(&self, version: u64) -> Result<(), Status> {
        if version < self.forgotten {
            return Err(Status::gone(version, self.forgotten));
        }
        Ok(())
    }

    /// The first change after `version`.
    pub(super) fn after(&self, version: u64) -> Option<Change> {
        let at = self
            .history
            .partition_point(|change| change.version <= version);
        self.history.get(at).cloned()
    }

    pub(super) fn apply(&mut self, change: Change) {
        let key = change.key();
        match change.kind {
            ChangeKind::Deleted => self.objects.remove(&key),
            ChangeKind::Added | ChangeKind::Modified => {
                self.objects.insert(key, Arc::clone(&change.object))
            }
        };
        let version = change.version;
        self.history.push_back(change);
        if self.history.len() > KEPT
            && let Some(oldest) = self.history.pop_front()
        {
            self.forgotten = oldest.version;
        }
        self.signal.send_replace(version);
    }

    pub(super) fn expire(&mut self, version: u64) {
        self.history.clear();
        self.forgotten = version;
    }
}

fn within(
    objects: &BTreeMap<(String, String), Arc<Value>>,
    namespace: Option<&str>,
) -> Vec<Arc<Value>> {
    objects
        .iter()
        .filter(|((of, _), _)| namespace.is_none_or(|namespace| namespace == of))
        .map(|(_, object)| Arc::clone(object))
        .collect()
}
