//! `lastwatch run SCENARIO`: drive a rollout under load and say what it dropped.

mod consent;
mod lab;
mod show;
mod sidecar;

use super::replay::{self, ReportTo};
use super::{Exit, Printer, scenario};
use crate::cluster::{self, Cluster, Reach};
use crate::disrupt::{self, Outcome, PreflightError, UndoReport};
use crate::run::live::{self, Ended, Halt, LiveRun};
use crate::scenario::{LoadFrom, Plan};
use crate::task::{Panics, Shutdown};
use clap::Args;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For how long a run in a pod tries to reach the API server: as long as a sidecar starts beside it,
/// all that it sends is refused.
const FIRST_CONTACT: Duration = Duration::from_secs(30);

/// Drive a rollout under load and say what it dropped; exits by the verdict
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The scenario
    scenario: PathBuf,
    /// Practise on the embedded lab instead of a cluster
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    lab: bool,
    /// The Envoy of the lab's sidecars [default: `LASTWATCH_ENVOY`, PATH, .envoy/envoy]
    #[arg(long, value_name = "FILE", requires = "lab")]
    envoy: Option<PathBuf>,
    /// The kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod's own account]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context [default: its current one]
    #[arg(long)]
    context: Option<String>,
    /// The target's namespace [default: the scenario's, else the context's]
    #[arg(long, short)]
    namespace: Option<String>,
    /// Read everything, change nothing, print what would be done
    #[arg(long)]
    dry_run: bool,
    /// Agree beforehand to the disruption and to requests that change something
    #[arg(long, short)]
    yes: bool,
    /// Agree to a target that looks like production
    #[arg(long)]
    yes_production: bool,
    /// Also write the report in a format (terminal, json, junit, markdown) to a file; `-` is stdout
    #[arg(long = "report", value_name = "FORMAT=FILE")]
    reports: Vec<ReportTo>,
    /// The run's directory [default: runs/ID]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Why a run could not begin; each has its exit code.
#[derive(Debug, thiserror::Error)]
enum Unable {
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    #[error(
        "`load.from: {from}` sends from inside the cluster, and this is no pod of it\n\
         hint: run lastwatch as the Job of `manifests/cluster/{job}`, or use `load.from: local`"
    )]
    NotInside {
        from: &'static str,
        job: &'static str,
    },
    #[error("`{}` holds a run already\nhint: choose another directory with `--out`", path.display())]
    Taken { path: PathBuf },
    #[error("failed to listen to signals")]
    Signals(#[source] std::io::Error),
}

impl Unable {
    fn exit(&self) -> Exit {
        match self {
            Self::Preflight(error) if error.is_usage() => Exit::Usage,
            Self::Cluster(_) | Self::Preflight(_) | Self::NotInside { .. } => Exit::Unavailable,
            Self::Taken { .. } => Exit::Usage,
            Self::Signals(_) => Exit::Internal,
        }
    }
}

pub(super) fn run(args: &RunArgs, printer: Printer) -> Exit {
    let plan = scenario::read(&args.scenario)
        .map_err(|faults| printer.error(&faults))
        .ok();
    let places = replay::check_places(&args.reports).map_err(|error| printer.error(&error));
    let plan = plan.filter(|_| places.is_ok());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.error(&error);
            return Exit::Internal;
        }
    };
    let exit = runtime.block_on(async {
        match plan {
            Some(plan) if args.lab => lab::run(args, &plan, printer).await,
            Some(plan) => on_cluster(args, plan, printer).await,
            None => refused(args, printer).await,
        }
    });
    // Whoever still waits for the network is not waited for.
    runtime.shutdown_background();
    exit
}

/// What was typed cannot be run; a Job that says it comes to its end all the same. Only where this is
/// all that its container does: a script or a shell that typed it goes on, and needs its sidecar.
async fn refused(args: &RunArgs, printer: Printer) -> Exit {
    let alone = std::process::id() == 1 && !args.lab && !args.dry_run;
    if let Some(pod) = own_pod().filter(|_| alone) {
        sidecar::release(&reach(args, None), &pod, false, printer).await;
    }
    Exit::Usage
}

