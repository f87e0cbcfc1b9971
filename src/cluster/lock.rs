//! Who is at work on a workload?
//!
//! A Lease in the workload's namespace, made by the run and removed at its end. A second run is
//! refused while the first one renews it; a Lease whose holder has died is taken over once nobody
//! has renewed it for its whole duration, by the clock and by our own observation: two clocks need
//! not agree.

mod open;
mod told;

pub use told::{LockError, LockHolder, Upkeep};

use super::connect::Cluster;
use super::error::Error;
use super::exchange::Call;
use super::own::ownership_labels;
use crate::scenario::Workload;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A Lease that was not renewed for so long has no living holder: three renewals were missed.
const DURATION_SECONDS: i32 = 15;

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(5);

/// How long an expired Lease is watched before it is taken over: one renewal and a slow call.
const OBSERVATION: Duration = Duration::from_secs(7);

/// How often a lost race for the Lease is run again.
const ATTEMPTS: u32 = 5;

/// What came of one renewal.
enum Renewal {
    Same,
    MadeAgain,
}

/// The Lease of one run on one workload.
#[derive(Clone, Debug)]
pub struct RunLock {
    cluster: Cluster,
    lease: String,
    run: String,
    released: CancellationToken,
    /// What the Lease says that is changed and not undone. Held during a write, so that there is one
    /// at a time: a renewal that crosses the release would bring the Lease back.
    open: Arc<Mutex<Option<String>>>,
}

impl RunLock {
    /// Names the lock of a run; nothing is read or written yet.
    pub fn new(cluster: &Cluster, workload: &Workload, run: &str) -> Self {
        Self::named(cluster, &lease_name(workload), run)
    }

    /// The lock of a run whose Lease is known by its name.
    pub fn named(cluster: &Cluster, lease: &str, run: &str) -> Self {
        Self {
            cluster: cluster.clone(),
            lease: lease.to_owned(),
            run: run.to_owned(),
            released: CancellationToken::new(),
            open: Arc::default(),
        }
    }

    /// The Lease's name.
    pub fn lease(&self) -> &str {
        &self.lease
    }

    /// Who holds the Lease, if anybody does.
    pub async fn holder(&self) -> Result<Option<LockHolder>, LockError> {
        let lease = self
            .read()
            .await
            .map_err(|error| self.failed("read", error))?;
        Ok(lease.and_then(|lease| self.holder_of(&lease)))
    }

