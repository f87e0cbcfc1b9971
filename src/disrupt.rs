//! What do we change, and how is it undone?
//!
//! [`Executor`] carries out the steps of a plan. Before each change a line goes to the [`Journal`]
//! and is on disk when the change is asked for; [`undo()`] plans from journal and current state what
//! to put back, and does it: at the end of a run, on an abort, and after a crash through
//! [`restore`].

mod change;
mod dry_run;
mod executor;
mod journal;
mod patience;
mod pods;
mod preflight;
mod production;
mod restore;
mod rollout;
mod stepping;
#[cfg(test)]
mod testing;
pub mod undo;

pub use change::{Change, Field, ObjectRef, Purpose};
pub use dry_run::dry_run;
pub use executor::{Executor, OpenError, StepError, StepReport};
pub use journal::{Journal, JournalError, Record};
pub use patience::with_timeouts;
pub use preflight::{Obstacle, ObstacleKind, Preflight, PreflightError, preflight};
pub use production::looks_like_production;
pub use restore::{RestoreError, restore, restore_from_lease};
pub use undo::{MirrorError, Outcome, UndoReport, undo};
