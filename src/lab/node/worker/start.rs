//! How is an instance of a container started, and held back when it crashes too often?

use super::{Signal, Worker};
use crate::lab::node::action::Inside;
use crate::lab::node::environment::{Facts, argv, environment};
use crate::lab::node::logs::Instance;
use crate::lab::node::probe::{Probe, ProbeKind};
use crate::lab::node::process::{Output, Process, StartError};
use crate::lab::node::shim::ShimOrder;
use crate::lab::node::slot::Running;
use crate::lab::node::status::{Finished, State};
use crate::lab::node::volumes::Volumes;
use crate::lab::store::object::{name, namespace, text, uid};
use crate::lab::truth::{Fact, Listening, follow_listeners};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::BufReader;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// What a container has written is read within this time after its end. A process that it has left
/// behind may hold the pipes for longer.
const LOG_PATIENCE: Duration = Duration::from_secs(1);

impl Worker {
    /// Starts a new instance; its failure is the container's state.
    pub(super) async fn start(&mut self, index: usize) {
        self.retire(index);
        let (recorder, pod) = (&self.host.recorder, &self.pod);
        let slot = &self.slots[index];
        let (container, image) = (slot.view.name.clone(), slot.view.image.clone());
        let order = match self.order(index) {
            Ok(order) => order,
            Err(text) => {
                recorder.warning(pod, &container, "Failed", &format!("Error: {text}"));
                self.give_up(index, text);
                return;
            }
        };
        let pulled = format!("Container image \"{image}\" already present on machine");
        recorder.normal(pod, &container, "Pulled", &pulled);
        recorder.normal(
            pod,
            &container,
            "Created",
            &format!("Created container: {container}"),
        );
        let began = Instant::now();
        let started = {
            let sandbox = self.sandbox.as_ref().expect("a sandbox comes first");
            let ns = sandbox.net.as_ref().map(|net| net.ns());
            let socket = self
                .host
                .dir
                .join(format!("{:016x}", rand::random::<u64>()));
            Process::start(&order, ns, &socket).await
        };
        match started {
            Ok((process, output)) => {
                self.started(index, order.env, process, output, began);
                if self.post_start(index).await {
                    self.begin_probes(index);
                }
            }
            Err(error) => self.refused(index, &error),
        }
    }

    /// The instance before this one becomes the last state.
    fn retire(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.instance += 1;
        if let State::Terminated(finished) = &slot.view.state {
            slot.view.last = Some(finished.clone());
            slot.view.restarts += 1;
        } else if slot.view.last.is_some() {
            slot.view.restarts += 1; // It was held back meanwhile.
        }
        slot.backoff.started();
        let random = || rand::random::<u128>();
        slot.view.id = Some(format!("containerd://{:032x}{:032x}", random(), random()));
    }

    fn order(&self, index: usize) -> Result<ShimOrder, String> {
        let spec = &self.slots[index].spec;
        let address = self.sandbox.as_ref().map(|sandbox| sandbox.address);
        let address = address.expect("a sandbox comes first");
        let facts = Facts {
            pod: &self.pod,
            pod_ip: &address.to_string(),
            host_ip: &self.host.address.to_string(),
            bin: &self.host.bin,
            skew: self.host.clock.skew_nanos(),
            truth: self.host.truth.path(),
            api: self.host.api.address,
            own_address_only: !self.host.isolated(),
        };
        let place = Some(namespace(&self.pod));
        let config_map = |map: &str| self.host.store.get("configmaps", place, map);
        let env = environment(spec, &facts, |map, key| {
            config_map(map)?["data"][key].as_str().map(str::to_owned)
        })?;
        let dir = self.host.volumes(&self.pod);
        let volumes = Volumes {
            pod: &self.pod,
            dir: &dir,
            access: &self.host.api,
            config_map: &config_map,
            isolated: self.host.isolated(),
        };
        let mounts = volumes.of(spec)?;
        let hosts = self.host.hosts_file(&self.pod);
        self.host
            .write_hosts(&self.pod, address)
            .map_err(|error| format!("write {}: {error}", hosts.display()))?;
        Ok(ShimOrder {
            argv: argv(spec, &env)?,
            env,
            cwd: spec["workingDir"].as_str().map(Into::into),
            hostname: name(&self.pod).to_owned(),
            hosts,
            mounts,
            scratch: dir.join(".root"),
            isolated: self.host.isolated(),
        })
    }

