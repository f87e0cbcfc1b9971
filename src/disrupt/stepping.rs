//! How does a step look at the cluster and change one thing in it?
//!
//! What every step needs: reads that outlive a restarting server, waits that end with the step's
//! timeout or the run's stop, and a change that goes to the journal first.

use super::change::{Change, Field, ObjectRef, Purpose, patch};
use super::executor::{Executor, StepError, StepReport};
use super::undo::open_changes;
use crate::cluster::{Call, Error, Exchange, LockError, PodView, WorkloadView};
use crate::error::Chain;
use crate::evidence::{EventKind, Source};
use crate::scenario::{Action, Step};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long to wait after a change that crossed somebody else's: the controller writes the status
/// of the same object all through a rollout.
const CROSSED: Duration = Duration::from_millis(20);

/// How long to wait before a call that may succeed later is made again.
pub(super) const AGAIN: Duration = Duration::from_millis(500);

/// A step that is being carried out.
pub(super) struct Stepping<'a> {
    pub(super) executor: &'a mut Executor,
    pub(super) index: usize,
    pub(super) step: &'a Step,
    pub(super) stop: &'a CancellationToken,
    pub(super) patience: Duration,
    pub(super) deadline: Instant,
    pub(super) report: StepReport,
}

impl Stepping<'_> {
    pub(super) async fn carry_out(&mut self) -> Result<(), StepError> {
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
                patience: self.patience,
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
            let Executor {
                cluster, target, ..
            } = &mut *self.executor;
            match cluster.pods_of(&mut target.ownership).await {
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
            if let Err(error) = self.mirror().await {
                self.unmirrored(number, error).await?;
                continue;
            }
            let call = patch(&object, view.resource_version(), &[(&field, &after)]);
            asked = true;
            let error = match self.attempt(&call).await {
                Ok(exchange) => match self.executor.cluster.refusal(&exchange) {
                    None => {
                        self.done(number);
                        // What is back at its former value is open no more.
                        if let Err(error) = self.mirror().await {
                            self.note(Chain(&error).to_string());
                        }
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

    /// Keeps in the Lease what is changed by now or about to be: the journal may be lost.
    async fn mirror(&self) -> Result<(), StepError> {
        let open = open_changes(self.executor.journal.records())?;
        let kept = self.executor.lock.keep_open(open).await;
        kept.map_err(lease_fault)
    }

    /// A change that could not be kept in the Lease is not made; a server without an answer is asked
    /// again.
    async fn unmirrored(&mut self, number: u64, error: StepError) -> Result<(), StepError> {
        let why = Chain(&error).to_string();
        self.executor.journal.not_made(number, &why)?;
        match error {
            StepError::Lease { source } => match *source {
                LockError::Cluster { act, source, .. } => {
                    self.survive(&format!("{act} the lease"), source).await
                }
                other => Err(lease_fault(other)),
            },
            error => Err(error),
        }
    }

    /// Writes that a change was made. Without that line an undo finds out by the object itself.
    pub(super) fn done(&mut self, number: u64) {
        if let Err(error) = self.executor.journal.done(number, None) {
            self.note(format!(
                "that a change was made is not in the journal: {}",
                Chain(&error)
            ));
        }
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

fn lease_fault(error: LockError) -> StepError {
    StepError::Lease {
        source: Box::new(error),
    }
}

/// A step that failed at a call.
pub(super) fn failed(act: &str, source: Error) -> StepError {
    StepError::Cluster {
        act: act.to_owned(),
        source,
    }
}
