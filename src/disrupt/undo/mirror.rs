//! What must still be put back if this process and its journal are lost?
//!
//! The open changes of a journal in a short form, for the annotation of the run's Lease: each field
//! with its former value and the values of ours that it may have now. What an undo would leave by
//! design (a restart's annotation alone) opens nothing.

use super::plan::{Chain, chains};
use crate::disrupt::change::{Change, Field, shown};
use crate::disrupt::journal::Record;
use serde::{Deserialize, Serialize};

/// Version of the format.
const VERSION: u32 = 1;

/// Values that one field may have: calls without an answer leave that in doubt.
const MOST_VALUES: usize = 8;

/// A bound far below that of all annotations together (256 KiB).
const LONGEST: usize = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
struct Mirror {
    version: u32,
    /// For people.
    told: Vec<String>,
    changes: Vec<Change>,
}

/// Why the open changes cannot be kept, or read.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// They are too long.
    #[error("what is changed takes {length} bytes, a lease keeps {LONGEST} of them")]
    TooLong {
        /// How long.
        length: usize,
    },
    /// A text that is none of ours.
    #[error("the open changes in the lease cannot be read")]
    Format {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It was written by a newer program.
    #[error(
        "the open changes in the lease have version {found}, this program reads up to {VERSION}"
    )]
    Newer {
        /// Its version.
        found: u32,
    },
}

/// The open changes of a journal; `None`: there is nothing that an undo would put back.
pub(crate) fn open(records: &[Record]) -> Result<Option<String>, MirrorError> {
    let chains = chains(records);
    let changes: Vec<Change> = chains.iter().flat_map(changes_of).collect();
    let told: Vec<String> = changes
        .iter()
        .filter(|change| !matches!(change.field, Field::TemplateAnnotation { .. }))
        .map(words)
        .collect();
    if told.is_empty() {
        return Ok(None);
    }
    let mirror = Mirror {
        version: VERSION,
        told,
        changes,
    };
    let text = serde_json::to_string(&mirror).expect("changes are plain data");
    match text.len() {
        length if length > LONGEST => Err(MirrorError::TooLong { length }),
        _ => Ok(Some(text)),
    }
}

/// The changes that a text names.
pub(crate) fn read(text: &str) -> Result<Vec<Change>, MirrorError> {
    let mirror: Mirror =
        serde_json::from_str(text).map_err(|source| MirrorError::Format { source })?;
    if mirror.version > VERSION {
        return Err(MirrorError::Newer {
            found: mirror.version,
        });
    }
    Ok(mirror.changes)
}

/// From the former value to each that may be there now.
fn changes_of(chain: &Chain<'_>) -> Vec<Change> {
    let Some((former, values)) = chain.open() else {
        return Vec::new();
    };
    let mut changes: Vec<Change> = Vec::new();
    for change in values {
        changes.retain(|earlier| earlier.after != change.after);
        changes.push(Change {
            before: former.clone(),
            // Whoever restores reads the object anyway.
            resource_version: String::new(),
            ..change.clone()
        });
    }
    let surplus = changes.len().saturating_sub(MOST_VALUES);
    changes.split_off(surplus)
}

fn words(change: &Change) -> String {
    format!(
        "{} {}: {} -> {}",
        change.object.name,
        change.field,
        shown(&change.before),
        shown(&change.after)
    )
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::{STEP, annotation, done, image, intend, not_made, scaled};
    use super::super::plan::{Decision, Seen, plan};
    use super::*;
    use crate::disrupt::change::Purpose;
    use crate::disrupt::journal::Journal;
    use serde_json::{Value, json};

    fn told(records: &[Record]) -> Vec<String> {
        open(records).unwrap().map_or_else(Vec::new, |text| {
            let mirror: Mirror = serde_json::from_str(&text).unwrap();
            mirror.told
        })
    }

    /// What an undo from the mirror would do, where the field has this value.
    fn decided(records: &[Record], value: Value) -> Vec<Decision> {
        let changes = read(&open(records).unwrap().unwrap()).unwrap();
        let journal = Journal::in_memory(changes);
        let empty = false;
        let planned = plan(journal.records(), |_, _| Seen::Value {
            value: value.clone(),
            empty,
        });
        planned.into_iter().map(|item| item.decision).collect()
    }

    #[test]
    fn a_change_is_open_from_its_intent_until_it_is_undone() {
        let undone = intend(1, Purpose::Undo, Field::Replicas, json!(1), json!(3));
        let change = vec!["deployment/demo spec.replicas: `3` -> `1`"];
        for (records, expected) in [
            (vec![scaled(0, 3, 1)], change.clone()),
            (vec![scaled(0, 3, 1), done(0)], change.clone()),
            (vec![scaled(0, 3, 1), not_made(0)], vec![]),
            (vec![scaled(0, 3, 1), done(0), undone, done(1)], vec![]),
            (vec![scaled(0, 3, 1), done(0), scaled(1, 1, 3)], change),
            (
                vec![scaled(0, 3, 1), done(0), scaled(1, 1, 3), done(1)],
                vec![],
            ),
            (
                vec![scaled(0, 3, 1), scaled(1, 3, 4), done(1)],
                vec!["deployment/demo spec.replicas: `3` -> `4`"],
            ),
        ] {
            assert_eq!(told(&records), expected, "{records:?}");
        }
    }

    #[test]
    fn a_restart_alone_opens_nothing_and_goes_along_with_an_image() {
        let restart = intend(0, STEP, annotation(), Value::Null, json!("now"));
        assert_eq!(told(std::slice::from_ref(&restart)), Vec::<String>::new());
        let release = intend(1, STEP, image(), json!("app:1"), json!("app:2"));
        let records = [restart, done(0), release, done(1)];
        assert_eq!(told(&records).len(), 1);
        let changes = read(&open(&records).unwrap().unwrap()).unwrap();
        assert_eq!(changes.len(), 2, "the annotation can be taken away with it");
    }

    #[test]
    fn what_is_undone_from_the_mirror_is_what_the_journal_would_undo() {
        // The second call got no answer, so either value may be there.
        let records = [scaled(0, 3, 1), done(0), scaled(1, 1, 4)];
        for (value, restored) in [(1, true), (4, true), (3, false), (7, false)] {
            let decisions = decided(&records, json!(value));
            let [decision] = decisions.as_slice() else {
                panic!("{decisions:?}");
            };
            let restore = Decision::Restore {
                from: json!(value),
                to: json!(3),
            };
            assert_eq!(*decision == restore, restored, "{value}: {decision:?}");
        }
    }

    #[test]
    fn the_mirror_is_bounded_and_says_so() {
        let unanswered = (0..100).map(|number| scaled(u64::from(number), 3, 10 + number));
        let records: Vec<Record> = unanswered.collect();
        assert_eq!(told(&records).len(), MOST_VALUES);
        let long = "x".repeat(LONGEST);
        let records = [intend(0, STEP, image(), json!("a"), json!(long))];
        let error = open(&records).unwrap_err();
        assert!(matches!(error, MirrorError::TooLong { .. }), "{error}");
    }

    #[test]
    fn a_newer_or_foreign_text_is_refused_and_not_taken_for_nothing() {
        let newer = json!({"version": 9, "told": [], "changes": []}).to_string();
        assert!(matches!(read(&newer), Err(MirrorError::Newer { found: 9 })));
        assert!(matches!(read("nonsense"), Err(MirrorError::Format { .. })));
    }
}
