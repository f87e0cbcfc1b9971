//! How does a pod live on its node?
//!
//! One [`Worker`] for each pod, as the kubelet has it: it makes the sandbox, starts containers in
//! their order, takes in what probes and ended processes tell, reports the status, and stops
//! everything when the pod is deleted.

mod finish;
mod hooks;
mod start;

use super::host::{Host, Sandbox};
use super::probe::{ProbeKind, Probed};
use super::slot::{Slot, slots, startable};
use super::status::{self, Finished, PodView, State};
use crate::lab::store::object::{is_terminating, name, namespace, text, uid};
use crate::lab::truth::Fact;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// News for a worker that has not got to them yet: probes of ten containers for a minute.
const SIGNAL_QUEUE_SIZE: usize = 1024;

/// How long the container runtime takes to make a sandbox, beyond what it takes here.
const SANDBOX_SETUP: Duration = Duration::from_millis(250);

/// What a worker is told from within.
#[derive(Debug)]
pub(crate) enum Signal {
    /// The kubelet has seen that an instance has ended.
    Exited { container: String, instance: u64 },
    /// A probe says something.
    Probed {
        container: String,
        instance: u64,
        kind: ProbeKind,
        probed: Probed,
    },
    /// A back-off is over.
    Retry,
}

/// What the API says of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its newest state.
    pub(crate) pod: Arc<Value>,
    /// It is not there any more.
    pub(crate) gone: bool,
}

/// A pod's worker.
#[derive(Debug)]
pub(crate) struct Worker {
    host: Arc<Host>,
    pod: Arc<Value>,
    seen: watch::Receiver<Seen>,
    slots: Vec<Slot>,
    sandbox: Option<Sandbox>,
    start_time: Timestamp,
    addressed: bool,
    ending: bool,
    signals_tx: mpsc::Sender<Signal>,
    signals: mpsc::Receiver<Signal>,
    listening: CancellationToken,
    followed: bool,
}

impl Worker {
    /// A worker of a pod that was assigned to `host`.
    pub(crate) fn new(host: Arc<Host>, mut seen: watch::Receiver<Seen>) -> Self {
        let pod = Arc::clone(&seen.borrow_and_update().pod);
        let (signals_tx, signals) = mpsc::channel(SIGNAL_QUEUE_SIZE);
        Self {
            slots: slots(&pod),
            start_time: host.clock.now(),
            host,
            pod,
            seen,
            sandbox: None,
            addressed: false,
            ending: false,
            signals_tx,
            signals,
            listening: CancellationToken::new(),
            followed: false,
        }
    }

    /// Lives until the pod is gone.
    pub(crate) async fn run(mut self) {
        self.report();
        self.make_sandbox().await;
        while !self.leaving() {
            self.start_what_may().await;
            if self.over() {
                return self.complete().await;
            }
            tokio::select! {
                changed = self.seen.changed() => {
                    if changed.is_err() {
                        return; // The kubelet itself has ended.
                    }
                    self.look();
                }
                Some(signal) = self.signals.recv() => self.take(signal).await,
            }
        }
        self.terminate().await;
    }

    fn look(&mut self) {
        self.pod = Arc::clone(&self.seen.borrow_and_update().pod);
    }

    fn leaving(&self) -> bool {
        is_terminating(&self.pod) || self.seen.borrow().gone
    }

    /// Every container has done what it was there for.
    fn over(&self) -> bool {
        let policy = text(&self.pod["spec"]["restartPolicy"]);
        matches!(status::phase(&self.view(), policy), "Succeeded" | "Failed")
    }

    async fn make_sandbox(&mut self) {
        let began = Instant::now();
        let sandbox = match self.host.sandbox().await {
            Ok(sandbox) => sandbox,
            Err(error) => {
                let text = crate::error::Chain(&error).to_string();
                tracing::error!(pod = name(&self.pod), "{text}");
                let message = format!("Failed to create pod sandbox: {text}");
                let recorder = &self.host.recorder;
                recorder.warning(&self.pod, "", "FailedCreatePodSandBox", &message);
                self.slots.iter_mut().for_each(|slot| slot.hopeless = true);
                return;
            }
        };
        self.host.truth.tell(Fact::Pod {
            pod: name(&self.pod).to_owned(),
            uid: uid(&self.pod).to_owned(),
            address: sandbox.address.to_string(),
        });
        self.sandbox = Some(sandbox);
        tokio::time::sleep_until(began + SANDBOX_SETUP).await;
        self.report();
    }

