//! How does a rollout that somebody recorded with kubectl become a run?
//!
//! [`import`] reads a capture (design 5: watches, logs, what clients saw) and writes an ordinary
//! run directory, so that `replay` and `explain` work on a rollout that this tool did not drive.
//! Every part may be missing; what is missing is recorded as blindness. Lines that cannot be read
//! are reported with file and line and never end the import. What a capture says about its own
//! truth (`labels.jsonl`, `pods.json`, `truth/`, `title`) is never opened.

mod client;
mod contradiction;
mod gathered;
mod logs;
mod target;
mod watch;

pub use gathered::Fault;

use crate::evidence::{Origin, RunInfo, RunWriter, SCHEMA_VERSION};
use gathered::Gathered;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What overrules the detection of the target, and what the run is judged by.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// `deployment/demo` instead of the detected workload.
    pub workload: Option<String>,
    /// The Service instead of the detected one.
    pub service: Option<String>,
    /// The plan of a scenario, serialised; `Null` for the defaults of an import.
    pub plan: Value,
    /// The command line, for `run.json`.
    pub argv: Vec<String>,
}

/// What an import found.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What was written to `run.json`.
    pub info: RunInfo,
    /// Lines that could not be read.
    pub faults: Vec<Fault>,
    /// Events written.
    pub events: u64,
    /// Failed requests among them.
    pub failures: u64,
    /// Evidence that the capture lacks, in words.
    pub blind: Vec<String>,
}

/// Why a capture could not be imported at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be read.
    #[error(
        "failed to read the capture `{}`\n\
         hint: name the folder that `scripts/capture --out` wrote, or one laid out alike (docs/capture.md)",
        path.display()
    )]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder holds nothing of a capture.
    #[error(
        "`{}` holds no watch, no log and no client of a capture\n\
         hint: they are looked for as `pods.watch.jsonl`, `logs/POD/CONTAINER.log` and \
         `client/NAME/requests.tsv` in it (docs/capture.md)",
        .0.display()
    )]
    Empty(PathBuf),
    /// The output is there already.
    #[error("`{}` exists and is not empty\nhint: name a new folder with `--out`", .0.display())]
    Exists(PathBuf),
    /// What overrules the detection is not in the capture.
    #[error("the capture has no {what} `{name}`\nhint: it has {}", list(.present))]
    Absent {
        /// `workload` or `Service`.
        what: &'static str,
        /// As it was typed.
        name: String,
        /// Those that it has.
        present: BTreeSet<String>,
    },
    /// The run could not be written.
    #[error("failed to write the imported run")]
    Write(#[from] crate::evidence::Error),
}

fn list(names: &BTreeSet<String>) -> String {
    let quoted = names.iter().map(|name| format!("`{name}`"));
    let quoted: Vec<String> = quoted.collect();
    if quoted.is_empty() {
        return "none".to_owned();
    }
    quoted.join(", ")
}

/// Reads the capture and writes the run directory `out`.
pub fn import(capture: &Path, out: &Path, options: &ImportOptions) -> Result<Imported, Error> {
    fs::read_dir(capture).map_err(|source| Error::Read {
        path: capture.to_owned(),
        source,
    })?;
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::Exists(out.to_owned()));
    }
    let mut gathered = Gathered::default();
    watch::read_all(capture, &mut gathered);
    client::read_all(capture, &mut gathered);
    logs::read_all(capture, &mut gathered);
    logs::read_action(capture, &mut gathered);
    if gathered.is_empty() {
        return Err(Error::Empty(capture.to_owned()));
    }
    contradiction::find(&mut gathered);
    target::check(&gathered, options)?;
    let target = target::detect(&gathered, options);
    logs::note_missing(&target, &mut gathered);
    let info = RunInfo {
        schema_version: SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        id: format!("import-{}", gathered.started_at() / 1_000_000_000),
        origin: Origin::Import,
        argv: options.argv.clone(),
        started_at: gathered.started_at(),
        cluster: capture.display().to_string(),
        namespace: target.namespace,
        workload: target.workload,
        service: target.service,
        plan: options.plan.clone(),
    };
    let mut writer = RunWriter::create(out, &info)?;
    let (events, failures, blind) = gathered.write(&info, &mut writer)?;
    writer.flush()?;
    Ok(Imported {
        info,
        faults: gathered.into_faults(),
        events,
        failures,
        blind,
    })
}

#[cfg(test)]
mod tests;
