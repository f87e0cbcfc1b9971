//! How is the planned undo carried out against a live API server?

use super::plan::{Decision, Planned, Seen, next_group, plan};
use super::report::{Outcome, UndoItem, UndoReport};
use crate::cluster::{Cluster, Error, LockError, RunLock, WorkloadView};
use crate::disrupt::change::{Change, Field, ObjectRef, Purpose, patch, shown};
use crate::disrupt::journal::{Entry, Journal};
use crate::error::Chain;
use crate::evidence::{EventKind, EventSink, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long to wait before a call that may succeed later is made again.
const AGAIN: Duration = Duration::from_millis(500);

/// How often the objects are asked whether they are at rest.
const LOOK: Duration = Duration::from_millis(500);

/// What the objects of a journal look like now.
type Views = BTreeMap<String, Option<WorkloadView>>;

/// Puts back what the journal says was changed, and releases the run's Lease.
///
/// Where something could not be put back the Lease stays, so that no other run takes what is there for
/// the original. Ends by `patience`; what could not be done by then is in the report, and the same call does it
/// later. A journal that cannot be written is noted and does not stop the undo: what is undone shows
/// in the cluster.
pub async fn undo(
    cluster: &Cluster,
    lock: &RunLock,
    journal: &mut Journal,
    patience: Duration,
    sink: Option<&EventSink>,
) -> UndoReport {
    let mut undoing = Undoing {
        cluster,
        journal,
        sink,
        deadline: Instant::now() + patience,
        report: UndoReport::default(),
        restored: Vec::new(),
    };
    undoing.put_back().await;
    let open = undoing.has_failed();
    if !open && let Err(error) = lock.keep_open(None).await {
        // The release takes it away with the Lease, or tells why it cannot.
        tracing::debug!("{}", Chain(&error));
    }
    undoing.wait_for_rest().await;
    if !open {
        undoing.release(lock).await;
    }
    undoing.report
}

struct Undoing<'a> {
    cluster: &'a Cluster,
    journal: &'a mut Journal,
    sink: Option<&'a EventSink>,
    deadline: Instant,
    report: UndoReport,
    restored: Vec<ObjectRef>,
}

