//! What was typed, and what do we exit with?

mod agent;
mod completions;
mod exit;
mod explain;
mod import;
mod lab;
mod output;
mod parse;
mod replay;
mod restore;
mod run;
mod scenario;
mod schema;

pub use exit::Exit;
pub use output::Printer;

use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Drives a Kubernetes rollout under load and proves that it dropped nothing, or names the race.
#[derive(Debug, Parser)]
#[command(name = "lastwatch", version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Import(import::ImportArgs),
    /// Start a cluster to practise on, embedded in this program; run a command in it; score a run
    #[command(subcommand)]
    Lab(lab::LabCommand),
    /// Print the JSON Schema of a scenario, for editors.
    Schema,
    /// Print the completion script of a shell.
    Completions(completions::CompletionsArgs),
    /// Print what the lines of a log mean, one JSON object a line.
    #[command(subcommand)]
    Parse(parse::ParseCommand),
    Replay(replay::ReplayArgs),
    Explain(explain::ExplainArgs),
    Restore(restore::RestoreArgs),
}

/// What is logged without a wish: what a user should know of a run, and less of a lab.
const LOGGED: &str = "error,lastwatch=warn,lastwatch::lab=error";

/// Runs this process's command line and maps the outcome to an exit code.
pub fn main() -> ExitCode {
    match log_filter() {
        Ok(filter) => log_to_stderr(filter),
        Err(error) => {
            Printer.error(&error);
            return Exit::Usage.into();
        }
    }
    run(std::env::args_os())
}

/// `LASTWATCH_LOG` cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "`LASTWATCH_LOG={written}` is no filter\n\
     hint: a level for a module, for instance `lastwatch=debug` or `warn,lastwatch::observe=trace`"
)]
struct NoFilter {
    written: String,
    source: ParseError,
}

/// What `LASTWATCH_LOG` wishes to be logged.
fn log_filter() -> Result<EnvFilter, NoFilter> {
    let written = std::env::var_os("LASTWATCH_LOG").unwrap_or_default();
    if written.is_empty() {
        return Ok(EnvFilter::new(LOGGED));
    }
    let written = written.to_string_lossy().into_owned();
    EnvFilter::try_new(&written).map_err(|source| NoFilter { written, source })
}

/// Logs go to stderr. What cannot be written there is nobody's fault.
fn log_to_stderr(filter: EnvFilter) {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .init();
}

/// Parses a command line, whose first word is the program's name, and carries it out.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Pass.into()
            };
        }
    };
    let printer = Printer;
    match args.command {
        Command::Run(args) => run::run(&args, printer).into(),
        Command::Import(args) => import::run(args, printer).into(),
        Command::Lab(command) => lab::main(command, printer),
        Command::Schema => schema::run(printer).into(),
        Command::Completions(args) => completions::run(&args, Args::command(), printer).into(),
        Command::Parse(command) => parse::run(command, printer).into(),
        Command::Replay(args) => replay::replay(&args, printer).into(),
        Command::Explain(args) => explain::explain(&args, printer).into(),
        Command::Restore(args) => restore::run(&args, printer).into(),
    }
}