fn reach(args: &RunArgs, namespace: Option<String>) -> Reach {
    Reach {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        namespace: args.namespace.clone().or(namespace),
    }
}

async fn on_cluster(args: &RunArgs, plan: Plan, printer: Printer) -> Exit {
    let reach = reach(args, plan.target.namespace.clone());
    let meshed = own_pod().filter(|_| plan.load.from == LoadFrom::MeshedPod);
    let exit = match prepare(args, &reach, plan, printer).await {
        Err(unable) => {
            printer.error(&unable);
            unable.exit()
        }
        Ok(run) => go(args, run, printer).await,
    };
    if let Some(pod) = meshed {
        sidecar::release(&reach, &pod, true, printer).await;
    }
    exit
}

/// The pod that this program runs in, where it runs in one.
fn own_pod() -> Option<String> {
    std::env::var_os("KUBERNETES_SERVICE_HOST")?;
    std::env::var("HOSTNAME").ok()
}

/// Everything up to the first change: reads only.
async fn prepare(
    args: &RunArgs,
    reach: &Reach,
    plan: Plan,
    printer: Printer,
) -> Result<LiveRun, Unable> {
    let pod = own_pod();
    let cluster = if pod.is_some() {
        let waiting = |_: &cluster::Error| {
            printer.say(&format!(
                "the API server cannot be reached yet; trying for up to {FIRST_CONTACT:?}"
            ));
        };
        Cluster::connect_patiently(reach, FIRST_CONTACT, waiting).await?
    } else {
        Cluster::connect(reach).await?
    };
    let outside = |from, job| Err(Unable::NotInside { from, job });
    match plan.load.from {
        LoadFrom::Pod if pod.is_none() => return outside("pod", "job.yaml"),
        LoadFrom::MeshedPod if pod.is_none() => return outside("meshed-pod", "job-meshed.yaml"),
        LoadFrom::Local | LoadFrom::Pod | LoadFrom::MeshedPod => {}
    }
    let id = new_id(&plan.name);
    let directory = directory(args, &id);
    if directory.join("run.json").exists() {
        return Err(Unable::Taken { path: directory });
    }
    let tell = |line: &str| printer.say(line);
    let preflight = disrupt::preflight(&cluster, &plan, &id, args.yes_production, tell).await?;
    for note in &preflight.notes {
        printer.say(&format!("note: {note}"));
    }
    let plan = disrupt::with_timeouts(plan, &preflight.target);
    Ok(LiveRun {
        id,
        directory,
        argv: std::env::args().collect(),
        plan,
        cluster,
        target: preflight.target,
        pod,
    })
}

/// Where the run is kept.
fn directory(args: &RunArgs, id: &str) -> PathBuf {
    match &args.out {
        Some(out) => out.clone(),
        None => Path::new("runs").join(id),
    }
}

/// `20261124-172500-rolling-restart-ab12`: in the order of time, readable, and unlike any other.
fn new_id(scenario: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let suffix: u16 = rand::random();
    format!("{now}-{scenario}-{suffix:04x}")
}

