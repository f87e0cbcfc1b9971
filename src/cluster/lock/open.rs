//! What has the holder of a Lease changed and not undone yet?
//!
//! A journal can be lost with the machine or the pod that wrote it. What must then be put back stands
//! in an annotation of the run's Lease too, from before each change until it is undone. A Lease that
//! has it is taken over by nobody: the next run would take the changed values for the original ones.

use super::told::{LockError, LockHolder};
use super::{ATTEMPTS, OBSERVATION, RunLock, version};
use crate::cluster::error::Error;
use crate::cluster::own::is_ours;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::sleep;

/// The annotation. Its text is the disruptions' own; what people need of it is under `told`.
const OPEN: &str = "lastwatch.dev/open-changes";

pub(super) fn of(lease: &Lease) -> Option<String> {
    lease.metadata.annotations.as_ref()?.get(OPEN).cloned()
}

pub(super) fn set(lease: &mut Lease, open: Option<&str>) {
    let annotations = &mut lease.metadata.annotations;
    match (open, annotations) {
        (Some(open), annotations) => {
            let annotations = annotations.get_or_insert_default();
            annotations.insert(OPEN.to_owned(), open.to_owned());
        }
        (None, Some(annotations)) => {
            annotations.remove(OPEN);
        }
        (None, None) => {}
    }
}

