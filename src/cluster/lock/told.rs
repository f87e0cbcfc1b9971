//! What is told of a Lease: who holds it, why a run cannot have it, and what befell it on the way?

use crate::cluster::error::Error;
use jiff::Timestamp;

/// Whose Lease it is, and how fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// The Lease.
    pub lease: String,
    /// Its namespace.
    pub namespace: String,
    /// The run that holds it.
    pub run: String,
    /// When it was renewed, by the holder's clock.
    pub renewed: Option<Timestamp>,
    /// What it has changed and not undone, as it wrote it.
    pub open: Option<String>,
    /// Its duration has passed by our clock.
    pub expired: bool,
}

/// Why a run does not have the workload for itself.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run is at work.
    #[error(
        "run `{}` is at work on this workload (lease `{}`, renewed {})\n\
         hint: wait for it to end; if it was killed, undo it with {}",
        holder.run, holder.lease, renewed_text(holder), remedy(holder)
    )]
    Held {
        /// Who.
        holder: LockHolder,
    },
    /// A run has died with changes that are not undone: their values are no originals.
    #[error(
        "run `{}` died and what it changed is not undone (lease `{}`):\n{}\n\
         hint: put it back with {}, if it is to stay as it is",
        holder.run, holder.lease, told(holder), remedy(holder)
    )]
    OpenChanges {
        /// Who.
        holder: LockHolder,
    },
    /// The Lease was made by another program.
    #[error("the lease `{lease}` was not made by lastwatch")]
    NotOurs {
        /// Its name.
        lease: String,
    },
    /// Another run took the Lease from this one.
    #[error("run `{}` has taken over the lease `{}`", holder.run, holder.lease)]
    Lost {
        /// Who.
        holder: LockHolder,
    },
    /// The Lease could not be read or written.
    #[error("failed to {act} the lease `{lease}`")]
    Cluster {
        /// `take`, `renew`, ...
        act: &'static str,
        /// Its name.
        lease: String,
        /// Why.
        #[source]
        source: Error,
    },
}

/// How a dead run is undone, or its Lease removed.
fn remedy(holder: &LockHolder) -> String {
    let LockHolder {
        lease, namespace, ..
    } = holder;
    let undo = match holder.open {
        Some(_) => format!("`lastwatch restore --lease {lease} -n {namespace}`"),
        None => "`lastwatch restore RUN`".to_owned(),
    };
    format!("{undo}, or remove the lease with `kubectl delete lease {lease} -n {namespace}`")
}

/// What is changed, one line each.
fn told(holder: &LockHolder) -> String {
    #[derive(serde::Deserialize)]
    struct Told {
        told: Vec<String>,
    }
    let open = holder.open.as_deref().unwrap_or_default();
    let lines = match serde_json::from_str::<Told>(open) {
        Ok(open) => open.told,
        Err(_) => vec!["what it is cannot be read".to_owned()],
    };
    let lines: Vec<String> = lines.iter().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

fn renewed_text(holder: &LockHolder) -> String {
    holder
        .renewed
        .map_or_else(|| "never".to_owned(), |renewed| renewed.to_string())
}

/// What is met while a Lease is kept, and does not end the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// Somebody had removed it; it is there again.
    MadeAgain {
        /// Its name.
        lease: String,
    },
    /// It could not be renewed for now.
    NotRenewed {
        /// Why.
        why: String,
    },
}

impl std::fmt::Display for Upkeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MadeAgain { lease } => write!(
                f,
                "somebody removed this run's lease `{lease}`; it was made again, and another run \
                 could have begun meanwhile"
            ),
            Self::NotRenewed { why } => f.write_str(why),
        }
    }
}
