//! How does a watcher learn what changed, without a queue of its own?

use super::{Status, Store, object};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created, or it existed when the watch began.
    Added,
    /// It was written.
    Modified,
    /// It was removed.
    Deleted,
}

impl ChangeKind {
    /// The word of the watch protocol.
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The resourceVersion that it made.
    pub version: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// The object after it; the last state for a removal.
    pub object: Arc<Value>,
    /// The object before it, which tells a selector whether the object just left or came in.
    pub previous: Option<Arc<Value>>,
}

impl Change {
    pub(super) fn key(&self) -> (String, String) {
        (
            object::namespace(&self.object).to_owned(),
            object::name(&self.object).to_owned(),
        )
    }
}

/// The changes of one resource, in order.
#[derive(Debug)]
pub struct WatchStream {
    store: Arc<Store>,
    resource: &'static str,
    namespace: Option<String>,
    initial: VecDeque<Arc<Value>>,
    position: u64,
    signal: tokio::sync::watch::Receiver<u64>,
}

impl WatchStream {
    pub(super) fn new(
        store: Arc<Store>,
        resource: &'static str,
        namespace: Option<&str>,
        initial: Vec<Arc<Value>>,
        position: u64,
        signal: tokio::sync::watch::Receiver<u64>,
    ) -> Self {
        Self {
            store,
            resource,
            namespace: namespace.map(str::to_owned),
            initial: initial.into(),
            position,
            signal,
        }
    }

    /// Everything up to this resourceVersion has been given out (what a bookmark says).
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether the objects that existed at the beginning have all been given out.
    pub fn is_past_initial(&self) -> bool {
        self.initial.is_empty()
    }

    /// The next change; waits for one. An error (410 Gone) ends the stream. Cancel-safe: the
    /// position moves only with what is returned.
    pub async fn next(&mut self) -> Result<Change, Status> {
        loop {
            self.signal.mark_unchanged();
            if let Some(change) = self.try_next()? {
                return Ok(change);
            }
            if self.signal.changed().await.is_err() {
                return Err(Status::internal("the store has ended"));
            }
        }
    }

    /// The next change if there is one already.
    pub fn try_next(&mut self) -> Result<Option<Change>, Status> {
        if let Some(object) = self.initial.pop_front() {
            return Ok(Some(Change {
                version: self.position,
                kind: ChangeKind::Added,
                object,
                previous: None,
            }));
        }
        loop {
            match self.store.change_after(self.resource, self.position)? {
                Ok(change) => {
                    self.position = change.version;
                    let namespace = object::namespace(&change.object);
                    if self.namespace.as_deref().is_none_or(|own| own == namespace) {
                        return Ok(Some(change));
                    }
                }
                Err(newest) => {
                    self.position = self.position.max(newest);
                    return Ok(None);
                }
            }
        }
    }
}
