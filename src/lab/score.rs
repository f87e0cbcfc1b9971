//! How often was attribution right, by what the lab itself knows?
//!
//! [`score`] derives the true cause of every failed request of a run from `truth.jsonl`, by the
//! table of causes, and what became of its pods, and compares it with what `report.json` says. It
//! never looks at the evidence from which attribution judged, and attribution never sees the truth.

mod compare;
mod derive;
mod history;
mod pods;
#[cfg(test)]
mod testing;

pub use compare::{CauseScore, Score};
pub use pods::{PodFacts, PodScore};

use crate::evidence::{self, EventKind, FailedRequest, RunDir};
use crate::lab::truth::Record;
use derive::true_cause;
use history::History;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a run cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] evidence::Error),
    /// A file of the run cannot be read.
    #[error("failed to read `{}`\nhint: only a run in the lab has a truth (`lastwatch run SCENARIO --lab`)", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the run is not what it should be.
    #[error("`{}` line {line} cannot be read", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

/// Compares the run's attribution with the truth.
pub fn score(run: &Path) -> Result<Score, Error> {
    let folder = RunDir::new(run);
    let info = folder.info()?;
    let timeline = folder.timeline()?;
    let records = read_truth(&run.join("truth.jsonl"))?;
    let until = records.iter().map(|record| record.t).max().unwrap_or(0);
    let history = History::new(records);
    let report = read_report(&run.join("report.json"))?;
    let said = causes(&report);
    let failures = timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::RequestFailed(failure) => Some(failure.as_ref()),
            _ => None,
        });
    let judged = failures.map(|failure: &FailedRequest| {
        let truth = true_cause(failure, info.started_at, &history);
        let said = said.get(&failure.request_id).cloned();
        (truth, said)
    });
    Ok(Score {
        pods: pods::compare(&report, &history, until),
        ..Score::new(judged)
    })
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn read_truth(path: &Path) -> Result<Vec<Record>, Error> {
    read(path)?
        .lines()
        .zip(1..)
        .map(|(text, line)| {
            serde_json::from_str(text).map_err(|source| Error::Format {
                path: path.to_owned(),
                line,
                source,
            })
        })
        .collect()
}

fn read_report(path: &Path) -> Result<Value, Error> {
    serde_json::from_str(&read(path)?).map_err(|source| Error::Format {
        path: path.to_owned(),
        line: 1,
        source,
    })
}

/// The cause that the report names for each request.
fn causes(report: &Value) -> BTreeMap<String, String> {
    let failures = report["failures"].as_array().into_iter().flatten();
    failures
        .filter_map(|failure| {
            let id = failure["request_id"].as_str()?;
            Some((id.to_owned(), failure["cause"].as_str()?.to_owned()))
        })
        .collect()
}
