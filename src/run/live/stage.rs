//! What happens in which order while a run goes well?

use super::error::Obstacle;
use super::halt::{Halt, Halting};
use super::progress::{Progress, StepNow};
use super::{LiveRun, proof};
use crate::disrupt::{Executor, StepError};
use crate::evidence::{ClientInfo, EventKind, EventSink, RunDir, RunPhase, Source};
use crate::load::{Generator, LoadConfig, LoadTarget};
use crate::observe::{Observers, Subject};
use crate::run::conclude::conclude;
use crate::run::recorder::Recorder;
use crate::scenario::{LoadFrom, Plan, Repeat};
use crate::verdict::Outcome;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Patience with the first lists of the watches.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// How often progress is told and the limit of failures is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Patience with the logs of ended pods after a whole run: Envoy's last second, the kubelet's.
const DRAIN: Duration = Duration::from_secs(5);

/// The same when somebody waits for us to leave.
const QUICK_DRAIN: Duration = Duration::from_secs(1);

/// The same for requests in flight.
const QUICK_STOP: Duration = Duration::from_secs(3);

/// The client's name in the record.
const CLIENT: &str = "local";

/// Why the stage was left.
#[derive(Debug)]
pub(super) enum Stop {
    /// [`Halting`] knows why.
    Halted,
    /// Nothing had been disturbed yet.
    Failed(Obstacle),
}

