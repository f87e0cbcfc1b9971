//! What is to be done with each field that a journal names?

use crate::disrupt::change::{Change, Field, ObjectRef, Purpose, shown};
use crate::disrupt::journal::{Entry, Record};
use serde_json::Value;

/// The current state of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// The object does not exist.
    Gone,
    /// An object of that name exists, but it was made anew.
    Replaced,
    /// Its value.
    Value {
        /// `null`: it has none.
        value: Value,
        /// The workload wants no pods and has none, so a new template restarts nothing.
        empty: bool,
    },
}

/// What is to be done with a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// Set it to the former value.
    Restore {
        /// What is there now.
        from: Value,
        /// The former value.
        to: Value,
    },
    /// Remove the run's Lease.
    Release,
    /// Nothing of ours is there any more.
    Clean,
    /// It stays, by design.
    Leave(String),
    /// Somebody else has changed it meanwhile; it is theirs.
    Refuse(String),
}

/// A field with what is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Planned {
    /// The object.
    pub(crate) object: ObjectRef,
    /// The field.
    pub(crate) field: Field,
    /// The decision.
    pub(crate) decision: Decision,
}

/// All changes of one field, in order, without those that were certainly not made.
pub(super) struct Chain<'a> {
    object: &'a ObjectRef,
    field: &'a Field,
    changes: Vec<(&'a Change, bool)>,
}

impl Chain<'_> {
    /// The index from which on the changes may be the ones whose value is there now: the newest one
    /// that was made for sure, and those after it.
    fn newest(&self) -> usize {
        self.changes
            .iter()
            .rposition(|(_, made)| *made)
            .unwrap_or(0)
    }

    /// The field's former value, and the changes whose other values it may have now; `None`: there is
    /// nothing to put back.
    pub(super) fn open(&self) -> Option<(&Value, Vec<&Change>)> {
        if matches!(self.field, Field::Pod | Field::Lease) {
            return None;
        }
        let (first, _) = self.changes[0];
        let ours = &self.changes[self.newest()..];
        let (last, made) = ours[0];
        if made && last.purpose == Purpose::Undo {
            return None;
        }
        let changes = ours.iter().map(|(change, _)| *change);
        let changed: Vec<&Change> = changes
            .filter(|change| change.after != first.before)
            .collect();
        (!changed.is_empty()).then_some((&first.before, changed))
    }

    /// A change that started from a value of ours. Another value was set by somebody else in
    /// between: then that one is what has to come back.
    fn continued_by(&self, change: &Change) -> bool {
        let from = &change.before;
        let newest = &self.changes[self.newest().min(self.changes.len())..];
        newest.is_empty()
            || newest
                .iter()
                .any(|(own, made)| own.after == *from || (!made && own.before == *from))
    }
}

/// Plans the undo, the newest change first.
pub(crate) fn plan(
    records: &[Record],
    current: impl Fn(&ObjectRef, &Field) -> Seen,
) -> Vec<Planned> {
    let chains = chains(records);
    let mut planned: Vec<Planned> = chains
        .iter()
        .rev()
        .map(|chain| Planned {
            object: chain.object.clone(),
            field: chain.field.clone(),
            decision: decide(chain, &current(chain.object, chain.field)),
        })
        .collect();
    leave_restarts(&mut planned, current);
    planned
}

/// The changes of a journal by object and field, in the order of their newest.
pub(super) fn chains(records: &[Record]) -> Vec<Chain<'_>> {
    let mut chains: Vec<Chain<'_>> = Vec::new();
    for record in records {
        let Entry::Intend(change) = &record.entry else {
            continue;
        };
        let outcome = records.iter().find_map(|other| match &other.entry {
            _ if other.change != record.change => None,
            Entry::Intend(_) => None,
            Entry::Done { .. } => Some(true),
            Entry::NotMade { .. } => Some(false),
        });
        if outcome == Some(false) {
            continue;
        }
        let made = outcome == Some(true);
        let known = chains
            .iter()
            .position(|chain| *chain.object == change.object && *chain.field == change.field);
        // The newest change decides where its field stands in the order.
        let mut chain = match known {
            Some(index) => chains.remove(index),
            None => Chain {
                object: &change.object,
                field: &change.field,
                changes: Vec::new(),
            },
        };
        if !chain.continued_by(change) {
            chain.changes.clear();
        }
        chain.changes.push((change, made));
        chains.push(chain);
    }
    chains
}

fn decide(chain: &Chain<'_>, seen: &Seen) -> Decision {
    let (first, _) = chain.changes[0];
    match chain.field {
        Field::Pod => return Decision::Clean,
        Field::Lease => return Decision::Release,
        Field::Replicas | Field::TemplateAnnotation { .. } | Field::Image { .. } => {}
    }
    let value = match seen {
        Seen::Gone => return Decision::Leave("the object no longer exists".to_owned()),
        Seen::Replaced => {
            return Decision::Leave("the object was deleted and made anew meanwhile".to_owned());
        }
        Seen::Value { value, .. } => value,
    };
    let ours = &chain.changes[chain.newest()..];
    let (last, made) = ours[0];
    let undone = made && last.purpose == Purpose::Undo;
    if undone || *value == first.before {
        return Decision::Clean;
    }
    if ours.iter().any(|(change, _)| change.after == *value) {
        return Decision::Restore {
            from: value.clone(),
            to: first.before.clone(),
        };
    }
    Decision::Refuse(format!(
        "it was set to {} here, and is {} now: somebody else has changed it",
        shown(&last.after),
        shown(value)
    ))
}

/// Removing a restart's annotation is a change of the pod template and restarts every pod once more,
/// unless there are no pods, or the same object gets its former image back and rolls out anyway.
fn leave_restarts(planned: &mut [Planned], current: impl Fn(&ObjectRef, &Field) -> Seen) {
    let rolls_out: Vec<ObjectRef> = planned
        .iter()
        .filter(|item| matches!(item.field, Field::Image { .. }))
        .filter(|item| matches!(item.decision, Decision::Restore { .. }))
        .map(|item| item.object.clone())
        .collect();
    for item in planned {
        let Decision::Restore { from, .. } = &item.decision else {
            continue;
        };
        if !matches!(item.field, Field::TemplateAnnotation { .. }) {
            continue;
        }
        let seen = current(&item.object, &item.field);
        let empty = matches!(seen, Seen::Value { empty: true, .. });
        if !empty && !rolls_out.contains(&item.object) {
            item.decision = Decision::Leave(format!(
                "it stays at {}: to remove it would restart every pod once more",
                shown(from)
            ));
        }
    }
}

/// The fields of the next patch: those of one object's template together, for that is one rollout;
/// they go before its replicas, so that an emptied workload gets its former template for nothing.
pub(crate) fn next_group(planned: &[Planned]) -> Option<Vec<Planned>> {
    let restorable: Vec<&Planned> = planned
        .iter()
        .filter(|item| matches!(item.decision, Decision::Restore { .. }))
        .collect();
    let object = &restorable.first()?.object;
    let (replicas, template): (Vec<&Planned>, Vec<&Planned>) = restorable
        .iter()
        .filter(|item| item.object == *object)
        .partition(|item| item.field == Field::Replicas);
    let group = if template.is_empty() {
        replicas
    } else {
        template
    };
    Some(group.into_iter().cloned().collect())
}

#[cfg(test)]
pub(super) mod tests;
