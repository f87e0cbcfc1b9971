//! `lastwatch restore RUN`: undoes what a run changed that could not undo it itself; `--lease` does so
//! where its directory is lost.

use super::replay::hint_of_record;
use super::{Exit, Printer};
use crate::cluster::{Cluster, Error, Reach};
use crate::disrupt::{RestoreError, UndoReport, restore, restore_from_lease};
use crate::evidence::{Origin, RunDir};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Undo what a run changed, after a crash or a kill
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The run's directory
    #[arg(required_unless_present = "lease")]
    run: Option<PathBuf>,
    /// Where the directory is lost, as that of a Job whose pod is gone: the run's Lease, which says what
    /// is not undone yet
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    lease: Option<String>,
    /// The namespace of the Lease [default: the context's]
    #[arg(long, short, requires = "lease")]
    namespace: Option<String>,
    /// The kubeconfig of the cluster in which the run was at work
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Another context than the run's own
    #[arg(long)]
    context: Option<String>,
    /// Seconds to wait for a rollout that the undo starts
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
}

pub(super) fn run(args: &RestoreArgs, printer: Printer) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let restored = match runtime {
        Ok(runtime) => runtime.block_on(carry_out(args)),
        Err(error) => {
            printer.error(&error);
            return Exit::Internal;
        }
    };
    match restored {
        Ok(report) => {
            printer.data(&format!("{report}\n"));
            if report.is_clean() {
                Exit::Pass
            } else {
                Exit::Fail
            }
        }
        Err(Failure::Run(error)) => {
            printer.error(&error);
            if let (RestoreError::Run { source }, Some(run)) = (&error, &args.run) {
                printer.say(&hint_of_record(source, run));
            }
            match error {
                RestoreError::Lease { .. } => Exit::Unavailable,
                _ => Exit::Usage,
            }
        }
        Err(Failure::Cluster(error)) => {
            printer.error(&error);
            Exit::Unavailable
        }
    }
}

enum Failure {
    Run(RestoreError),
    Cluster(Error),
}

async fn carry_out(args: &RestoreArgs) -> Result<UndoReport, Failure> {
    let patience = Duration::from_secs(args.patience);
    match (&args.lease, &args.run) {
        (Some(lease), _) => from_lease(args, lease, patience).await,
        (None, Some(run)) => from_directory(args, run, patience).await,
        (None, None) => unreachable!("one of them is required"),
    }
}

async fn from_lease(
    args: &RestoreArgs,
    lease: &str,
    patience: Duration,
) -> Result<UndoReport, Failure> {
    let reach = Reach {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        namespace: args.namespace.clone(),
    };
    let cluster = Cluster::connect(&reach).await.map_err(Failure::Cluster)?;
    let restored = restore_from_lease(&cluster, lease, patience).await;
    restored.map_err(Failure::Run)
}

async fn from_directory(
    args: &RestoreArgs,
    run: &Path,
    patience: Duration,
) -> Result<UndoReport, Failure> {
    let directory = RunDir::new(run);
    let info = directory
        .info()
        .map_err(|source| Failure::Run(source.into()))?;
    if info.origin == Origin::Import {
        let path = run.to_owned();
        return Err(Failure::Run(RestoreError::Imported { path }));
    }
    let reach = Reach {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone().or_else(|| own_context(&info.cluster)),
        namespace: Some(info.namespace),
    };
    let cluster = Cluster::connect(&reach).await.map_err(Failure::Cluster)?;
    restore(&cluster, &directory, patience)
        .await
        .map_err(Failure::Run)
}

/// The context that the run used, of `context (server)`. A run inside a pod used none.
fn own_context(cluster: &str) -> Option<String> {
    let context = cluster
        .rsplit_once(" (")
        .map_or(cluster, |(context, _)| context);
    (context != "in-cluster" && !context.is_empty()).then(|| context.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_of_a_run_is_found_in_its_cluster() {
        for (cluster, context) in [
            ("kind-demo (https://127.0.0.1:6443)", Some("kind-demo")),
            ("kind (old) (https://127.0.0.1:6443)", Some("kind (old)")),
            ("in-cluster (https://10.96.0.1)", None),
            ("kind-demo", Some("kind-demo")),
            ("", None),
        ] {
            assert_eq!(own_context(cluster).as_deref(), context, "{cluster}");
        }
    }
}
