//! How is one step of a plan carried out?

use super::change::{Change, Field, ObjectRef, Purpose, RESTARTED_AT, patch};
use super::journal::{Journal, JournalError};
use super::undo::{UndoReport, undo};
use crate::cluster::{
    Call, Cluster, Error, Exchange, LockError, PodView, ResolvedTarget, RunLock, WorkloadView,
    api_path,
};
use crate::evidence::{EventKind, EventSink, Source, StepEvent};
use crate::scenario::{Action, Step};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long to wait before a call that may succeed later is made again.
pub(super) const AGAIN: Duration = Duration::from_millis(500);

/// How long to wait after a change that crossed somebody else's: the controller writes the status
/// of the same object all through a rollout.
const CROSSED: Duration = Duration::from_millis(20);

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
    /// Pods that were there before the step and are gone after it.
    pub gone: Vec<PodView>,
    /// What was met on the way: budgets that held an eviction back, servers that did not answer.
    pub notes: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Carries out steps on one target: holds its Lease, writes the journal, tells what it does.
#[derive(Debug)]
pub struct Executor {
    pub(super) cluster: Cluster,
    pub(super) target: ResolvedTarget,
    pub(super) journal: Journal,
    lock: RunLock,
    sink: EventSink,
}

/// A step that is being carried out.
pub(super) struct Stepping<'a> {
    pub(super) executor: &'a mut Executor,
    pub(super) index: usize,
    pub(super) step: &'a Step,
    pub(super) stop: &'a CancellationToken,
    pub(super) deadline: Instant,
    pub(super) report: StepReport,
}

