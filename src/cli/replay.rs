//! `lastwatch replay RUN`: the report of a stored run, from its record alone.

use super::{Exit, Printer};
use crate::evidence::RunDir;
use crate::report::{self, Format, Report};
use crate::run::{ConcludeError, conclude};
use crate::verdict::Outcome;
use clap::Args;
use std::path::{Path, PathBuf};

/// Judges a stored run again; exits by its verdict, as `run` does.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The run's directory
    run: PathBuf,
    /// Also write the report in a format (terminal, json, junit, markdown) to a file; `-` is stdout
    #[arg(long = "report", value_name = "FORMAT=FILE")]
    reports: Vec<ReportTo>,
}

/// `FORMAT=FILE`.
#[derive(Clone, Debug)]
pub(super) struct ReportTo {
    format: Format,
    file: PathBuf,
}

impl ReportTo {
    /// The same for a process in another folder.
    pub(super) fn absolute(&self) -> std::io::Result<Self> {
        let file = match self.file.to_str() {
            Some("-") => self.file.clone(),
            _ => std::path::absolute(&self.file)?,
        };
        let format = self.format;
        Ok(Self { format, file })
    }
}

impl std::fmt::Display for ReportTo {
    /// As it was typed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = Format::ALL
            .iter()
            .find(|(_, format)| *format == self.format);
        let name = known.map_or("", |(name, _)| name);
        write!(f, "{name}={}", self.file.display())
    }
}

impl std::str::FromStr for ReportTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, file) = text
            .split_once('=')
            .ok_or("expected FORMAT=FILE, for example `junit=report.xml`")?;
        if file.is_empty() {
            return Err("the file's name is missing, for example `junit=report.xml`".to_owned());
        }
        Ok(Self {
            format: format.parse()?,
            file: file.into(),
        })
    }
}

/// A report could not be written where it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("failed to write the report `{}`", file.display())]
pub(super) struct WriteError {
    file: PathBuf,
    #[source]
    source: std::io::Error,
}

pub(super) fn replay(args: &ReplayArgs, printer: Printer) -> Exit {
    let run = RunDir::new(&args.run);
    let conclusion = match conclude(&run).and_then(|done| done.store(&run).map(|()| done)) {
        Ok(conclusion) => conclusion,
        Err(error) => return unreadable(&error, &args.run, printer),
    };
    if let Err(error) = tell(&conclusion.report, &args.reports, printer) {
        printer.error(&error);
        return Exit::Internal;
    }
    verdict_exit(conclusion.report.verdict)
}

/// Says why a run could not be judged.
pub(super) fn unreadable(error: &ConcludeError, run: &Path, printer: Printer) -> Exit {
    printer.error(error);
    match error {
        ConcludeError::Record(_) | ConcludeError::Plan { .. } => {
            printer.say(&format!(
                "hint: `{}` should be the directory of a run, with `run.json` and `events.jsonl` in it",
                run.display()
            ));
            Exit::Usage
        }
        ConcludeError::Report { .. } | ConcludeError::Panicked => Exit::Internal,
    }
}

/// Prints the report for people, unless stdout was given to another format, and writes those that
/// were asked for.
pub(super) fn tell(
    report: &Report,
    reports: &[ReportTo],
    printer: Printer,
) -> Result<(), WriteError> {
    if !reports.iter().any(|to| to.file == Path::new("-")) {
        printer.data(&report::terminal(report));
    }
    for to in reports {
        let text = to.format.render(report);
        if to.file == Path::new("-") {
            printer.data(&text);
        } else {
            write_report(&to.file, &text)?;
        }
    }
    Ok(())
}

/// Writes what was asked for where it was asked for.
pub(super) fn write_report(file: &Path, text: &str) -> Result<(), WriteError> {
    std::fs::write(file, text).map_err(|source| WriteError {
        file: file.to_owned(),
        source,
    })
}

/// The exit code of a verdict.
pub(super) const fn verdict_exit(verdict: Outcome) -> Exit {
    match verdict {
        Outcome::Pass => Exit::Pass,
        Outcome::Fail => Exit::Fail,
        Outcome::Inconclusive => Exit::Inconclusive,
    }
}
