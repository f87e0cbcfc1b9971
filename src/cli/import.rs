//! `lastwatch import`: what was typed, and what is said about what was read?

use super::{Exit, Printer};
use crate::run::{ImportError, ImportOptions, import};
use crate::scenario;
use clap::Args;
use std::path::PathBuf;

/// Reads a rollout that was recorded with kubectl into an ordinary run.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The capture: a folder of watches, logs and what clients saw.
    capture: PathBuf,
    /// The run directory to write.
    #[arg(long)]
    out: PathBuf,
    /// The workload, as `deployment/demo`, instead of the detected one.
    #[arg(long)]
    workload: Option<String>,
    /// The Service instead of the detected one.
    #[arg(long)]
    service: Option<String>,
    /// A scenario whose gates and patterns the run is judged by.
    #[arg(long)]
    scenario: Option<PathBuf>,
}

/// Imports, and ends with 0 when the capture could be read.
pub(super) fn run(args: ImportArgs, printer: Printer) -> Exit {
    if let Some(workload) = &args.workload
        && !workload
            .split_once('/')
            .is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty())
    {
        printer.say(&format!("error: `--workload {workload}` has no kind"));
        printer.say("\nhint: write it as `deployment/demo`");
        return Exit::Usage;
    }
    let plan = match &args.scenario {
        None => serde_json::Value::Null,
        Some(path) => match scenario::read(path, &|name| std::env::var(name).ok()) {
            Ok(plan) => serde_json::to_value(plan.without_secrets()).expect("a plan is plain data"),
            Err(faults) => {
                printer.error(&faults);
                return Exit::Usage;
            }
        },
    };
    let options = ImportOptions {
        workload: args.workload,
        service: args.service,
        plan,
        argv: std::env::args().collect(),
    };
    match import(&args.capture, &args.out, &options) {
        Ok(imported) => {
            for fault in &imported.faults {
                printer.say(&format!("warning: {fault}"));
            }
            for blind in &imported.blind {
                printer.say(&format!("not seen: {blind}"));
            }
            let name = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
            printer.say(&format!(
                "imported {} events with {} failed requests to `{}` (workload {}, service {})",
                imported.events,
                imported.failures,
                args.out.display(),
                name(&imported.info.workload),
                name(&imported.info.service),
            ));
            Exit::Pass
        }
        Err(error) => {
            printer.error(&error);
            match error {
                ImportError::Write(_) => Exit::Internal,
                _ => Exit::Usage,
            }
        }
    }
}
