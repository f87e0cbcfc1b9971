//! How is a rollout driven under load, from self-proof to verdict?
//!
//! ```text
//! self-proof -> baseline -> disruption (steps) -> settle [-> disruption ..] -> finished
//!          any of them -- stop --> interrupted                 then: undo, drain, conclude
//! ```
//!
//! [`drive`] is the whole life of one run. Whatever happens on the way (a signal, too many
//! failures, a full disk, a panic), load is stopped, changes are undone and a report is made of
//! what was recorded.

mod error;
mod halt;
mod progress;
mod proof;
mod stage;
mod wall;

pub use error::Error;
pub use halt::Halt;
pub use progress::{Progress, StepNow};

use super::conclude::{Conclusion, Error as ConcludeError, conclude};
use super::recorder::{Recorded, Recorder};
use crate::cluster::{Cluster, ResolvedTarget};
use crate::disrupt::{Executor, UndoReport};
use crate::evidence::{
    self, EventKind, EventSink, Origin, RunClock, RunDir, RunInfo, RunPhase, RunWriter,
    SCHEMA_VERSION, Source,
};
use crate::load;
use crate::scenario::Plan;
use crate::task::{Panics, Shutdown};
use futures::FutureExt;
use halt::Halting;
use stage::Stage;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;

/// Patience with undoing: rollouts of our own that have to be turned back take their time.
const UNDO_PATIENCE: Duration = Duration::from_secs(60);

/// The same after a signal: a pod that is being deleted has 30 seconds by default.
const QUICK_UNDO_PATIENCE: Duration = Duration::from_secs(20);

/// What is driven.
#[derive(Clone, Debug)]
pub struct LiveRun {
    /// The run's id, also in the Lease that it takes.
    pub id: String,
    /// Its directory, made by the run.
    pub directory: PathBuf,
    /// The command line, for the record.
    pub argv: Vec<String>,
    /// The plan.
    pub plan: Plan,
    /// The way to the cluster, in the target's namespace.
    pub cluster: Cluster,
    /// The target in that cluster.
    pub target: ResolvedTarget,
    /// The pod that the harness runs in, where it runs in one.
    pub pod: Option<String>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Its directory.
    pub directory: RunDir,
    /// Why it ended early; `None`: it went its whole way.
    pub halt: Option<Halt>,
    /// What was put back.
    pub undo: UndoReport,
    /// What was recorded; an error is a record with a hole at its end.
    pub recorded: Result<Recorded, evidence::Error>,
    /// The judged record.
    pub conclusion: Result<Conclusion, ConcludeError>,
    /// Whether `report.json` could be written.
    pub stored: Result<(), ConcludeError>,
}

/// Drives a run. An error is a run that never began to disturb anything: nothing is left behind.
pub async fn drive(
    run: LiveRun,
    shutdown: &Shutdown,
    panics: &Panics,
    progress: watch::Sender<Progress>,
) -> Result<Ended, Error> {
    load::raise_file_limit();
    let clock = RunClock::start();
    let writer = RunWriter::create(&run.directory, &info(&run, clock))?;
    let (sink, fact_rx) = EventSink::new(clock);
    let recorder = Recorder::start(writer, fact_rx);
    let directory = RunDir::new(&run.directory);
    let (cluster, target) = (&run.cluster, run.target.clone());
    let opened = Executor::open(cluster, target, &run.id, &run.directory, sink.clone()).await;
    let mut executor = match opened {
        Ok(executor) => executor,
        Err(error) => {
            recorder.finish().await?;
            return Err(error.into());
        }
    };
    let lock = executor.lock().clone();
    let halting = Halting::start(shutdown, panics, recorder.failed(), lock, &sink);
    let mut stage = Stage::new(&run, &sink, &recorder, &halting, &directory, progress);
    let performed = sheltered(stage.perform(&mut executor), &halting).await;
    let (failure, halt) = match performed {
        Some(Ok(())) => (None, None),
        Some(Err(stage::Stop::Failed(error))) => (Some(error), None),
        Some(Err(stage::Stop::Halted)) | None => (None, halting.halt()),
    };
    let undo = match (&failure, &halt) {
        (None, None) => {
            sheltered(stage.finish(), &halting).await;
            put_back(&mut executor, UNDO_PATIENCE, &halting).await
        }
        _ => {
            sink.now(Source::Run, EventKind::Phase(RunPhase::Interrupted));
            // Somebody may wait for us to leave: load ends while changes are undone.
            let quick = halt == Some(Halt::Interrupted);
            let patience = if quick {
                QUICK_UNDO_PATIENCE
            } else {
                UNDO_PATIENCE
            };
            let (undo, _) = tokio::join!(
                put_back(&mut executor, patience, &halting),
                sheltered(stage.break_off(), &halting)
            );
            undo
        }
    };
    // What ended badly at the very end (a lane of the load, an observer) counts as well.
    let halt = halt.or_else(|| halting.halt());
    halting.finish().await;
    let recorded = recorder.finish().await;
    if let Some(error) = failure {
        return Err(Error::NotBegun {
            undo: Box::new(undo),
            source: Box::new(error),
        });
    }
    let conclusion = judge(&directory).await;
    let stored = conclusion
        .as_ref()
        .map_or(Ok(()), |conclusion| conclusion.store(&directory));
    Ok(Ended {
        directory,
        halt,
        undo,
        recorded,
        conclusion,
        stored,
    })
}

/// Undoes what was changed. A panic in it is told like any other failure to undo, so that the report
/// and the way out ([`crate::disrupt::restore`]) are told as well.
async fn put_back(executor: &mut Executor, patience: Duration, halting: &Halting) -> UndoReport {
    let undone = sheltered(executor.undo(patience), halting).await;
    undone.unwrap_or_else(UndoReport::broken_off)
}

/// Carries out a part of the run. A panic in it ends that part only: the ending is still due, and
/// each of its parts.
async fn sheltered<T>(part: impl Future<Output = T>, halting: &Halting) -> Option<T> {
    let ended = AssertUnwindSafe(part).catch_unwind().await;
    if ended.is_err() {
        halting.panicked();
    }
    ended.ok()
}

/// Judging is computing: it is kept off the threads that serve connections.
async fn judge(directory: &RunDir) -> Result<Conclusion, ConcludeError> {
    let directory = directory.clone();
    let judging = tokio::task::spawn_blocking(move || conclude(&directory));
    judging.await.unwrap_or(Err(ConcludeError::Panicked))
}

fn info(run: &LiveRun, clock: RunClock) -> RunInfo {
    let plan = serde_json::to_value(run.plan.without_secrets()).expect("a plan is plain data");
    RunInfo {
        schema_version: SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        id: run.id.clone(),
        origin: Origin::Live,
        argv: run.argv.clone(),
        started_at: clock.started_at(),
        cluster: format!("{} ({})", run.cluster.context(), run.cluster.server()),
        namespace: run.target.namespace.clone(),
        workload: Some(run.target.workload.to_string()),
        service: run
            .target
            .service
            .as_ref()
            .map(|service| service.name.clone()),
        plan,
    }
}
