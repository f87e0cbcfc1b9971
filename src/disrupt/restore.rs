//! How is a run undone that could not do it itself?
//!
//! From its directory alone: `run.json` says where it was at work, the journal what it changed. Where
//! that is lost, from the run's Lease. Called again, it finds nothing more to do.

use super::journal::{Journal, JournalError};
use super::undo::{MirrorError, UndoReport, read_open_changes, undo};
use crate::cluster::{Cluster, LockError, RunLock};
use crate::evidence::{self, Origin, RunDir};
use crate::scenario::{Workload, WorkloadKind};
use std::path::PathBuf;
use std::time::Duration;

/// Why a run could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The run directory could not be read.
    #[error("failed to read the run")]
    Run {
        /// Why.
        #[from]
        source: evidence::Error,
    },
    /// The journal could not be read.
    #[error("failed to open the journal")]
    Journal {
        /// Why.
        #[from]
        source: JournalError,
    },
    /// The run changed nothing, for it was read from a capture.
    #[error(
        "`{}` was imported: nothing was changed by it, so there is nothing to restore",
        path.display()
    )]
    Imported {
        /// The run directory.
        path: PathBuf,
    },
    /// There is no such Lease, or nobody holds it.
    #[error(
        "no run holds a lease `{lease}` in namespace `{namespace}`: there is nothing to restore"
    )]
    NoLease {
        /// The Lease.
        lease: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// The Lease cannot be read, or its run is still at work.
    #[error("failed to restore from the lease")]
    Lease {
        /// Why.
        #[from]
        source: LockError,
    },
    /// What the Lease keeps is no list of changes.
    #[error("failed to restore from the lease")]
    Mirror {
        /// Why.
        #[from]
        source: MirrorError,
    },
    /// `run.json` names no workload.
    #[error("`{}` names no workload that could be restored: {found}", path.display())]
    NoWorkload {
        /// The run directory.
        path: PathBuf,
        /// What it says.
        found: String,
    },
}

/// Undoes what the journal of a run directory says, and releases the run's Lease.
///
/// `cluster` is the cluster in which the run was at work; the namespace is the run's own.
pub async fn restore(
    cluster: &Cluster,
    directory: &RunDir,
    patience: Duration,
) -> Result<UndoReport, RestoreError> {
    let info = directory.info()?;
    let path = directory.path();
    if info.origin == Origin::Import {
        return Err(RestoreError::Imported {
            path: path.to_owned(),
        });
    }
    let workload = info.workload.as_deref().unwrap_or_default();
    let workload = parse_workload(workload).ok_or_else(|| RestoreError::NoWorkload {
        path: path.to_owned(),
        found: format!("`{workload}`"),
    })?;
    let cluster = cluster.in_namespace(&info.namespace);
    let lock = RunLock::new(&cluster, &workload, &info.id);
    let mut journal = Journal::open(path)?;
    Ok(undo(&cluster, &lock, &mut journal, patience, None).await)
}

/// Undoes what the Lease of a dead run says that is not undone, and releases it.
pub async fn restore_from_lease(
    cluster: &Cluster,
    lease: &str,
    patience: Duration,
) -> Result<UndoReport, RestoreError> {
    let asked = RunLock::named(cluster, lease, "");
    let holder = asked.dead_holder().await?;
    let holder = holder.ok_or_else(|| RestoreError::NoLease {
        lease: lease.to_owned(),
        namespace: cluster.namespace().to_owned(),
    })?;
    let changes = holder.open.as_deref().map(read_open_changes).transpose()?;
    let mut journal = Journal::in_memory(changes.unwrap_or_default());
    let lock = RunLock::named(cluster, lease, &holder.run);
    Ok(undo(cluster, &lock, &mut journal, patience, None).await)
}

/// `deployment/demo`, as [`Workload`] displays it.
fn parse_workload(text: &str) -> Option<Workload> {
    let (kind, name) = text.split_once('/')?;
    let kind: WorkloadKind = serde_json::from_value(kind.into()).ok()?;
    (!name.is_empty()).then(|| Workload {
        kind,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_reads_back_as_it_is_displayed() {
        for text in [
            "deployment/demo",
            "statefulset/db",
            "daemonset/agent",
            "job/once",
        ] {
            assert_eq!(parse_workload(text).unwrap().to_string(), text);
        }
        for text in ["", "demo", "deployment/", "cronjob/x"] {
            assert_eq!(parse_workload(text), None, "{text}");
        }
    }
}
