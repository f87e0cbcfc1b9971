//! How does a kubelet stop a container (facts 1.3)?
//!
//! preStop runs first and counts against the grace period in whole seconds, a native sidecar waits
//! for the containers before it in the same way, then comes SIGTERM, and SIGKILL when what is left
//! of the grace period is over, but never sooner than two seconds after SIGTERM.

use super::action::{Action, Inside};
use super::host::Host;
use super::process::{Ended, Process};
use crate::lab::store::object::{name, uid};
use crate::lab::truth::Fact;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// `minimumGracePeriodInSeconds`.
const MINIMUM: Duration = Duration::from_secs(2);

/// A container that is to be stopped.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) host: Arc<Host>,
    pub(super) pod: Arc<Value>,
    pub(super) container: String,
    pub(super) process: Arc<Process>,
    pub(super) inside: Inside,
    pub(super) pre_stop: Option<Action>,
    /// What the Event says.
    pub(super) message: String,
    /// Containers that must have ended before this one gets its signal.
    pub(super) before: BTreeSet<String>,
    /// The containers that have ended.
    pub(super) done: Arc<watch::Sender<BTreeSet<String>>>,
    /// Seconds of grace, which can be shortened on the way.
    pub(super) grace: watch::Receiver<u64>,
}

impl Ending {
    /// Stops it.
    pub(super) async fn run(mut self) -> Ended {
        let recorder = &self.host.recorder;
        recorder.normal(&self.pod, &self.container, "Killing", &self.message);
        let whole = *self.grace.borrow_and_update();
        let left = tokio::select! {
            left = self.prepare(whole) => left,
            // Shortened: what was going on is dropped.
            _ = shortened(self.grace.clone()) => Duration::from_secs(*self.grace.borrow_and_update()),
        };
        self.send(Signal::SIGTERM);
        let mut deadline = Instant::now() + left.max(MINIMUM);
        let ended = loop {
            let mut grace = self.grace.clone();
            tokio::select! {
                ended = timeout_at(deadline, self.process.wait()) => break ended.ok(),
                Ok(()) = grace.changed() => {
                    let shorter = Duration::from_secs(*grace.borrow_and_update());
                    deadline = deadline.min(Instant::now() + shorter.max(MINIMUM));
                    self.grace = grace;
                }
            }
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                self.send(Signal::SIGKILL);
                self.process.wait().await
            }
        };
        self.done.send_modify(|done| {
            done.insert(self.container.clone());
        });
        ended
    }

    /// preStop and the wait of a sidecar; gives what is left of the grace period.
    async fn prepare(&self, whole: u64) -> Duration {
        let mut left = whole;
        if let Some(hook) = &self.pre_stop {
            let began = Instant::now();
            let patience = Duration::from_secs(left);
            let result = timeout(patience, hook.ask(&self.inside, patience)).await;
            if let Ok(Err(_)) | Err(_) = result {
                let recorder = &self.host.recorder;
                recorder.warning(
                    &self.pod,
                    &self.container,
                    "FailedPreStopHook",
                    "PreStopHook failed",
                );
            }
            left = left.saturating_sub(began.elapsed().as_secs());
        }
        if !self.before.is_empty() {
            let began = Instant::now();
            let mut done = self.done.subscribe();
            let all = done.wait_for(|done| self.before.is_subset(done));
            let _ = timeout(Duration::from_secs(left), all).await;
            left = left.saturating_sub(began.elapsed().as_secs());
        }
        Duration::from_secs(left)
    }

    fn send(&self, signal: Signal) {
        if self.process.ended().is_some() {
            return;
        }
        self.host.truth.tell(Fact::Signal {
            pod: name(&self.pod).to_owned(),
            uid: uid(&self.pod).to_owned(),
            container: self.container.clone(),
            signal: signal.as_str().to_owned(),
            handled: self.process.handles(signal),
        });
        self.process.signal(signal);
    }
}

async fn shortened(mut grace: watch::Receiver<u64>) {
    if grace.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