    /// Takes the Lease. Gives back the dead run from which it was taken, if it was.
    pub async fn acquire(&self) -> Result<Option<LockHolder>, LockError> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.try_acquire().await {
                Err(LockError::Cluster { source, .. }) if source.is_conflict() => {
                    last = Some(source);
                }
                other => return other,
            }
        }
        let source = last.expect("every attempt was a conflict");
        Err(self.failed("take", source))
    }

    async fn try_acquire(&self) -> Result<Option<LockHolder>, LockError> {
        let take = |error| self.failed("take", error);
        let Some(mut lease) = self.read().await.map_err(take)? else {
            self.create(None).await.map_err(take)?;
            return Ok(None);
        };
        let former = self
            .holder_of(&lease)
            .filter(|holder| holder.run != self.run);
        if let Some(holder) = &former {
            if holder.expired && holder.open.is_some() {
                return Err(LockError::OpenChanges {
                    holder: holder.clone(),
                });
            }
            let Some(now) = self.observed_dead(&lease, holder).await? else {
                self.create(None).await.map_err(take)?;
                return Ok(former);
            };
            lease = now;
        }
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        lease.metadata.labels = Some(ownership_labels(&self.run));
        lease.spec = Some(self.spec(transitions.unwrap_or(0) + 1));
        open::set(&mut lease, None);
        self.replace(&lease).await.map_err(take)?;
        Ok(former)
    }

    /// Renews the Lease until `stop` or its release, and tells what it meets on the way. Ends with an
    /// error only when another run has it: a server that does not answer is asked again, for nobody
    /// else can take it meanwhile.
    pub async fn keep(
        &self,
        stop: &CancellationToken,
        tell: impl Fn(Upkeep),
    ) -> Result<(), LockError> {
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.released.cancelled() => return Ok(()),
                () = sleep(RENEWAL) => {}
            }
            let failed = match self.renew().await {
                Ok(Renewal::Same) => None,
                Ok(Renewal::MadeAgain) => {
                    tell(Upkeep::MadeAgain {
                        lease: self.lease.clone(),
                    });
                    None
                }
                Err(error @ LockError::Cluster { .. }) => Some(error),
                Err(lost) => return Err(lost),
            };
            // A server that stays away is told once.
            if let Some(error) = &failed
                && !failing
            {
                tell(Upkeep::NotRenewed {
                    why: crate::error::Chain(error).to_string(),
                });
            }
            failing = failed.is_some();
        }
    }

    async fn renew(&self) -> Result<Renewal, LockError> {
        let renew = |error| self.failed("renew", error);
        let open = self.open.lock().await;
        if self.released.is_cancelled() {
            return Ok(Renewal::Same);
        }
        let Some(mut lease) = self.read().await.map_err(renew)? else {
            self.create(open.as_deref()).await.map_err(renew)?;
            return Ok(Renewal::MadeAgain);
        };
        if let Some(holder) = self.holder_of(&lease)
            && holder.run != self.run
        {
            return Err(LockError::Lost { holder });
        }
        if let Some(spec) = lease.spec.as_mut() {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        open::set(&mut lease, open.as_deref());
        self.replace(&lease).await.map_err(renew)?;
        Ok(Renewal::Same)
    }

    /// Removes the Lease if it is still this run's. Gives whether there was one to remove.
    pub async fn release(&self) -> Result<bool, LockError> {
        let release = |error| self.failed("release", error);
        self.released.cancel();
        let _writing = self.open.lock().await;
        let Some(lease) = self.read().await.map_err(release)? else {
            return Ok(false);
        };
        let ours = self
            .holder_of(&lease)
            .is_some_and(|holder| holder.run == self.run);
        if !ours {
            return Ok(false);
        }
        let options = serde_json::json!({
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": lease.metadata.uid},
        });
        match self
            .cluster
            .exchange(&Call::delete(self.path(), options))
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(false),
            Err(error) => Err(release(error)),
        }
    }

    fn list_path(&self) -> String {
        let namespace = self.cluster.namespace();
        format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
    }

    /// Its path in the API.
    pub fn path(&self) -> String {
        format!("{}/{}", self.list_path(), self.lease)
    }

    async fn read(&self) -> Result<Option<Lease>, Error> {
        self.cluster.find(&self.path()).await
    }

    async fn create(&self, open: Option<&str>) -> Result<(), Error> {
        let mut lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.lease.clone()),
                namespace: Some(self.cluster.namespace().to_owned()),
                labels: Some(ownership_labels(&self.run)),
                ..ObjectMeta::default()
            },
            spec: Some(self.spec(0)),
        };
        open::set(&mut lease, open);
        let call = Call::post(self.list_path(), body(&lease));
        self.cluster.exchange(&call).await.map(drop)
    }

    async fn replace(&self, lease: &Lease) -> Result<(), Error> {
        let call = Call::put(self.path(), body(lease));
        self.cluster.exchange(&call).await.map(drop)
    }

    fn spec(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.run.clone()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    fn holder_of(&self, lease: &Lease) -> Option<LockHolder> {
        let spec = lease.spec.as_ref()?;
        let run = spec.holder_identity.clone().filter(|run| !run.is_empty())?;
        let renewed = spec.renew_time.as_ref().map(|renewed| renewed.0);
        let seconds = spec.lease_duration_seconds.unwrap_or(DURATION_SECONDS);
        Some(LockHolder {
            lease: self.lease.clone(),
            namespace: self.cluster.namespace().to_owned(),
            expired: expired(renewed, seconds, Timestamp::now()),
            open: open::of(lease),
            run,
            renewed,
        })
    }

    fn failed(&self, act: &'static str, source: Error) -> LockError {
        LockError::Cluster {
            act,
            lease: self.lease.clone(),
            source,
        }
    }
}

