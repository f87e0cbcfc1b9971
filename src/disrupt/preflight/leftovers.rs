//! For how long are pods of an earlier rollout waited for that are still terminating?
//!
//! `kubectl rollout status` returns while they still end, so they are there whenever a run follows a
//! deployment at once. They go by themselves, each by the end of its own grace period.

use crate::cluster::{Cluster, Error, PodView, ResolvedTarget};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What a pod gets beyond its grace period: SIGKILL, the kubelet's last words, clocks that differ.
const SLACK: Duration = Duration::from_secs(30);

/// How often they are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Waits until the workload has no terminating pod any more. Gives why it still has one, when that
/// should have ended by itself.
pub(super) async fn wait(
    cluster: &Cluster,
    target: &ResolvedTarget,
    tell: impl Fn(&str),
) -> Result<Option<String>, Error> {
    let mut ownership = target.ownership.clone();
    let mut left = terminating(&target.pods);
    let patience = patience(&target.pods, Timestamp::now());
    tell(&format!(
        "waiting up to {} s for pods of an earlier rollout of {} that are still terminating: {left}",
        patience.as_secs(),
        target.workload
    ));
    let deadline = Instant::now() + patience;
    while !left.is_empty() {
        if Instant::now() >= deadline {
            return Ok(Some(format!(
                "pods of an earlier rollout are still terminating: {left}\n\
                 hint: their grace period is over; does a finalizer or a lost node hold them?"
            )));
        }
        sleep(LOOK).await;
        match cluster.pods_of(&mut ownership).await {
            Ok(pods) => left = terminating(&pods),
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The names of those that are being deleted.
fn terminating(pods: &[PodView]) -> String {
    let names = pods.iter().filter(|pod| pod.terminating);
    let names: Vec<&str> = names.map(|pod| pod.name.as_str()).collect();
    names.join(", ")
}

/// Until the last of them should be gone. Never longer than its whole grace period, whatever our
/// clock says beside the API server's.
fn patience(pods: &[PodView], now: Timestamp) -> Duration {
    let remaining = pods.iter().filter_map(|pod| {
        let until = pod.ends_by?.duration_since(now);
        let until = Duration::try_from(until).unwrap_or(Duration::ZERO);
        Some(until.min(pod.deletion_grace))
    });
    remaining.max().unwrap_or_default() + SLACK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(ends_by: Option<i64>, grace: u64) -> PodView {
        PodView {
            name: "demo-1".to_owned(),
            uid: "p1".to_owned(),
            resource_version: "1".to_owned(),
            address: None,
            ready: false,
            terminating: ends_by.is_some(),
            ends_by: ends_by.map(|second| Timestamp::from_second(second).unwrap()),
            deletion_grace: Duration::from_secs(grace),
            finished: false,
            controller: None,
            containers: Vec::new(),
        }
    }

    #[test]
    fn a_pod_is_waited_for_as_long_as_its_own_grace_and_never_longer() {
        let now = Timestamp::from_second(1_000).unwrap();
        for (pods, seconds) in [
            (vec![pod(Some(1_020), 60), pod(None, 0)], 20 + 30),
            (vec![pod(Some(1_020), 60), pod(Some(1_045), 60)], 45 + 30),
            // A clock of ours that is far behind, and one that is ahead or a pod that is stuck.
            (vec![pod(Some(9_000), 60)], 60 + 30),
            (vec![pod(Some(900), 60)], 30),
        ] {
            assert_eq!(patience(&pods, now), Duration::from_secs(seconds));
        }
    }
}
