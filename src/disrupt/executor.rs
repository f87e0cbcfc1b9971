//! How is one step of a plan carried out?

use super::change::{Change, Field, ObjectRef, Purpose, RESTARTED_AT};
use super::journal::{Journal, JournalError};
use super::patience;
use super::stepping::Stepping;
use super::undo::{MirrorError, UndoReport, undo};
use crate::cluster::{Cluster, Error, LockError, ResolvedTarget, RunLock, api_path};
use crate::evidence::{EventKind, EventSink, Source, StepEvent};
use crate::scenario::{Action, Step};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why no executor could be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal.
    #[error("failed to open the journal")]
    Journal {
        /// Why.
        #[from]
        source: JournalError,
    },
    /// The workload is not free.
    #[error("failed to get the workload for this run")]
    Lock {
        /// Why.
        #[from]
        source: LockError,
    },
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The run was stopped.
    #[error("the step was stopped")]
    Stopped,
    /// It was not over in time.
    #[error("the step was not over within {patience:?}; last seen: {last}")]
    Timeout {
        /// Its timeout.
        patience: Duration,
        /// What was seen last.
        last: String,
    },
    /// The controller gave up on the rollout.
    #[error("the rollout exceeded its progress deadline: {last}")]
    ProgressDeadline {
        /// What was seen last.
        last: String,
    },
    /// The cluster is not such that the step can be done.
    #[error("{reason}")]
    Impossible {
        /// Why, with a remedy.
        reason: String,
    },
    /// The journal could not be written, so nothing was changed.
    #[error("the change was not made")]
    Journal {
        /// Why.
        #[from]
        source: JournalError,
    },
    /// The run's Lease could not be written, so nothing was changed.
    #[error("the change was not made")]
    Lease {
        /// Why.
        #[source]
        source: Box<LockError>,
    },
    /// What is changed cannot be kept in the Lease, so nothing was changed.
    #[error("the change was not made")]
    Mirror {
        /// Why.
        #[from]
        source: MirrorError,
    },
    /// A call failed.
    #[error("failed to {act}")]
    Cluster {
        /// What was to be done.
        act: String,
        /// Why.
        #[source]
        source: Error,
    },
}

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepReport {
    /// What was changed, for people.
    pub changed: Vec<String>,
    /// What was met on the way: budgets that held an eviction back, servers that did not answer.
    pub notes: Vec<String>,
}

/// Carries out steps on one target: holds its Lease, writes the journal, tells what it does.
#[derive(Debug)]
pub struct Executor {
    pub(super) cluster: Cluster,
    pub(super) target: ResolvedTarget,
    pub(super) journal: Journal,
    pub(super) lock: RunLock,
    pub(super) sink: EventSink,
}

impl Executor {
    /// Opens the journal in the run directory and takes the workload's Lease for the run.
    /// [`RunLock::keep`] of [`Executor::lock`] has to run beside the steps.
    pub async fn open(
        cluster: &Cluster,
        target: ResolvedTarget,
        run: &str,
        directory: &Path,
        sink: EventSink,
    ) -> Result<Self, OpenError> {
        let mut journal = Journal::open(directory)?;
        let lock = RunLock::new(cluster, &target.workload, run);
        let number = journal.intend(lock_change(&lock, run))?;
        let opened = match lock.acquire().await {
            Ok(_) => journal.done(number, None).map_err(OpenError::from),
            Err(error @ (LockError::Held { .. } | LockError::OpenChanges { .. })) => {
                journal.not_made(number, &error.to_string())?;
                return Err(error.into());
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = opened {
            // A call whose answer never came may have taken it. If it cannot be given back either,
            // it runs out.
            let _ = lock.release().await;
            return Err(error);
        }
        Ok(Self {
            cluster: cluster.clone(),
            target,
            journal,
            lock,
            sink,
        })
    }

    /// The Lease of the run.
    pub const fn lock(&self) -> &RunLock {
        &self.lock
    }

    /// Carries out a step, and is over when its last old pod is gone.
    pub async fn run_step(
        &mut self,
        index: usize,
        step: &Step,
        stop: &CancellationToken,
    ) -> Result<StepReport, StepError> {
        let name = step.action.name();
        self.tell(index, name, "started", &describe(&step.action));
        let patience = step.timeout.unwrap_or_else(|| {
            let replicas = patience::replicas_of(&self.target);
            patience::timeout_of(&step.action, replicas, &self.target)
        });
        let mut stepping = Stepping {
            executor: self,
            index,
            step,
            stop,
            patience,
            deadline: Instant::now() + patience,
            report: StepReport::default(),
        };
        let outcome = stepping.carry_out().await;
        let report = stepping.report;
        match outcome {
            Ok(()) => {
                let text = report.changed.join(", ");
                self.tell(index, name, "ended", &text);
                Ok(report)
            }
            Err(error) => {
                let text = crate::error::Chain(&error).to_string();
                self.tell(index, name, "failed", &text);
                Err(error)
            }
        }
    }

    /// Puts everything back that the journal names and releases the Lease.
    pub async fn undo(&mut self, patience: Duration) -> UndoReport {
        let sink = Some(&self.sink);
        undo(&self.cluster, &self.lock, &mut self.journal, patience, sink).await
    }

    pub(super) fn tell(&self, index: usize, step: &str, state: &str, text: &str) {
        self.sink.now(
            Source::Disrupt,
            EventKind::Step(StepEvent {
                index,
                step: step.to_owned(),
                state: state.to_owned(),
                text: text.to_owned(),
            }),
        );
    }

    pub(super) fn workload_ref(&self) -> ObjectRef {
        let workload = &self.target.workload;
        ObjectRef {
            name: workload.to_string(),
            path: api_path(workload.kind, &self.target.namespace, Some(&workload.name)),
            uid: self.target.uid.clone(),
        }
    }
}

fn lock_change(lock: &RunLock, run: &str) -> Change {
    Change {
        purpose: Purpose::Lock,
        object: ObjectRef {
            name: format!("lease/{}", lock.lease()),
            path: lock.path(),
            uid: String::new(),
        },
        field: Field::Lease,
        before: Value::Null,
        after: json!(run),
        resource_version: String::new(),
    }
}

/// What a step will do, for people.
pub(super) fn describe(action: &Action) -> String {
    match action {
        Action::RollingRestart => format!("set the pod template's annotation {RESTARTED_AT}"),
        Action::Scale { to } => format!("set spec.replicas to {to}"),
        Action::DeletePod { pods, grace: None } => format!("delete {pods} ready pod(s)"),
        Action::DeletePod {
            pods,
            grace: Some(grace),
        } => format!("delete {pods} ready pod(s) with a grace period of {grace:?}"),
        Action::Evict { pods } => format!("evict {pods} ready pod(s) through the eviction API"),
        Action::SetImage { container, image } => match container {
            Some(container) => format!("set the image of container {container} to {image}"),
            None => format!("set the image of the only container to {image}"),
        },
        Action::Wait { duration } => format!("wait {duration:?}"),
    }
}

#[cfg(test)]
mod tests;
