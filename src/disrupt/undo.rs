//! How is put back what was changed?
//!
//! [`plan::plan`] is pure: from the journal and the current state of the objects it says what to
//! do with each field. [`undo`] reads that state, carries the plan out and reads again until nothing
//! is left to do, so it does not matter how far an earlier undo had come. [`mirror`] keeps in the
//! run's Lease what would have to be undone without the journal.

mod carry;
mod mirror;
mod plan;
mod report;

pub use carry::undo;
pub use mirror::MirrorError;
pub(super) use mirror::{open as open_changes, read as read_open_changes};
pub use report::{Outcome, UndoItem, UndoReport};
