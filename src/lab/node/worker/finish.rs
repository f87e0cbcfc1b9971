//! How does a pod end: deleted, or because it has done its work?

use super::{Signal, Worker};
use crate::lab::node::ending::Ending;
use crate::lab::node::probe::{ProbeKind, Probed};
use crate::lab::node::status::{Finished, State};
use crate::lab::store::DeleteOptions;
use crate::lab::store::object::{name, namespace, uid};
use crate::lab::truth::Fact;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long the container runtime takes from the end of the last container to the end of the
/// sandbox and its address (recordings: 0.1 s).
const SANDBOX_TEARDOWN: std::ops::Range<u64> = 60..120;

/// How long the kubelet takes from its last status to the last deletion, in milliseconds
/// (recordings: 0.2 to 0.7 s).
const CLEANUP: std::ops::Range<u64> = 180..700;

impl Worker {
    /// Stops a pod that is being deleted, and removes it from the API.
    pub(super) async fn terminate(mut self) {
        let grace = self.grace();
        self.host.truth.tell(Fact::Deleting {
            pod: name(&self.pod).to_owned(),
            uid: uid(&self.pod).to_owned(),
            grace: i64::try_from(grace).unwrap_or(i64::MAX),
        });
        self.report();
        self.stop_all(grace).await;
        self.take_down().await;
        pause(CLEANUP).await;
        let options = DeleteOptions {
            grace: Some(0),
            uid: Some(uid(&self.pod).to_owned()),
        };
        let place = Some(namespace(&self.pod));
        if let Err(error) = self
            .host
            .store
            .delete("pods", place, name(&self.pod), options)
        {
            tracing::debug!(pod = name(&self.pod), %error, "the pod was gone already");
        }
        self.host.logs.remove(uid(&self.pod));
        self.farewell().await;
    }

    /// Stops what is left of a pod that has done its work, and waits until it is deleted.
    pub(super) async fn complete(mut self) {
        self.stop_all(self.grace()).await;
        self.take_down().await;
        self.farewell().await;
    }

    /// Waits until the pod is not in the API any more: a finalizer may keep it there.
    async fn farewell(mut self) {
        while !self.seen.borrow_and_update().gone && self.seen.changed().await.is_ok() {}
        self.host.logs.forget(uid(&self.pod));
        self.host.clean_up(&self.pod);
    }

    /// Whole seconds; the kubelet knows no grace below one.
    fn grace(&self) -> u64 {
        let asked = self.pod["metadata"]["deletionGracePeriodSeconds"].as_u64();
        asked.unwrap_or_else(|| self.own_grace()).max(1)
    }

    /// The seconds of grace in its spec.
    pub(super) fn own_grace(&self) -> u64 {
        let own = &self.pod["spec"]["terminationGracePeriodSeconds"];
        own.as_u64().unwrap_or(30)
    }