    fn started(
        &mut self,
        index: usize,
        env: Vec<(String, String)>,
        process: Process,
        output: Output,
        began: Instant,
    ) {
        let process = Arc::new(process);
        let log = self.keep_log(index, output);
        self.addressed = true;
        let slot = &mut self.slots[index];
        let container = slot.view.name.clone();
        let recorder = &self.host.recorder;
        recorder.normal(
            &self.pod,
            &container,
            "Started",
            &format!("Started container {container}"),
        );
        self.host.truth.tell(Fact::Started {
            pod: name(&self.pod).to_owned(),
            uid: uid(&self.pod).to_owned(),
            container,
            pid: process.pid,
        });
        slot.view.state = State::Running {
            since: self.host.clock.now(),
        };
        slot.view.started = slot.spec["startupProbe"].is_null();
        slot.view.ready = slot.view.started
            && slot.spec["readinessProbe"].is_null()
            && (!slot.init || slot.view.sidecar);
        slot.running = Some(Running {
            process,
            env,
            began,
            health: CancellationToken::new(),
            readiness: CancellationToken::new(),
            stopping: false,
        });
        self.await_end(index, log);
        self.follow_listeners();
    }

    fn begin_probes(&self, index: usize) {
        if self.slots[index].view.started {
            self.watch_health(index);
        } else {
            self.probe(index, ProbeKind::Startup);
        }
    }

    /// Copies what the container writes into its log, which ends when the last writer has ended.
    fn keep_log(&self, index: usize, output: Output) -> Arc<Instance> {
        let view = &self.slots[index].view;
        let id = view.id.as_deref().unwrap_or_default();
        let log = self.host.logs.begin(uid(&self.pod), &view.name, id);
        let (clock, kept) = (self.host.clock, Arc::clone(&log));
        tokio::spawn(async move {
            tokio::join!(
                log.copy(BufReader::new(output.stdout), || clock.now(), clock.skew()),
                log.copy(BufReader::new(output.stderr), || clock.now(), clock.skew()),
            );
            log.end();
        });
        kept
    }

    /// Tells the truth at once when the instance ends, and the kubelet when it next looks. Whoever
    /// hears of the end finds the whole log, unless somebody else still holds its pipes.
    fn await_end(&self, index: usize, log: Arc<Instance>) {
        let slot = &self.slots[index];
        let Some(running) = &slot.running else {
            return;
        };
        let (host, process) = (Arc::clone(&self.host), Arc::clone(&running.process));
        let (pod, signals) = (Arc::clone(&self.pod), self.signals_tx.clone());
        let (container, instance) = (slot.view.name.clone(), slot.instance);
        tokio::spawn(async move {
            let ended = process.wait().await;
            host.truth.tell_at(
                ended.at,
                Fact::Ended {
                    pod: name(&pod).to_owned(),
                    uid: uid(&pod).to_owned(),
                    container: container.clone(),
                    code: ended.code,
                },
            );
            let _ = timeout(LOG_PATIENCE, log.ended()).await;
            host.relist().await;
            let exited = Signal::Exited {
                container,
                instance,
            };
            // A worker that has ended needs no news.
            let _ = signals.send(exited).await;
        });
    }