impl RunLock {
    /// Keeps in the Lease what is changed and not undone; `None`: nothing is.
    ///
    /// # Errors
    /// Another run has the Lease, or it cannot be written: then the change must not be made.
    pub async fn keep_open(&self, open: Option<String>) -> Result<(), LockError> {
        let mut written = self.open.lock().await;
        let known = open.is_some() && *written == open;
        if known || self.released.is_cancelled() {
            return Ok(());
        }
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.write_open(open.as_deref()).await {
                Ok(()) => {
                    *written = open;
                    return Ok(());
                }
                Err(LockError::Cluster { source, .. }) if source.is_conflict() => {
                    last = Some(source);
                }
                Err(error) => return Err(error),
            }
        }
        Err(self.unwritten(last.expect("every attempt was a conflict")))
    }

    async fn write_open(&self, open: Option<&str>) -> Result<(), LockError> {
        let unwritten = |error| self.unwritten(error);
        let Some(mut lease) = self.read().await.map_err(unwritten)? else {
            return match open {
                Some(_) => self.create(open).await.map_err(unwritten),
                None => Ok(()),
            };
        };
        if let Some(holder) = self.holder_of(&lease)
            && holder.run != self.run
        {
            return Err(LockError::Lost { holder });
        }
        if of(&lease).as_deref() == open {
            return Ok(());
        }
        set(&mut lease, open);
        self.replace(&lease).await.map_err(unwritten)
    }

    fn unwritten(&self, error: Error) -> LockError {
        self.failed("write what is changed into", error)
    }

    /// The dead run that holds the Lease; `None` where there is no Lease, or nobody holds it.
    ///
    /// # Errors
    /// The run lives, by its stamp or because the Lease is renewed while we look; or the Lease was
    /// made by another program.
    pub async fn dead_holder(&self) -> Result<Option<LockHolder>, LockError> {
        let read = |error| self.failed("read", error);
        let Some(lease) = self.read().await.map_err(read)? else {
            return Ok(None);
        };
        if !is_ours(&lease.metadata.labels.clone().unwrap_or_default()) {
            return Err(LockError::NotOurs {
                lease: self.lease.clone(),
            });
        }
        let Some(holder) = self.holder_of(&lease) else {
            return Ok(None);
        };
        let still = self.observed_dead(&lease, &holder).await?;
        Ok(still.and_then(|lease| self.holder_of(&lease)))
    }

    /// A Lease with a holder that has expired, once nobody has renewed it while we looked; `None`: it
    /// has gone meanwhile.
    pub(super) async fn observed_dead(
        &self,
        lease: &Lease,
        holder: &LockHolder,
    ) -> Result<Option<Lease>, LockError> {
        if !holder.expired {
            return Err(LockError::Held {
                holder: holder.clone(),
            });
        }
        sleep(OBSERVATION).await;
        let now = self.read().await;
        let Some(now) = now.map_err(|error| self.failed("read", error))? else {
            return Ok(None);
        };
        match self.holder_of(&now) {
            Some(holder) if version(&now) != version(lease) => Err(LockError::Held { holder }),
            _ => Ok(Some(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::lock;
    use super::*;
    use crate::cluster::mock::MemoryApi;
    use serde_json::{Value, json};
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    fn open(what: &str) -> Option<String> {
        Some(json!({"version": 1, "told": [what], "changes": []}).to_string())
    }

    fn annotation(api: &MemoryApi, lock: &RunLock) -> Value {
        let lease = api.get(&lock.path()).unwrap_or_default();
        lease["metadata"]["annotations"][OPEN].clone()
    }

    fn age(api: &MemoryApi, lock: &RunLock) {
        api.change(&lock.path(), |lease| {
            lease["spec"]["renewTime"] = json!("2020-01-01T00:00:00.000000Z");
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_run_with_open_changes_is_not_followed_until_they_are_undone() {
        let api = MemoryApi::start();
        let (first, second) = (lock(&api, "one"), lock(&api, "two"));
        first.acquire().await.unwrap();
        let change = "deployment/demo spec.replicas: `3` -> `1`";
        first.keep_open(open(change)).await.unwrap();
        age(&api, &first);
        let text = second.acquire().await.unwrap_err().to_string();
        for words in [
            "run `one` died",
            change,
            "`lastwatch restore --lease lastwatch-deployment-demo -n shop`",
            "`kubectl delete lease lastwatch-deployment-demo -n shop`",
        ] {
            assert!(text.contains(words), "`{words}` is not in: {text}");
        }
        let dead = second.dead_holder().await.unwrap().unwrap();
        assert_eq!((dead.run.as_str(), dead.open), ("one", open(change)));
        first.keep_open(None).await.unwrap();
        assert_eq!(annotation(&api, &first), Value::Null);
        assert_eq!(second.acquire().await.unwrap().unwrap().run, "one");
    }

    #[tokio::test(start_paused = true)]
    async fn open_changes_outlive_a_renewal_and_a_removed_lease() {
        let api = MemoryApi::start();
        let first = lock(&api, "one");
        first.acquire().await.unwrap();
        first.keep_open(open("x")).await.unwrap();
        let stop = CancellationToken::new();
        let (keeping, stopped) = (first.clone(), stop.clone());
        let keeper = tokio::spawn(async move { keeping.keep(&stopped, drop).await });
        for removed in [false, true] {
            if removed {
                api.remove(&first.path());
            }
            sleep(Duration::from_secs(8)).await;
            assert_eq!(annotation(&api, &first), json!(open("x")), "{removed}");
        }
        stop.cancel();
        keeper.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_living_run_and_a_foreign_lease_are_left_alone() {
        let api = MemoryApi::start();
        let first = lock(&api, "one");
        assert_eq!(first.dead_holder().await.unwrap(), None, "no lease");
        first.acquire().await.unwrap();
        let error = lock(&api, "two").dead_holder().await.unwrap_err();
        assert!(matches!(error, LockError::Held { .. }), "{error}");
        age(&api, &first);
        api.change(&first.path(), |lease| {
            lease["metadata"]["labels"] = json!({"app": "scheduler"});
        });
        let error = first.dead_holder().await.unwrap_err();
        assert!(matches!(error, LockError::NotOurs { .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_noted_in_the_lease_of_another_run() {
        let api = MemoryApi::start();
        let first = lock(&api, "one");
        first.acquire().await.unwrap();
        api.change(&first.path(), |lease| {
            lease["spec"]["holderIdentity"] = json!("two");
        });
        let error = first.keep_open(open("x")).await.unwrap_err();
        assert!(matches!(error, LockError::Lost { .. }), "{error}");
        assert_eq!(annotation(&api, &first), Value::Null);
    }
}
