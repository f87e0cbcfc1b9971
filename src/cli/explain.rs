//! `lastwatch explain RUN REQUEST`: the evidence chain of one failed request, or of a pod's end.

use super::replay::{check_place, unreadable, write};
use super::{Exit, Printer};
use crate::evidence::RunDir;
use crate::report;
use crate::run::conclude;
use clap::Args;
use std::path::{Path, PathBuf};

/// Tell one failed request, or the end of one pod, as a time line
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The run's directory
    run: PathBuf,
    /// The request's id or the beginning of it, or the name of a pod
    request: String,
    /// Also draw it as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(super) fn explain(args: &ExplainArgs, printer: Printer) -> Exit {
    let place = args.svg.as_deref().map(|file| check_place("picture", file));
    if let Some(Err(error)) = place {
        printer.error(&error);
        return Exit::Usage;
    }
    let conclusion = match conclude(&RunDir::new(&args.run)) {
        Ok(conclusion) => conclusion,
        Err(error) => return unreadable(&error, &args.run, printer),
    };
    match report::explain(&conclusion.timeline, &conclusion.findings, &args.request) {
        Ok(story) => {
            printer.data(&story.text());
            args.svg
                .as_ref()
                .map_or(Exit::Pass, |file| draw(&story.svg(), file, printer))
        }
        Err(error) => {
            printer.error(&error);
            Exit::Usage
        }
    }
}

fn draw(picture: &str, file: &Path, printer: Printer) -> Exit {
    match write("picture", file, picture) {
        Ok(()) => Exit::Pass,
        Err(error) => {
            printer.error(&error);
            Exit::Internal
        }
    }
}
