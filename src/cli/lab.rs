//! `lastwatch lab`: a cluster to practise on.

use super::replay::hint_of_record;
use super::{Exit, Printer, scenario};
use crate::error::Chain;
use crate::lab::{self, session};
use crate::scenario::{Faults, LabPlan};
use crate::task::Shutdown;
use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

/// What to do with the embedded lab
#[derive(Debug, Subcommand)]
pub(super) enum LabCommand {
    /// Start a lab, print the path of its kubeconfig, and keep it up until Ctrl-C
    Up(UpArgs),
    /// Run a command in the network of the lab that is up
    Exec(ExecArgs),
    /// Compare what a run in the lab was said to have failed of with what the lab knows
    Score(ScoreArgs),
    /// The test app, as a container of the image `lastwatch/lab-app` runs it
    #[command(hide = true)]
    App,
    /// What the lab's sidecars run in the place of pilot-agent
    #[command(subcommand, hide = true)]
    Agent(super::agent::AgentCommand),
    /// The first half of a lab's start: namespaces
    #[command(hide = true)]
    Stage {
        folder: PathBuf,
        #[arg(long)]
        loopback: bool,
    },
    /// The second half: what runs inside
    #[command(hide = true)]
    Inner { folder: PathBuf },
    /// What stands between a lab and one of its containers
    #[command(hide = true)]
    Shim { socket: PathBuf },
    /// What starts a command in a container
    #[command(hide = true)]
    Enter {
        pid: i32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        argv: Vec<String>,
    },
}

/// How to start a lab.
#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// Manifests to apply
    #[arg(long, value_name = "FILE", num_args = 1..)]
    manifests: Vec<PathBuf>,
    /// The scenario whose `lab` says how to set it up; its manifests are applied first
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Do without namespaces even where they can be had
    #[arg(long)]
    loopback: bool,
    /// The Envoy of the sidecars [default: `LASTWATCH_ENVOY`, PATH, .envoy/envoy]
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
}

/// What to run in a lab.
#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    /// The lab's folder, where its kubeconfig is [default: the newest lab that is up]
    #[arg(long, value_name = "DIR")]
    lab: Option<PathBuf>,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

/// What to score.
#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    /// The run's directory
    run: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Carries out a `lab` command.
pub(super) fn main(command: LabCommand, printer: Printer) -> ExitCode {
    match command {
        LabCommand::Up(args) => in_runtime(printer, up(args, printer)),
        LabCommand::Exec(args) => in_runtime(printer, exec(args, printer)),
        LabCommand::Score(args) => score(&args, printer).into(),
        LabCommand::App => lab::app::main(),
        LabCommand::Agent(command) => super::agent::main(&command),
        LabCommand::Stage { folder, loopback } => session::stage_main(&folder, !loopback),
        LabCommand::Inner { folder } => session::inner_main(&folder),
        LabCommand::Shim { socket } => lab::node::shim_main(&socket),
        LabCommand::Enter { pid, argv } => match lab::node::enter_main(pid, &argv) {
            Ok(code) => code,
            Err(error) => {
                printer.say(&format!("exec: {error}"));
                ExitCode::from(126)
            }
        },
    }
}

fn in_runtime(printer: Printer, task: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(task),
        Err(error) => {
            printer.error(&error);
            Exit::Internal.into()
        }
    }
}

/// How a scenario wants its lab.
fn lab_of(scenario: &Path) -> Result<LabPlan, Faults> {
    Ok(scenario::read(scenario)?.lab)
}

async fn up(args: UpArgs, printer: Printer) -> ExitCode {
    let mut plan = match args.scenario.as_deref().map(lab_of).transpose() {
        Ok(plan) => plan.unwrap_or_default(),
        Err(faults) => {
            printer.error(&faults);
            return Exit::Usage.into();
        }
    };
    plan.manifests.extend(args.manifests);
    let settings = session::Settings {
        loopback: args.loopback,
        envoy: args.envoy,
        ..session::Settings::default()
    };
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            printer.error(&error);
            return Exit::Internal.into();
        }
    };
    let started = tokio::select! {
        started = session::Session::start(&plan, &settings) => started,
        () = shutdown.stop.cancelled() => return Exit::Interrupted.into(),
    };
    let mut session = match started {
        Ok(session) => session,
        Err(error) => return unavailable(printer, &error),
    };
    announce_mode(&session, printer);
    printer.data(&format!("{}\n", session.kubeconfig().display()));
    printer.say("the lab is up; Ctrl-C ends it");
    tokio::select! {
        error = session.ended() => unavailable(printer, &error),
        () = shutdown.stop.cancelled() => {
            session.stop().await;
            Exit::Pass.into()
        }
    }
}

fn score(args: &ScoreArgs, printer: Printer) -> Exit {
    match lab::score::score(&args.run) {
        Ok(score) if args.json => {
            let text = serde_json::to_string_pretty(&score).expect("a score is plain data");
            printer.data(&format!("{text}\n"));
            Exit::Pass
        }
        Ok(score) => {
            printer.data(&score.to_string());
            Exit::Pass
        }
        Err(error) => {
            printer.error(&error);
            if let lab::score::Error::Run(error) = &error {
                printer.say(&hint_of_record(error, &args.run));
            }
            Exit::Usage
        }
    }
}

/// Says what a lab without namespaces cannot show.
pub(super) fn announce_mode(session: &session::Session, printer: Printer) {
    if let Some(warning) = session.mode().warning() {
        printer.say(&warning);
    }
}

async fn exec(args: ExecArgs, printer: Printer) -> ExitCode {
    let folder = match args.lab.map_or_else(session::find_running, Ok) {
        Ok(folder) => folder,
        Err(error) => return unavailable(printer, &error),
    };
    let mut command = Command::new(&args.command[0]);
    command
        .args(&args.command[1..])
        .env("KUBECONFIG", folder.join("kubeconfig-inside"));
    match session::run_in(&folder, command).await {
        Ok(status) => passed_on(status),
        Err(error) => unavailable(printer, &error),
    }
}

/// The exit code of a command that was run, 128 + signal for a signal.
pub(super) fn passed_on(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(70))
}

fn unavailable(printer: Printer, error: &session::Error) -> ExitCode {
    printer.say(&format!("error: {}", Chain(error)));
    Exit::Unavailable.into()
}
