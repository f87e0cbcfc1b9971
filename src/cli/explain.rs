//! `lastwatch explain RUN REQUEST`: the evidence chain of one failed request.

use super::replay::unreadable;
use super::{Exit, Printer};
use crate::evidence::RunDir;
use crate::report;
use crate::run::conclude;
use clap::Args;
use std::path::PathBuf;

/// Tells one failed request as a time line.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The run's directory
    run: PathBuf,
    /// The request's id, or the beginning of it
    request: String,
}

pub(super) fn explain(args: &ExplainArgs, printer: Printer) -> Exit {
    let conclusion = match conclude(&RunDir::new(&args.run)) {
        Ok(conclusion) => conclusion,
        Err(error) => return unreadable(&error, &args.run, printer),
    };
    match report::explain(&conclusion.timeline, &conclusion.findings, &args.request) {
        Ok(text) => {
            printer.data(&text);
            Exit::Pass
        }
        Err(error) => {
            printer.error(&error);
            Exit::Usage
        }
    }
}