async fn go(args: &RunArgs, run: LiveRun, printer: Printer) -> Exit {
    if args.dry_run {
        let told = disrupt::dry_run(&run.cluster, &run.plan, &run.target);
        printer.data(&told);
        return Exit::Pass;
    }
    if !consent::given(&run, args.yes, printer) {
        return Exit::Usage;
    }
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            let unable = Unable::Signals(error);
            printer.error(&unable);
            return unable.exit();
        }
    };
    printer.say(&show::opening(&run));
    let directory = run.directory.clone();
    let (progress_tx, progress_rx) = tokio::sync::watch::channel(live::Progress::default());
    let panics = Panics::listen();
    let driving = live::drive(run, &shutdown, &panics, progress_tx);
    let driving = AssertUnwindSafe(driving).catch_unwind();
    let showing = show::progress(progress_rx, printer);
    tokio::select! {
        biased;
        () = shutdown.abort.cancelled() => {
            left_changed("left at once", &directory, printer);
            Exit::Interrupted
        }
        (ended, ()) = async { tokio::join!(driving, showing) } => match ended {
            Ok(Ok(ended)) => conclude(args, &ended, printer),
            Ok(Err(error)) => not_begun(&error, printer),
            Err(_) => {
                let what = panics.first().unwrap_or("this program panicked");
                left_changed(what, &directory, printer);
                Exit::Internal
            }
        },
    }
}

/// The run could not undo its changes itself.
fn left_changed(why: &str, directory: &Path, printer: Printer) {
    printer.say(&format!(
        "{why}; what was changed may still be changed\n\
         hint: put it back with `lastwatch restore {}`",
        directory.display()
    ));
}

fn not_begun(error: &live::Error, printer: Printer) -> Exit {
    printer.error(error);
    if let live::Error::NotBegun { undo, .. } = error
        && !undo.is_clean()
    {
        printer.say(&undo.to_string());
    }
    match error {
        live::Error::Record(_) => Exit::Internal,
        live::Error::Open(_) | live::Error::NotBegun { .. } => Exit::Unavailable,
    }
}

/// Tells how it ended, what was put back, and the verdict.
fn conclude(args: &RunArgs, ended: &Ended, printer: Printer) -> Exit {
    let broken = tell_ending(ended, printer);
    let verdict = match &ended.conclusion {
        Ok(conclusion) => {
            if let Err(error) = replay::tell(&conclusion.report, &args.reports, printer) {
                printer.error(&error);
                return Exit::Internal;
            }
            Some(conclusion.report.verdict)
        }
        Err(error) => {
            printer.error(error);
            None
        }
    };
    printer.say(&format!(
        "the record is in {}",
        ended.directory.path().display()
    ));
    match (&ended.halt, verdict) {
        (Some(Halt::Interrupted), _) => Exit::Interrupted,
        (_, Some(verdict)) if !broken => replay::verdict_exit(verdict),
        _ => Exit::Internal,
    }
}

/// Says what went wrong and what was put back; `true` when the verdict cannot stand for the run.
fn tell_ending(ended: &Ended, printer: Printer) -> bool {
    if let Some(halt) = &ended.halt {
        printer.say(&format!(
            "{halt}; the report is about what was seen until then"
        ));
    }
    if let Err(error) = &ended.recorded {
        printer.error(error);
        printer.say("hint: free some space or choose another disk with `--out`");
    }
    if let Err(error) = &ended.stored {
        printer.error(error);
    }
    if !ended.undo.items.is_empty() || !ended.undo.notes.is_empty() {
        printer.say(&ended.undo.to_string());
    }
    if failed_to_undo(&ended.undo) {
        printer.say(&format!(
            "hint: try again with `lastwatch restore {}`",
            ended.directory.path().display()
        ));
    }
    let unusable = matches!(
        ended.halt,
        Some(Halt::Panicked(_) | Halt::Unrecorded | Halt::LockLost(_))
    );
    unusable || ended.recorded.is_err() || ended.stored.is_err() || failed_to_undo(&ended.undo)
}

fn failed_to_undo(undo: &UndoReport) -> bool {
    undo.items
        .iter()
        .any(|item| matches!(item.outcome, Outcome::Failed { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_id_sorts_by_time_and_names_its_scenario() {
        let id = new_id("rolling-restart");
        let (stamp, rest) = id.split_at(15);
        assert_eq!(stamp.as_bytes()[8], b'-');
        assert!(rest.starts_with("-rolling-restart-"), "{id}");
        assert_ne!(id, new_id("rolling-restart"));
    }
}