    /// Stops every container that runs, all at once, and takes in what happens meanwhile.
    async fn stop_all(&mut self, grace: u64) {
        let (grace_tx, grace_rx) = watch::channel(grace);
        let mut endings = self.endings(&grace_rx);
        loop {
            tokio::select! {
                ended = endings.join_next() => if ended.is_none() { break },
                changed = self.seen.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let gone = self.seen.borrow_and_update().gone;
                    if !gone {
                        self.look();
                    }
                    let now = if gone { 1 } else { self.grace() };
                    grace_tx.send_if_modified(|grace| {
                        let shorter = now < *grace;
                        *grace = (*grace).min(now);
                        shorter
                    });
                }
                Some(signal) = self.signals.recv() => self.take_while_ending(signal),
            }
        }
    }

    /// Stops an instance whose liveness or startup probe has failed.
    pub(super) fn stop_unhealthy(&mut self, index: usize, kind: ProbeKind) {
        let own = &self.slots[index].spec[kind.field()]["terminationGracePeriodSeconds"];
        let grace = own.as_u64().unwrap_or_else(|| self.own_grace());
        let word = kind.word().to_lowercase();
        let container = self.container_name(index);
        let message = format!("Container {container} failed {word} probe, will be restarted");
        self.stop_one(index, grace, message);
    }

    /// Stops one instance of a pod that lives on; its end brings the next one.
    pub(super) fn stop_one(&mut self, index: usize, grace: u64, message: String) {
        let inside = self.inside(index);
        let pre_stop = self.hook(index, "preStop");
        let slot = &mut self.slots[index];
        let Some(running) = slot.running.as_mut().filter(|running| !running.stopping) else {
            return;
        };
        running.stopping = true;
        running.health.cancel();
        let container = slot.view.name.clone();
        let (grace_tx, grace) = watch::channel(grace);
        let ending = Ending {
            host: Arc::clone(&self.host),
            pod: Arc::clone(&self.pod),
            message,
            container,
            process: Arc::clone(&running.process),
            inside,
            pre_stop,
            before: BTreeSet::new(),
            done: Arc::new(watch::Sender::new(BTreeSet::new())),
            grace,
        };
        tokio::spawn(async move {
            ending.run().await;
            drop(grace_tx);
        });
    }

    fn endings(&mut self, grace: &watch::Receiver<u64>) -> JoinSet<()> {
        let regular: BTreeSet<_> = (0..self.slots.len())
            .filter(|index| !self.slots[*index].init && self.slots[*index].running.is_some())
            .map(|index| self.container_name(index))
            .collect();
        let done = Arc::new(watch::Sender::new(BTreeSet::new()));
        let mut endings = JoinSet::new();
        let mut before = regular;
        // Sidecars end after the regular containers and in the reverse of the order they came in.
        for index in (0..self.slots.len()).rev() {
            let slot = &self.slots[index];
            let Some(running) = &slot.running else {
                continue;
            };
            running.health.cancel();
            let container = slot.view.name.clone();
            let ending = Ending {
                host: Arc::clone(&self.host),
                pod: Arc::clone(&self.pod),
                message: format!("Stopping container {container}"),
                container: container.clone(),
                process: Arc::clone(&running.process),
                inside: self.inside(index),
                pre_stop: self.hook(index, "preStop"),
                before: if slot.view.sidecar {
                    before.clone()
                } else {
                    BTreeSet::new()
                },
                done: Arc::clone(&done),
                grace: grace.clone(),
            };
            if slot.view.sidecar {
                before.insert(container);
            }
            endings.spawn(async move {
                ending.run().await;
            });
        }
        endings
    }

    /// While it stops a pod, the kubelet goes on with readiness alone.
    fn take_while_ending(&mut self, signal: Signal) {
        let Signal::Probed {
            container,
            instance,
            kind: ProbeKind::Readiness,
            probed,
        } = signal
        else {
            return;
        };
        if let Some(index) = self.find(&container, instance) {
            let alive = self.slots[index].running.as_ref();
            if alive.is_some_and(|running| running.process.ended().is_none())
                || matches!(probed, Probed::Failed(_))
            {
                self.probed(index, ProbeKind::Readiness, probed);
            }
        }
    }

    /// Takes the sandbox away and reports how everything ended.
    async fn take_down(&mut self) {
        for slot in &self.slots {
            if let Some(running) = &slot.running {
                running.readiness.cancel();
            }
        }
        pause(SANDBOX_TEARDOWN).await;
        self.listening.cancel();
        let address = self.sandbox.take();
        let mut view_ip = None;
        if let Some(sandbox) = address {
            view_ip = Some(sandbox.address.to_string());
            self.host.remove_sandbox(sandbox).await;
            self.host.truth.tell(Fact::SandboxGone {
                pod: name(&self.pod).to_owned(),
                uid: uid(&self.pod).to_owned(),
            });
        }
        for index in 0..self.slots.len() {
            self.mark_ended(index);
            self.mark_lost(index);
        }
        self.ending = true;
        let mut view = self.view();
        view.pod_ip = view_ip.filter(|_| self.addressed);
        self.report_view(&view);
    }

    /// What the kubelet says of a container that never ran when its pod ended.
    fn mark_lost(&mut self, index: usize) {
        let now = self.host.clock.now();
        let view = &mut self.slots[index].view;
        if let State::Waiting { .. } = view.state {
            view.state = State::Terminated(Finished {
                code: 137,
                reason: "ContainerStatusUnknown",
                started: now,
                finished: now,
                id: view.id.clone().unwrap_or_default(),
                message: Some(
                    "The container could not be located when the pod was terminated".to_owned(),
                ),
            });
            view.ready = false;
            view.started = false;
        }
    }
}

async fn pause(millis: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(rand::random_range(millis))).await;
}
