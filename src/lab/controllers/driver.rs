//! How does a controller learn what to look at, and when?
//!
//! Changes become keys, keys wait a moment in a queue (a real controller hears of a change through
//! its own watch and a queue, some milliseconds later), and each key is reconciled whole. A key that
//! waits already is not queued twice.

use crate::lab::store::{Change, Status, Store, WatchStream, object};
use futures::future::select_all;
use rand::Rng;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Namespace and name of an object to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn of(object: &Value) -> Self {
        Self {
            namespace: object::namespace(object).to_owned(),
            name: object::name(object).to_owned(),
        }
    }

    /// The controller of an object, where it is of that kind.
    pub(super) fn of_owner(object: &Value, kind: &str) -> Option<Self> {
        let owner = object::controller(object).filter(|owner| owner["kind"] == kind)?;
        Some(Self {
            namespace: object::namespace(object).to_owned(),
            name: object::text(&owner["name"]).to_owned(),
        })
    }

    /// The namespace as the store wants it.
    pub(super) fn place(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty())
    }
}

/// A controller.
#[derive(Clone, Copy)]
pub(super) struct Controller {
    pub(super) name: &'static str,
    /// The resources whose changes concern it.
    pub(super) watches: &'static [&'static str],
    /// Milliseconds until a change is looked at.
    pub(super) lag: Lag,
    /// The objects to look at for a change of one of the resources.
    pub(super) keys: fn(&Store, &str, &Change) -> Vec<Key>,
    /// Looks at one object; gives the time after which to look again.
    pub(super) reconcile: fn(&Arc<Store>, &Key) -> Result<Option<Duration>, Status>,
}

/// From and up to, in milliseconds.
pub(super) type Lag = (u64, u64);

/// After a failed attempt (somebody else was faster, an object is gone) it is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Runs a controller until the token is cancelled.
pub(super) async fn run(controller: Controller, store: Arc<Store>, token: CancellationToken) {
    let mut queue = Queue::default();
    let mut watches: Vec<(usize, WatchStream)> = Vec::new();
    loop {
        for at in 0..controller.watches.len() {
            if !watches.iter().any(|(own, _)| *own == at)
                && let Ok(stream) = store.watch(controller.watches[at], None, None)
            {
                watches.push((at, stream));
            }
        }
        let heard = tokio::select! {
            () = token.cancelled() => return,
            heard = next(&mut watches) => Some(heard),
            () = tokio::time::sleep_until(queue.next_due()) => None,
        };
        match heard {
            Some((at, Ok(change))) => {
                let lag = random_lag(controller.lag.0..controller.lag.1);
                for key in (controller.keys)(&store, controller.watches[at], &change) {
                    queue.add(key, Instant::now() + lag);
                }
            }
            // Too late for the history: the watch is opened anew and gives everything again.
            Some((at, Err(_))) => watches.retain(|(own, _)| *own != at),
            None => {}
        }
        while let Some(key) = queue.take_due(Instant::now()) {
            match (controller.reconcile)(&store, &key) {
                Ok(Some(again)) => queue.add(key, Instant::now() + again),
                Ok(None) => {}
                Err(status) => {
                    tracing::debug!(controller.name, ?key, %status, "looked at again");
                    queue.add(key, Instant::now() + RETRY);
                }
            }
        }
    }
}

async fn next(watches: &mut [(usize, WatchStream)]) -> (usize, Result<Change, Status>) {
    let waiting = watches.iter_mut().map(|(at, stream)| {
        let at = *at;
        Box::pin(async move { (at, stream.next().await) })
    });
    select_all(waiting).await.0
}

fn random_lag(lag: Range<u64>) -> Duration {
    let micros = rand::rng().random_range(lag.start * 1_000..lag.end * 1_000);
    Duration::from_micros(micros)
}

/// Keys and when they are due; the earliest wish counts.
#[derive(Debug, Default)]
struct Queue(BTreeMap<Key, Instant>);

impl Queue {
    fn add(&mut self, key: Key, due: Instant) {
        let own = self.0.entry(key).or_insert(due);
        *own = due.min(*own);
    }

    fn next_due(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        self.0.values().min().copied().unwrap_or(far)
    }

    fn take_due(&mut self, now: Instant) -> Option<Key> {
        let (key, _) = self
            .0
            .iter()
            .filter(|(_, due)| **due <= now)
            .min_by_key(|(_, due)| **due)?;
        let key = key.clone();
        self.0.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_waits_once_and_for_its_earliest_wish() {
        let key = |name: &str| Key {
            namespace: "n".into(),
            name: name.into(),
        };
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut queue = Queue::default();
        queue.add(key("a"), at(30));
        queue.add(key("a"), at(10));
        queue.add(key("b"), at(20));
        assert_eq!(queue.next_due(), at(10));
        assert_eq!(queue.take_due(at(5)), None);
        assert_eq!(queue.take_due(at(25)), Some(key("a")));
        assert_eq!(queue.take_due(at(25)), Some(key("b")));
        assert_eq!(queue.take_due(at(99)), None);
    }
}
