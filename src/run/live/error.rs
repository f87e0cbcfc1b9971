//! Why did a run not come to a verdict?

use crate::disrupt::{OpenError, UndoReport};
use crate::{evidence, load, observe};

/// A run that did not begin to disturb anything.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run directory.
    #[error("failed to keep the record of the run")]
    Record(#[from] evidence::Error),
    /// The workload is not free, or the journal cannot be written.
    #[error("failed to begin the run")]
    Open(#[from] OpenError),
    /// The self-proof could not even be tried.
    #[error("the run was given up before anything was disturbed")]
    NotBegun {
        /// What was put back: the Lease.
        undo: Box<UndoReport>,
        /// Why.
        #[source]
        source: Box<Obstacle>,
    },
}

/// What stands in the way of a self-proof.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// The cluster cannot be observed.
    #[error("failed to observe the cluster")]
    Observe(#[from] observe::Error),
    /// Load cannot be made.
    #[error("failed to make load")]
    Load(#[from] load::Error),
    /// Nothing answers at the target's address.
    #[error(
        "nothing answers at `{address}` from here: {last}\n\
         hint: {hint}"
    )]
    NoAnswer {
        /// The address.
        address: String,
        /// What was met.
        last: String,
        /// What helps.
        hint: &'static str,
    },
}
