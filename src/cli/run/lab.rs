//! `lastwatch run SCENARIO --lab`: how does a run meet its practice cluster?
//!
//! The lab is started, then this program once more, as a process of its own in the lab's network,
//! with a kubeconfig and nothing else: so the run cannot know that it is practising.

use super::{RunArgs, directory, new_id};
use crate::cli::lab::announce_mode;
use crate::cli::{Exit, Printer};
use crate::lab::session::{Session, Settings};
use crate::scenario::{LoadFrom, Plan};
use crate::task::Shutdown;
use std::path::{Path, absolute};
use std::process::{Command, ExitStatus};

/// What the lab knows first-hand, put beside the record when the run is over.
const TRUTH: &str = "truth.jsonl";

pub(super) async fn run(args: &RunArgs, plan: &Plan, printer: Printer) -> Exit {
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            printer.error(&error);
            return Exit::Internal;
        }
    };
    printer.say("starting the lab");
    let settings = Settings {
        loopback: std::env::var_os("LASTWATCH_LAB_LOOPBACK").is_some(),
        client: plan.load.from != LoadFrom::Local,
        meshed_client: plan.load.from == LoadFrom::MeshedPod,
        envoy: args.envoy.clone(),
    };
    let lab = &plan.lab;
    let started = tokio::select! {
        started = Session::start(lab, &settings) => started,
        () = shutdown.stop.cancelled() => return Exit::Interrupted,
    };
    let session = match started {
        Ok(session) => session,
        Err(error) => {
            printer.error(&error);
            return if error.is_usage() {
                Exit::Usage
            } else {
                Exit::Unavailable
            };
        }
    };
    announce_mode(&session, printer);
    let directory = directory(args, &new_id(&plan.name));
    let exit = match harness(args, &session, &directory) {
        Ok(command) => match session.run_inside(command).await {
            Ok(status) => exit_of(status),
            Err(error) => {
                printer.error(&error);
                Exit::Internal
            }
        },
        Err(error) => {
            printer.error(&error);
            Exit::Internal
        }
    };
    keep_truth(&session, &directory, printer);
    session.stop().await;
    exit
}

/// This program again, against the lab. Practising needs nobody's consent. It starts in the lab's
/// root folder, so every path is made absolute.
fn harness(args: &RunArgs, session: &Session, directory: &Path) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("run")
        .arg(absolute(&args.scenario)?)
        .arg("--kubeconfig")
        .arg(session.kubeconfig_inside())
        .args(["--yes", "--yes-production"])
        .arg("--out")
        .arg(absolute(directory)?);
    if let Some(namespace) = &args.namespace {
        command.args(["--namespace", namespace]);
    }
    if args.dry_run {
        command.arg("--dry-run");
    }
    for report in &args.reports {
        command.arg("--report").arg(report.absolute()?.to_string());
    }
    Ok(command)
}

/// Without a record there is nothing that the truth could be compared with.
fn keep_truth(session: &Session, directory: &Path, printer: Printer) {
    if !directory.join("run.json").exists() {
        return;
    }
    if let Err(error) = session.write_truth(&directory.join(TRUTH)) {
        printer.say(&format!("the lab's own record was not kept: {error}"));
    }
}

/// What the run itself exited with.
fn exit_of(status: ExitStatus) -> Exit {
    let known = [
        Exit::Pass,
        Exit::Fail,
        Exit::Inconclusive,
        Exit::Usage,
        Exit::Unavailable,
        Exit::Interrupted,
    ];
    let code = status.code();
    let found = known.into_iter().find(|exit| Some(*exit as i32) == code);
    found.unwrap_or(Exit::Internal)
}
