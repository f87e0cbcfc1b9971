//! `lastwatch import`: what was typed, and what is said about what was read?

use super::{Exit, Printer, scenario};
use crate::run::{ImportError, ImportOptions, import};
use crate::scenario::{Misnamed, Workload};
use clap::Args;
use std::path::PathBuf;

/// Read a rollout that was recorded with kubectl into an ordinary run.
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

/// `--workload` names none.
#[derive(Debug, thiserror::Error)]
#[error("`--workload {written}` {problem}\nhint: {hint}")]
struct NoWorkload {
    written: String,
    problem: String,
    hint: String,
}

/// The workload as a record names it: `deployment/demo` of `deploy/demo`. Any kind can be a
/// controller of pods (`rollout/demo`); whether the capture has this one, the import knows.
fn workload(written: &str) -> Result<String, NoWorkload> {
    let parsed = match (written.parse::<Workload>(), written.split_once('/')) {
        (Ok(known), _) => Ok(known.to_string()),
        (Err(_), Some((kind, name))) if !kind.is_empty() => format!("deployment/{name}")
            .parse::<Workload>()
            .map(|_| format!("{}/{name}", kind.to_lowercase())),
        (Err(misnamed), _) => Err(misnamed),
    };
    match parsed {
        Ok(workload) => Ok(workload),
        Err(Misnamed { problem, hint }) => Err(NoWorkload {
            written: written.to_owned(),
            problem,
            hint: hint.unwrap_or_else(|| "write it as `deployment/demo`".to_owned()),
        }),
    }
}

/// Imports, and ends with 0 when the capture could be read.
pub(super) fn run(args: ImportArgs, printer: Printer) -> Exit {
    let workload = args.workload.as_deref().map(workload).transpose();
    let workload = match workload {
        Ok(workload) => workload,
        Err(error) => {
            printer.error(&error);
            return Exit::Usage;
        }
    };
    let plan = match &args.scenario {
        None => serde_json::Value::Null,
        Some(path) => match scenario::read(path) {
            Ok(plan) => serde_json::to_value(plan.without_secrets()).expect("a plan is plain data"),
            Err(faults) => {
                printer.error(&faults);
                return Exit::Usage;
            }
        },
    };
    let options = ImportOptions {
        workload,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_kind_can_be_named_and_those_of_kubernetes_by_their_short_names() {
        for (written, expected) in [
            ("deploy/demo", Ok("deployment/demo")),
            ("Rollout/demo", Ok("rollout/demo")),
            ("demo", Err("has no kind")),
            ("/demo", Err("has the unknown kind ``")),
            ("rollout/", Err("has no name of an object after the `/`")),
        ] {
            let named = workload(written).map_err(|error| error.problem);
            let named = named.as_deref().map_err(String::as_str);
            assert_eq!(named, expected, "{written}");
        }
    }
}