/// The name of the Lease of a workload.
pub(super) fn lease_name(workload: &Workload) -> String {
    format!("lastwatch-{}", workload.to_string().replace('/', "-"))
}

fn version(lease: &Lease) -> Option<&str> {
    lease.metadata.resource_version.as_deref()
}

fn body(lease: &Lease) -> serde_json::Value {
    serde_json::to_value(lease).expect("a lease is plain data")
}

/// Nobody has renewed it for its whole duration. A stamp of the future is a clock that differs, not
/// a dead holder.
fn expired(renewed: Option<Timestamp>, seconds: i32, now: Timestamp) -> bool {
    renewed.is_none_or(|renewed| now.as_second() - renewed.as_second() > i64::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::mock::MemoryApi;
    use crate::scenario::WorkloadKind;
    use serde_json::json;

    pub(super) fn lock(api: &MemoryApi, run: &str) -> RunLock {
        let workload = Workload {
            kind: WorkloadKind::Deployment,
            name: "demo".to_owned(),
        };
        RunLock::new(&api.cluster(), &workload, run)
    }

    #[test]
    fn a_lease_expires_by_its_own_duration_and_never_from_the_future() {
        let now = Timestamp::from_second(1_000).unwrap();
        for (renewed, dead) in [(999, false), (985, false), (984, true), (1_500, false)] {
            let renewed = Timestamp::from_second(renewed).unwrap();
            assert_eq!(expired(Some(renewed), 15, now), dead, "{renewed}");
        }
        assert!(expired(None, 15, now), "a lease that nobody ever renewed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_run_is_refused_until_the_first_has_released_its_lease() {
        let api = MemoryApi::start();
        let (first, second) = (lock(&api, "one"), lock(&api, "two"));
        assert_eq!(first.acquire().await.unwrap(), None);
        let refusal = second.acquire().await.expect_err("the first run lives");
        let text = refusal.to_string();
        assert!(text.starts_with("run `one` is at work"), "{text}");
        assert!(text.contains("kubectl delete lease lastwatch-deployment-demo -n shop"));
        assert!(!second.release().await.unwrap(), "it is not the second's");
        assert!(first.release().await.unwrap());
        assert_eq!(second.acquire().await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_run_is_followed_and_a_living_one_with_a_slow_clock_is_not() {
        for renewed_meanwhile in [false, true] {
            let api = MemoryApi::start();
            let first = lock(&api, "one");
            first.acquire().await.unwrap();
            let path = first.path();
            api.change(&path, |lease| {
                lease["spec"]["renewTime"] = json!("2020-01-01T00:00:00.000000Z");
            });
            let second = lock(&api, "two");
            let taking = tokio::spawn(async move { second.acquire().await });
            if renewed_meanwhile {
                sleep(Duration::from_secs(1)).await;
                api.change(&path, |lease| {
                    lease["spec"]["renewTime"] = json!("2020-01-01T00:00:05.000000Z");
                });
            }
            let taken = taking.await.unwrap();
            if renewed_meanwhile {
                assert!(matches!(taken, Err(LockError::Held { .. })), "{taken:?}");
            } else {
                assert_eq!(taken.unwrap().unwrap().run, "one");
                let kept = first.keep(&CancellationToken::new(), drop).await;
                assert!(
                    matches!(kept, Err(LockError::Lost { ref holder }) if holder.run == "two"),
                    "{kept:?}"
                );
            }
        }
    }
}