    /// The first container to start follows the listeners of the whole pod, which share a network.
    fn follow_listeners(&mut self) {
        let Some(sandbox) = self.sandbox.as_ref().filter(|_| !self.followed) else {
            return;
        };
        self.followed = true;
        let ns = sandbox.net.as_ref().map(|net| net.ns());
        let address = sandbox.net.is_none().then_some(sandbox.address);
        match Listening::of(name(&self.pod), uid(&self.pod), ns, address) {
            Ok(whose) => {
                let (truth, stop) = (self.host.truth.clone(), self.listening.clone());
                tokio::spawn(follow_listeners(truth, whose, stop));
            }
            Err(error) => tracing::warn!(%error, "listeners are not followed"),
        }
    }

    /// Starts the probes that wait for the startup probe.
    pub(super) fn watch_health(&self, index: usize) {
        self.probe(index, ProbeKind::Readiness);
        self.probe(index, ProbeKind::Liveness);
    }

    fn probe(&self, index: usize, kind: ProbeKind) {
        let slot = &self.slots[index];
        let (Some(running), Some(sandbox)) = (&slot.running, &self.sandbox) else {
            return;
        };
        let address = sandbox.address.to_string();
        let Some(probe) = Probe::of(kind, &slot.spec, slot.instance, &address) else {
            return;
        };
        let stop = match kind {
            ProbeKind::Readiness => running.readiness.clone(),
            ProbeKind::Liveness | ProbeKind::Startup => running.health.clone(),
        };
        tokio::spawn(probe.run(self.inside(index), self.signals_tx.clone(), stop));
    }

    pub(super) fn inside(&self, index: usize) -> Inside {
        let running = self.slots[index].running.as_ref();
        Inside {
            pid: running.map_or(0, |running| running.process.pid),
            isolated: self.host.isolated(),
            env: running
                .map(|running| running.env.clone())
                .unwrap_or_default(),
        }
    }

    fn refused(&mut self, index: usize, error: &StartError) {
        let text = format!("failed to start container: {}", crate::error::Chain(error));
        let now = self.host.clock.now();
        let slot = &mut self.slots[index];
        let recorder = &self.host.recorder;
        recorder.warning(
            &self.pod,
            &slot.view.name,
            "Failed",
            &format!("Error: {text}"),
        );
        slot.view.state = State::Terminated(Finished {
            code: 128,
            reason: "StartError",
            started: jiff::Timestamp::UNIX_EPOCH,
            finished: now,
            id: slot.view.id.clone().unwrap_or_default(),
            message: Some(text),
        });
        slot.backoff.ended(Instant::now(), Instant::now());
    }

    fn give_up(&mut self, index: usize, text: String) {
        let slot = &mut self.slots[index];
        slot.hopeless = true;
        slot.view.id = None;
        slot.view.state = State::Waiting {
            reason: "CreateContainerConfigError",
            message: Some(text),
        };
        self.report();
    }

    /// Leaves a crashing container down for a while.
    pub(super) fn hold_back(&mut self, index: usize, until: Instant, delay: Duration) {
        let place = format!(
            "{}_{}({})",
            name(&self.pod),
            namespace(&self.pod),
            uid(&self.pod)
        );
        let slot = &mut self.slots[index];
        let State::Terminated(finished) = slot.view.state.clone() else {
            return; // It waits already.
        };
        let container = &slot.view.name;
        let recorder = &self.host.recorder;
        let message = format!("Back-off restarting failed container {container} in pod {place}");
        recorder.warning(&self.pod, container, "BackOff", &message);
        slot.view.last = Some(finished);
        slot.view.state = State::Waiting {
            reason: "CrashLoopBackOff",
            message: Some(format!(
                "back-off {}s restarting failed container={container} pod={place}",
                delay.as_secs()
            )),
        };
        self.report();
        let signals = self.signals_tx.clone();
        tokio::spawn(async move {
            sleep_until(until).await;
            let _ = signals.send(Signal::Retry).await;
        });
    }

    pub(super) fn container_name(&self, index: usize) -> String {
        text(&self.slots[index].spec["name"]).to_owned()
    }
}