// === impl Executor ===

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
            Err(error @ LockError::Held { .. }) => {
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
        let began = Instant::now();
        let name = step.action.name();
        self.tell(index, name, "started", &describe(&step.action));
        let mut stepping = Stepping {
            executor: self,
            index,
            step,
            stop,
            deadline: began + step.timeout,
            report: StepReport::default(),
        };
        let outcome = stepping.carry_out().await;
        let mut report = stepping.report;
        report.took = began.elapsed();
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

    fn tell(&self, index: usize, step: &str, state: &str, text: &str) {
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

// === impl Stepping ===

impl Stepping<'_> {
    async fn carry_out(&mut self) -> Result<(), StepError> {
        match &self.step.action {
            Action::RollingRestart => self.rolling_restart().await,
            Action::Scale { to } => self.scale(*to).await,
            Action::DeletePod { pods, grace } => self.delete_pods(*pods, *grace).await,
            Action::Evict { pods } => self.evict(*pods).await,
            Action::SetImage { container, image } => {
                self.set_image(container.as_deref(), image).await
            }
            Action::Wait { duration } => self.pause(*duration).await,
        }
    }

    /// Sleeps; a stop ends it.
    pub(super) async fn pause(&self, duration: Duration) -> Result<(), StepError> {
        tokio::select! {
            () = self.stop.cancelled() => Err(StepError::Stopped),
            () = sleep(duration) => Ok(()),
        }
    }

    /// Sleeps before a look at the cluster is taken again; the step's timeout ends it.
    pub(super) async fn again(&self, every: Duration, last: &str) -> Result<(), StepError> {
        if Instant::now() + every > self.deadline {
            return Err(StepError::Timeout {
                patience: self.step.timeout,
                last: last.to_owned(),
            });
        }
        self.pause(every).await
    }

    /// Tells something that was met on the way.
    pub(super) fn note(&mut self, text: String) {
        let name = self.step.action.name();
        self.executor.tell(self.index, name, "note", &text);
        self.report.notes.push(text);
    }

    pub(super) fn impossible(reason: impl Into<String>) -> StepError {
        StepError::Impossible {
            reason: reason.into(),
        }
    }

    /// Makes a call and records it; a server that does not answer or throttles is asked again.
    /// Only for calls that change nothing.
    pub(super) async fn look<T: serde::de::DeserializeOwned>(
        &mut self,
        act: &str,
        path: &str,
    ) -> Result<T, StepError> {
        loop {
            let error = match self.attempt(&Call::get(path)).await {
                Ok(exchange) => match self.executor.cluster.refusal(&exchange) {
                    None => return exchange.json().map_err(|source| failed(act, source)),
                    Some(error) => error,
                },
                Err(error) => error,
            };
            self.survive(act, error).await?;
        }
    }

    /// Waits a moment after an error that may pass; gives any other back.
    pub(super) async fn survive(&mut self, act: &str, error: Error) -> Result<(), StepError> {
        if !error.is_transient() {
            return Err(failed(act, error));
        }
        let text = format!("failed to {act}: {error}");
        if self.report.notes.last() != Some(&text) {
            self.note(text.clone());
        }
        self.again(AGAIN, &text).await
    }

    /// Makes one call and records its instants.
    pub(super) async fn attempt(&self, call: &Call) -> Result<Exchange, Error> {
        let exchange = self.executor.cluster.attempt(call).await?;
        let sink = &self.executor.sink;
        let evidence = exchange.evidence(sink.clock());
        sink.now(Source::Disrupt, EventKind::Api(evidence));
        Ok(exchange)
    }

    /// The workload as it is now.
    pub(super) async fn workload(&mut self) -> Result<WorkloadView, StepError> {
        let object = self.executor.workload_ref();
        let view: WorkloadView = self.look("read the workload", &object.path).await?;
        if view.uid() != object.uid {
            return Err(Self::impossible(format!(
                "{} was deleted and made anew during the run",
                object.name
            )));
        }
        Ok(view)
    }

    /// The workload's pods that have not ended, terminating ones too.
    pub(super) async fn pods(&mut self) -> Result<Vec<PodView>, StepError> {
        loop {
            let target = &self.executor.target;
            let read = self.executor.cluster.pods_of(&target.uid, &target.selector);
            match read.await {
                Ok(pods) => return Ok(pods),
                Err(error) => self.survive("list the pods", error).await?,
            }
        }
    }

    /// Changes one field of the workload, journal first. Gives the workload's generation after it,
    /// or `None` where the field has that value already.
    pub(super) async fn change(
        &mut self,
        field: Field,
        after: Value,
    ) -> Result<Option<i64>, StepError> {
        let act = format!("change the {field}");
        let object = self.executor.workload_ref();
        let mut asked = false;
        loop {
            let view = self.workload().await?;
            let before = field.value_in(&view);
            if before == after {
                // A call without an answer may have been heard.
                return Ok(asked.then(|| view.metadata.generation.unwrap_or(0)));
            }
            let number = self.intend(&object, &field, before, &after, view.resource_version())?;
            let call = patch(&object, view.resource_version(), &[(&field, &after)]);
            asked = true;
            let error = match self.attempt(&call).await {
                Ok(exchange) => match self.executor.cluster.refusal(&exchange) {
                    None => {
                        self.executor.journal.done(number, None)?;
                        let after = self.workload().await?;
                        return Ok(after.metadata.generation.or(Some(0)));
                    }
                    Some(error) => {
                        self.not_made(number, &error)?;
                        error
                    }
                },
                Err(error) => error,
            };
            if error.is_conflict() {
                self.again(CROSSED, &error.to_string()).await?;
            } else {
                self.survive(&act, error).await?;
            }
        }
    }

    /// Writes a change to the journal before it is asked for.
    pub(super) fn intend(
        &mut self,
        object: &ObjectRef,
        field: &Field,
        before: Value,
        after: &Value,
        resource_version: &str,
    ) -> Result<u64, StepError> {
        let change = Change {
            purpose: Purpose::Step { index: self.index },
            object: object.clone(),
            field: field.clone(),
            before,
            after: after.clone(),
            resource_version: resource_version.to_owned(),
        };
        Ok(self.executor.journal.intend(change)?)
    }

    /// Writes that a change was made.
    pub(super) fn done(&mut self, number: u64) -> Result<(), StepError> {
        Ok(self.executor.journal.done(number, None)?)
    }

    /// Writes that a change was refused. A server that broke down may have made it all the same.
    pub(super) fn not_made(&mut self, number: u64, error: &Error) -> Result<(), StepError> {
        let refused = error.code().is_some_and(|code| code < 500);
        if refused {
            self.executor.journal.not_made(number, &error.to_string())?;
        }
        Ok(())
    }

    /// A restart's annotation: now, and never what is there already.
    pub(super) fn restart_stamp(former: Option<&str>) -> String {
        let now = Timestamp::now();
        let stamp = whole_seconds(now);
        if former == Some(stamp.as_str()) {
            return whole_seconds(now + Duration::from_secs(1));
        }
        stamp
    }
}

fn whole_seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A step that failed at a call.
pub(super) fn failed(act: &str, source: Error) -> StepError {
    StepError::Cluster {
        act: act.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
