//! `lastwatch replay RUN`: the report of a stored run, from its record alone.

use super::{Exit, Printer};
use crate::evidence::{self, RunDir};
use crate::report::{self, Format, Report};
use crate::run::{ConcludeError, conclude};
use crate::verdict::Outcome;
use clap::Args;
use std::path::{Path, PathBuf};

/// Judge a stored run again; exits by its verdict, as `run` does
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

/// What was asked for could not be written where it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("failed to write the {what} `{}`", file.display())]
pub(super) struct WriteError {
    /// `report` or `picture`.
    what: &'static str,
    file: PathBuf,
    #[source]
    source: std::io::Error,
}

/// What is asked for has no place, which is known before the work is done.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPlace {
    #[error(
        "the {what} `{}` has no folder: there is no `{}`\nhint: make the folder first, or name another",
        file.display(),
        folder.display()
    )]
    NoFolder {
        what: &'static str,
        file: PathBuf,
        folder: PathBuf,
    },
    #[error("the {what} `{}` is a folder\nhint: name a file in it", file.display())]
    Folder { what: &'static str, file: PathBuf },
}

/// Refuses reports that could not be written once the run is over.
pub(super) fn check_places(reports: &[ReportTo]) -> Result<(), NoPlace> {
    let files = reports.iter().map(|to| to.file.as_path());
    files
        .filter(|file| *file != Path::new("-"))
        .try_for_each(|file| check_place("report", file))
}

/// Refuses a file that cannot be one, or whose folder is not there.
pub(super) fn check_place(what: &'static str, file: &Path) -> Result<(), NoPlace> {
    if file.is_dir() {
        let file = file.to_owned();
        return Err(NoPlace::Folder { what, file });
    }
    match file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        Some(folder) if !folder.is_dir() => Err(NoPlace::NoFolder {
            what,
            file: file.to_owned(),
            folder: folder.to_owned(),
        }),
        _ => Ok(()),
    }
}

pub(super) fn replay(args: &ReplayArgs, printer: Printer) -> Exit {
    if let Err(error) = check_places(&args.reports) {
        printer.error(&error);
        return Exit::Usage;
    }
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
        ConcludeError::Record(error) => {
            printer.say(&hint_of_record(error, run));
            Exit::Usage
        }
        ConcludeError::Plan { .. } => {
            printer.say("hint: the plan was written by another version, or by hand; use the lastwatch that made the run");
            Exit::Usage
        }
        ConcludeError::Report { .. } | ConcludeError::Panicked => Exit::Internal,
    }
}

/// What helps where a run's record could not be read.
pub(super) fn hint_of_record(error: &evidence::Error, run: &Path) -> String {
    match error {
        evidence::Error::Newer { .. } => "hint: use a newer lastwatch".to_owned(),
        evidence::Error::Format { .. } => {
            "hint: this line is damaged; take the directory from a backup".to_owned()
        }
        _ => format!(
            "hint: `{}` should be the directory of a run, with `run.json` and `events.jsonl` in it",
            run.display()
        ),
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
            write("report", &to.file, &text)?;
        }
    }
    Ok(())
}

/// Writes what was asked for where it was asked for.
pub(super) fn write(what: &'static str, file: &Path, text: &str) -> Result<(), WriteError> {
    std::fs::write(file, text).map_err(|source| WriteError {
        what,
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