impl Undoing<'_> {
    async fn put_back(&mut self) {
        loop {
            let views = match self.views().await {
                Ok(views) => views,
                Err(error) if error.is_transient() && self.has_time() => {
                    sleep(AGAIN).await;
                    continue;
                }
                Err(error) => return self.fail_all(&Chain(&error).to_string()),
            };
            let planned = plan(self.journal.records(), |object, field| {
                seen(&views, object, field)
            });
            let Some(next) = next_group(&planned) else {
                return self.conclude(planned);
            };
            match self.restore(&views, &next).await {
                Ok(()) => {}
                Err(error) if retried(&error) && self.has_time() => sleep(AGAIN).await,
                Err(error) => return self.give_up(planned, &next, &Chain(&error).to_string()),
            }
        }
    }

    fn has_failed(&self) -> bool {
        let mut items = self.report.items.iter();
        items.any(|item| matches!(item.outcome, Outcome::Failed { .. }))
    }

    fn has_time(&self) -> bool {
        Instant::now() < self.deadline
    }

    async fn views(&self) -> Result<Views, Error> {
        let mut views = Views::new();
        for path in self.paths() {
            let view = self.cluster.find(&path).await?;
            views.insert(path, view);
        }
        Ok(views)
    }

    /// The paths of the workloads that the journal names.
    fn paths(&self) -> BTreeSet<String> {
        let changes = self.journal.records().iter().filter_map(|record| {
            let Entry::Intend(change) = &record.entry else {
                return None;
            };
            (!matches!(change.field, Field::Pod | Field::Lease)).then(|| change.object.path.clone())
        });
        changes.collect()
    }

    /// Sets the fields of one patch. `Err` is a patch that was not made, or may not have been.
    async fn restore(&mut self, views: &Views, group: &[Planned]) -> Result<(), Error> {
        let object = &group[0].object;
        let view = views[&object.path]
            .as_ref()
            .expect("only what exists is restored");
        let set: Vec<_> = group
            .iter()
            .filter_map(|item| match &item.decision {
                Decision::Restore { to, .. } => Some((&item.field, to)),
                _ => None,
            })
            .collect();
        let numbers = self.intend(group, view.resource_version());
        let call = patch(object, view.resource_version(), &set);
        let exchange = self.cluster.attempt(&call).await?;
        if let Some(sink) = self.sink {
            let evidence = exchange.evidence(sink.clock());
            sink.now(Source::Disrupt, EventKind::Api(evidence));
        }
        if let Some(error) = self.cluster.refusal(&exchange) {
            for number in numbers {
                let written = self.journal.not_made(number, &error.to_string());
                self.note_journal(written);
            }
            return Err(error);
        }
        for number in numbers {
            let written = self.journal.done(number, None);
            self.note_journal(written);
        }
        self.restored.push(object.clone());
        for item in group {
            let outcome = Outcome::Restored {
                text: restoration(&item.decision),
            };
            self.report.items.push(described(item, outcome));
        }
        Ok(())
    }

    fn intend(&mut self, group: &[Planned], resource_version: &str) -> Vec<u64> {
        let mut numbers = Vec::new();
        for item in group {
            let Decision::Restore { from, to } = &item.decision else {
                continue;
            };
            let written = self.journal.intend(Change {
                purpose: Purpose::Undo,
                object: item.object.clone(),
                field: item.field.clone(),
                before: from.clone(),
                after: to.clone(),
                resource_version: resource_version.to_owned(),
            });
            match written {
                Ok(number) => numbers.push(number),
                Err(error) => self.note_journal(Err(error)),
            }
        }
        numbers
    }

    fn note_journal(&mut self, written: Result<(), crate::disrupt::JournalError>) {
        if let Err(error) = written {
            let note = format!("the undo is not in the journal: {}", Chain(&error));
            if !self.report.notes.contains(&note) {
                self.report.notes.push(note);
            }
        }
    }

    fn conclude(&mut self, planned: Vec<Planned>) {
        for item in planned {
            let outcome = match &item.decision {
                Decision::Leave(reason) => Outcome::Left {
                    reason: reason.clone(),
                },
                Decision::Refuse(reason) => Outcome::Refused {
                    reason: reason.clone(),
                },
                Decision::Restore { .. } | Decision::Release | Decision::Clean => continue,
            };
            self.report.items.push(described(&item, outcome));
        }
    }

    /// One patch was refused for good: the rest is told as it is.
    fn give_up(&mut self, planned: Vec<Planned>, failed: &[Planned], reason: &str) {
        for item in planned
            .iter()
            .filter(|item| matches!(item.decision, Decision::Restore { .. }))
        {
            let own = failed.contains(item);
            let reason = if own { reason } else { "not tried after that" };
            self.report.items.push(described(
                item,
                Outcome::Failed {
                    reason: reason.to_owned(),
                },
            ));
        }
        self.conclude(planned);
    }

    fn fail_all(&mut self, reason: &str) {
        let planned = plan(self.journal.records(), |_, _| Seen::Gone);
        for item in planned {
            if matches!(item.field, Field::Pod | Field::Lease) {
                continue;
            }
            self.report.items.push(described(
                &item,
                Outcome::Failed {
                    reason: reason.to_owned(),
                },
            ));
        }
    }

    async fn wait_for_rest(&mut self) {
        let objects = std::mem::take(&mut self.restored);
        for (index, object) in objects.iter().enumerate() {
            if objects[..index].contains(object) {
                continue;
            }
            if let Some(unrest) = self.unrest(object).await {
                self.report.notes.push(format!(
                    "{} is not at rest yet: {unrest}; its controller goes on by itself",
                    object.name
                ));
            }
        }
    }

    async fn unrest(&self, object: &ObjectRef) -> Option<String> {
        loop {
            let read = self.cluster.find::<WorkloadView>(&object.path).await;
            let unrest = match read {
                Ok(Some(view)) => view.unrest()?,
                Ok(None) => return None,
                Err(error) => error.to_string(),
            };
            if !self.has_time() {
                return Some(unrest);
            }
            sleep(LOOK).await;
        }
    }

    async fn release(&mut self, lock: &RunLock) {
        loop {
            match lock.release().await {
                Ok(_) => return,
                Err(LockError::Cluster { source, .. })
                    if source.is_transient() && self.has_time() =>
                {
                    sleep(AGAIN).await;
                }
                Err(error) => {
                    self.report.items.push(UndoItem {
                        object: format!("lease/{}", lock.lease()),
                        field: "lease".to_owned(),
                        outcome: Outcome::Failed {
                            reason: Chain(&error).to_string(),
                        },
                    });
                    return;
                }
            }
        }
    }
}

/// A refusal after which the state is read again and the change is tried again.
fn retried(error: &Error) -> bool {
    error.is_conflict() || error.is_transient()
}

fn seen(views: &Views, object: &ObjectRef, field: &Field) -> Seen {
    match views.get(&object.path).and_then(Option::as_ref) {
        None => Seen::Gone,
        Some(view) if view.uid() != object.uid => Seen::Replaced,
        Some(view) => Seen::Value {
            value: field.value_in(view),
            empty: view.spec.replicas == Some(0) && view.status.replicas.unwrap_or(0) == 0,
        },
    }
}

fn restoration(decision: &Decision) -> String {
    match decision {
        Decision::Restore { from, to } => format!("{} -> {}", shown(from), shown(to)),
        other => format!("{other:?}"),
    }
}

fn described(item: &Planned, outcome: Outcome) -> UndoItem {
    UndoItem {
        object: item.object.name.clone(),
        field: item.field.to_string(),
        outcome,
    }
}