impl<E: Into<Obstacle>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The running parts of a run.
pub(super) struct Stage<'a> {
    run: &'a LiveRun,
    sink: &'a EventSink,
    recorder: &'a Recorder,
    halting: &'a Halting,
    directory: &'a RunDir,
    progress: watch::Sender<Progress>,
    observing: CancellationToken,
    observers: Option<Observers>,
    generator: Option<Generator>,
    began: Instant,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        run: &'a LiveRun,
        sink: &'a EventSink,
        recorder: &'a Recorder,
        halting: &'a Halting,
        directory: &'a RunDir,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self {
            run,
            sink,
            recorder,
            halting,
            directory,
            progress,
            observing: CancellationToken::new(),
            observers: None,
            generator: None,
            began: Instant::now(),
        }
    }

    fn plan(&self) -> &'a Plan {
        &self.run.plan
    }

    /// Self-proof, baseline, then disruption and settling as often as the plan says.
    pub(super) async fn perform(&mut self, executor: &mut Executor) -> Result<(), Stop> {
        self.phase(RunPhase::SelfProof);
        let stop = self.halting.stop().clone();
        let proving = tokio::select! {
            () = stop.cancelled() => return Err(Stop::Halted),
            proving = self.prove() => proving,
        };
        let config = proving?;
        self.generator = Some(Generator::start(config, self.sink.clone())?);
        self.phase(RunPhase::Baseline);
        self.pause(self.plan().load.baseline).await?;
        self.beside(self.count_retries()).await?;
        let rounds = self.plan().repeat.max.max(1);
        for round in 1..=rounds {
            self.progress.send_modify(|now| now.round = (round, rounds));
            if !self.disrupt(executor).await? {
                break;
            }
            self.phase(RunPhase::Settle);
            self.pause(self.plan().load.settle).await?;
            if round < rounds && self.proved_enough().await {
                break;
            }
        }
        Ok(())
    }

    async fn prove(&mut self) -> Result<LoadConfig, Stop> {
        let (plan, target) = (self.plan(), self.load_target()?);
        self.note("looking for the target");
        proof::answers(self.run, &target).await?;
        self.note("opening watches and logs");
        let observers = Observers::start(
            &self.run.cluster,
            &self.subject(),
            self.sink,
            &self.observing,
        );
        let observers = self.observers.insert(observers);
        observers.ready(READY_PATIENCE).await?;
        observers.start_probes().await;
        observers.book().mark();
        let config = LoadConfig::new(CLIENT, target, plan.load.clone());
        self.sink
            .now(Source::Load, EventKind::Client(self.client(&config)));
        self.note("proving that failures would be seen");
        let observers = self.observers.as_ref().expect("just inserted");
        let proof = proof::prove(self.run, &config, observers, self.sink).await?;
        if let Some(fault) = proof.blind {
            self.halting.set(Halt::Blind(fault));
            return Err(Stop::Halted);
        }
        for fault in proof.faults {
            tracing::warn!("{fault}");
        }
        self.note("");
        Ok(config)
    }

    fn load_target(&self) -> Result<LoadTarget, Stop> {
        let target = &self.run.target;
        match (&self.plan().target.url, &target.service) {
            (Some(url), _) => Ok(LoadTarget::url(url)?),
            (None, Some(service)) => {
                let host = format!("{}.{}.svc", service.name, target.namespace);
                let (Some(ip), Some(port)) = (&service.cluster_ip, service.port) else {
                    unreachable!("a Service without an address is a target's only beside a url")
                };
                Ok(LoadTarget::plain(ip.clone(), port, host))
            }
            (None, None) => unreachable!("a plan has a service or a url"),
        }
    }

    fn subject(&self) -> Subject {
        let target = &self.run.target;
        Subject {
            namespace: target.namespace.clone(),
            workload: target.workload.clone(),
            selector: target.selector.clone(),
            service: target.service.as_ref().map(|service| service.name.clone()),
            target_port: target
                .service
                .as_ref()
                .and_then(|service| service.target_port),
            client_pod: self.run.pod.clone().filter(|_| self.meshed()),
            gateways: self.plan().observe.gateways.clone(),
        }
    }

    fn meshed(&self) -> bool {
        self.plan().load.from == LoadFrom::MeshedPod
    }

    fn client(&self, config: &LoadConfig) -> ClientInfo {
        ClientInfo {
            name: CLIENT.to_owned(),
            meshed: self.meshed(),
            pod: self.run.pod.clone(),
            target: Some(config.target.to_string()),
            counted: true,
        }
    }

    /// Carries out all steps; `false` when one failed and the rest was left out.
    async fn disrupt(&mut self, executor: &mut Executor) -> Result<bool, Stop> {
        if let Some(observers) = &self.observers {
            observers.book().mark();
        }
        self.phase(RunPhase::Disruption);
        let steps = &self.plan().steps;
        for (index, step) in steps.iter().enumerate() {
            let now = StepNow {
                number: index + 1,
                of: steps.len(),
                name: step.action.name(),
            };
            self.progress
                .send_modify(|progress| progress.step = Some(now));
            let stop = self.halting.stop();
            let carried = self.beside(executor.run_step(index, step, stop)).await?;
            self.progress.send_modify(|progress| progress.step = None);
            match carried {
                Ok(_) => {}
                Err(StepError::Stopped) => return Err(Stop::Halted),
                // The record has it, and the run is INCONCLUSIVE for it.
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Whether repeating can be left: the bound that was asked for is reached, or the run has
    /// failed anyway.
    async fn proved_enough(&self) -> bool {
        let Repeat {
            until_upper_bound: Some(wanted),
            ..
        } = self.plan().repeat
        else {
            return false;
        };
        self.recorder.flush().await;
        let directory = self.directory.clone();
        let judged = tokio::task::spawn_blocking(move || conclude(&directory)).await;
        let Ok(Ok(conclusion)) = judged else {
            return false;
        };
        let report = conclusion.report;
        let bound = report.bound.per_request;
        report.verdict == Outcome::Fail || bound.is_some_and(|bound| bound <= wanted)
    }

    /// Does something while progress is told and the limit of failures is watched.
    async fn beside<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let mut work = std::pin::pin!(work);
        let mut ticks = interval(LOOK);
        let stop = self.halting.stop();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // Work that knows of the stop ends by itself, at a place of its choice.
                    let _ = timeout(QUICK_STOP, &mut work).await;
                    return Err(Stop::Halted);
                }
                done = &mut work => return Ok(done),
                _ = ticks.tick() => self.look(),
            }
        }
    }

    async fn pause(&self, duration: Duration) -> Result<(), Stop> {
        let stop = self.halting.stop();
        let waiting = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(duration) => {}
            }
        };
        self.beside(waiting).await
    }

    fn look(&self) {
        let load = self.generator.as_ref().map(Generator::snapshot);
        let load = load.unwrap_or_default();
        let limit = self.plan().abort_after_failed;
        if let Some(limit) = limit.filter(|limit| load.failed > *limit) {
            let failed = load.failed;
            self.halting.set(Halt::TooManyFailed { failed, limit });
        }
        let pods = self.observers.as_ref().map(Observers::pods);
        self.progress.send_modify(|progress| {
            progress.elapsed = self.began.elapsed();
            progress.load = load;
            progress.pods = pods.unwrap_or_default();
        });
    }

    fn phase(&self, phase: RunPhase) {
        self.sink.now(Source::Run, EventKind::Phase(phase));
        self.progress.send_modify(|progress| progress.phase = phase);
        self.look();
    }

    fn note(&self, note: &str) {
        self.progress
            .send_modify(|progress| note.clone_into(&mut progress.note));
        self.look();
    }

    /// The end of a whole run: load ends, then the logs of the ended pods.
    pub(super) async fn finish(mut self) {
        if let Some(generator) = self.generator.take() {
            self.stop_load(generator).await;
        }
        self.count_retries().await;
        self.phase(RunPhase::Finished);
        self.close(DRAIN).await;
    }

    /// The end of a run that is left early.
    pub(super) async fn break_off(mut self) {
        self.progress
            .send_modify(|progress| progress.phase = RunPhase::Interrupted);
        if let Some(generator) = self.generator.take() {
            let stopping = timeout(QUICK_STOP, self.stop_load(generator));
            if stopping.await.is_err() {
                tracing::info!("requests in flight were left behind");
            }
        }
        self.count_retries().await;
        self.close(QUICK_DRAIN).await;
    }

    /// Before the first disruption and after the last request: the difference is what retries saved.
    async fn count_retries(&self) {
        if let Some(observers) = &self.observers {
            observers.count_retries(CLIENT).await;
        }
    }

    async fn stop_load(&self, generator: Generator) {
        if let Err(error) = generator.stop().await {
            let words = crate::error::Chain(&error).to_string();
            self.halting.set(Halt::Panicked(words));
        }
    }

    async fn close(&mut self, drain: Duration) {
        if let Some(observers) = self.observers.take()
            && let Err(error) = observers.finish(drain).await
        {
            self.halting.set(Halt::Panicked(error.to_string()));
        }
    }
}
