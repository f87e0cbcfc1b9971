//! What came of an undo, for people and for the exit code?

use std::fmt;

/// What came of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The former value is back.
    Restored {
        /// From what to what.
        text: String,
    },
    /// It stays, by design, and changes nothing more.
    Left {
        /// Why.
        reason: String,
    },
    /// Somebody else has changed it, so it was not touched.
    Refused {
        /// What was found.
        reason: String,
    },
    /// It could not be put back.
    Failed {
        /// Why.
        reason: String,
    },
}

/// One field and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoItem {
    /// `deployment/demo`.
    pub object: String,
    /// `spec.replicas`.
    pub field: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an undo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UndoReport {
    /// Field by field, in the order of undoing. What was clean already is not in it.
    pub items: Vec<UndoItem>,
    /// Worth telling: a rollout that still goes on, a journal that could not be written.
    pub notes: Vec<String>,
}

impl UndoReport {
    /// The undo itself panicked: what it had done by then is unknown.
    pub fn broken_off() -> Self {
        Self {
            items: vec![UndoItem {
                object: "what the journal names".to_owned(),
                field: "in part or whole".to_owned(),
                outcome: Outcome::Failed {
                    reason: "a part of this program panicked in the midst of it".to_owned(),
                },
            }],
            notes: Vec::new(),
        }
    }

    /// Nothing of the run is left in the cluster but what stays by design.
    pub fn is_clean(&self) -> bool {
        self.items.iter().all(|item| {
            matches!(
                item.outcome,
                Outcome::Restored { .. } | Outcome::Left { .. }
            )
        })
    }
}

impl fmt::Display for UndoReport {
    /// One line a field; `nothing to undo` without any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = self
            .items
            .iter()
            .map(|item| {
                let (word, text) = match &item.outcome {
                    Outcome::Restored { text } => ("restored", text),
                    Outcome::Left { reason } => ("left", reason),
                    Outcome::Refused { reason } => ("not restored", reason),
                    Outcome::Failed { reason } => ("failed to restore", reason),
                };
                format!("{word}: {} {}: {text}", item.object, item.field)
            })
            .collect();
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        if self.items.is_empty() {
            lines.insert(0, "nothing to undo".to_owned());
        }
        f.write_str(&lines.join("\n"))
    }
}