    /// What the kubelet knows now.
    fn view(&self) -> PodView {
        let (init, containers): (Vec<_>, Vec<_>) = self.slots.iter().partition(|slot| slot.init);
        let views = |slots: Vec<&Slot>| slots.into_iter().map(|slot| slot.view.clone()).collect();
        let address = self
            .sandbox
            .as_ref()
            .map(|sandbox| sandbox.address.to_string());
        PodView {
            now: self.host.clock.now(),
            start_time: self.start_time,
            host_ip: self.host.address.to_string(),
            pod_ip: address.filter(|_| self.addressed),
            sandbox: self.sandbox.is_some(),
            init: views(init),
            containers: views(containers),
            ending: self.ending,
        }
    }

    /// Writes the pod's status, if there is anything new in it.
    fn report(&self) {
        self.report_view(&self.view());
    }

    fn report_view(&self, view: &PodView) {
        let own = uid(&self.pod).to_owned();
        let place = Some(namespace(&self.pod));
        let written = self
            .host
            .store
            .update("pods", place, name(&self.pod), |pod| {
                // A pod of this name that came later is somebody else's.
                if uid(pod) == own {
                    pod["status"] = status::render(pod, view);
                }
                Ok(())
            });
        if let Err(error) = written {
            tracing::debug!(pod = name(&self.pod), %error, "no status was written");
        }
    }

    async fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Exited {
                container,
                instance,
            } => {
                if let Some(index) = self.find(&container, instance) {
                    self.mark_ended(index);
                    self.report();
                }
            }
            Signal::Probed {
                container,
                instance,
                kind,
                probed,
            } => {
                if let Some(index) = self.find(&container, instance) {
                    self.probed(index, kind, probed);
                }
            }
            Signal::Retry => {}
        }
    }

    fn find(&self, container: &str, instance: u64) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| slot.view.name == container && slot.instance == instance)
    }

    fn probed(&mut self, index: usize, kind: ProbeKind, probed: Probed) {
        let slot = &mut self.slots[index];
        match (kind, probed) {
            (_, Probed::Failed(text)) => {
                let message = format!("{} probe failed: {text}", kind.word());
                let recorder = &self.host.recorder;
                recorder.warning(&self.pod, &slot.view.name, "Unhealthy", &message);
            }
            (ProbeKind::Readiness, Probed::Result(ready)) => {
                slot.view.ready = ready && slot.view.running();
                self.report();
            }
            (ProbeKind::Startup, Probed::Result(true)) => {
                slot.view.started = true;
                slot.view.ready = slot.spec["readinessProbe"].is_null();
                self.report();
                self.watch_health(index);
            }
            (_, Probed::Result(true)) => {}
            (_, Probed::Result(false)) => self.stop_unhealthy(index, kind),
        }
    }

    /// Takes down what is known of an instance that has ended.
    fn mark_ended(&mut self, index: usize) {
        let clock = self.host.clock;
        let slot = &mut self.slots[index];
        let Some(running) = slot.running.take() else {
            return;
        };
        let Some(ended) = running.process.ended() else {
            slot.running = Some(running);
            return;
        };
        running.health.cancel();
        running.readiness.cancel();
        slot.backoff.ended(running.began, Instant::now());
        let started = match slot.view.state {
            State::Running { since } => since,
            _ => clock.at(ended.at),
        };
        slot.view.state = State::Terminated(Finished {
            code: ended.code,
            reason: if ended.code == 0 {
                "Completed"
            } else {
                "Error"
            },
            started,
            finished: clock.at(ended.at),
            id: slot.view.id.clone().unwrap_or_default(),
            message: None,
        });
        slot.view.ready = slot.init && !slot.view.sidecar && ended.code == 0;
        slot.view.started = false;
    }

    /// Starts every container whose turn it is, unless its back-off is still on.
    async fn start_what_may(&mut self) {
        let policy = text(&self.pod["spec"]["restartPolicy"]).to_owned();
        if self.sandbox.is_none() {
            return;
        }
        loop {
            let mut begun = false;
            for index in startable(&self.slots, &policy) {
                let slot = &self.slots[index];
                if slot.running.is_some() || slot.hopeless {
                    continue;
                }
                match slot.backoff.until(Instant::now()) {
                    Some((until, delay)) => self.hold_back(index, until, delay),
                    None => {
                        self.start(index).await;
                        begun = true;
                    }
                }
            }
            if !begun {
                return;
            }
            self.report();
        }
    }
}
