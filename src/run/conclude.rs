//! How does a stored run become a report?

use crate::attribution::{Findings, attribute};
use crate::evidence::{self, Origin, RunDir, RunInfo, Timeline};
use crate::report::Report;
use crate::scenario::{Gates, Plan};
use crate::verdict::{Limits, judge};
use serde_json::Value;
use std::io;
use std::path::PathBuf;

/// A run that was judged.
#[derive(Clone, Debug)]
pub struct Conclusion {
    /// The frozen record.
    pub timeline: Timeline,
    /// What attribution found.
    pub findings: Findings,
    /// What is told.
    pub report: Report,
}

/// Why a run could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The record could not be read.
    #[error("failed to read the run")]
    Record(#[from] evidence::Error),
    /// The plan in `run.json` is not one that this version reads.
    #[error("`plan` in `{}` is neither a plan nor gates", path.display())]
    Plan {
        /// `run.json`.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Judging it panicked.
    #[error(
        "failed to judge the run: a part of this program panicked\n\
         hint: the record is whole; `lastwatch replay` judges it again"
    )]
    Panicked,
    /// The report could not be written.
    #[error("failed to write `{}`", path.display())]
    Report {
        /// `report.json`.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Judges a stored run. Reads only; [`Conclusion::store`] writes `report.json`.
pub fn conclude(run: &RunDir) -> Result<Conclusion, Error> {
    let timeline = run.timeline()?;
    let (gates, limits) = conditions(&timeline.run).map_err(|source| Error::Plan {
        path: run.path().join("run.json"),
        source,
    })?;
    Ok(conclude_timeline(timeline, &gates, &limits))
}

/// Judges a timeline by gates.
pub fn conclude_timeline(timeline: Timeline, gates: &Gates, limits: &Limits) -> Conclusion {
    let findings = attribute(&timeline);
    let verdict = judge(&timeline, &findings, gates, limits);
    let report = Report::new(&timeline, findings.clone(), verdict);
    Conclusion {
        timeline,
        findings,
        report,
    }
}

impl Conclusion {
    /// Writes `report.json` into the run's directory.
    pub fn store(&self, run: &RunDir) -> Result<(), Error> {
        let path = run.path().join("report.json");
        std::fs::write(&path, crate::report::json(&self.report))
            .map_err(|source| Error::Report { path, source })
    }
}

/// The gates and limits of a run: those of its plan, or the bare gates of an import, or the
/// defaults of its origin.
fn conditions(run: &RunInfo) -> Result<(Gates, Limits), serde_json::Error> {
    match &run.plan {
        Value::Null => Ok((
            match run.origin {
                Origin::Live => Gates::default(),
                Origin::Import => Gates::for_import(),
            },
            Limits::default(),
        )),
        plan if plan.get("gates").is_some() => {
            let plan: Plan = serde_json::from_value(plan.clone())?;
            let limits = Limits {
                max_baseline_failed: plan.max_baseline_failed,
                // A capture was not repeated by us.
                until_upper_bound: (run.origin == Origin::Live)
                    .then_some(plan.repeat.until_upper_bound)
                    .flatten(),
            };
            Ok((plan.gates, limits))
        }
        gates => Ok((serde_json::from_value(gates.clone())?, Limits::default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(origin: Origin, plan: Value) -> RunInfo {
        RunInfo {
            schema_version: 1,
            tool_version: "0".into(),
            id: "r".into(),
            origin,
            argv: vec![],
            started_at: 0,
            cluster: "c".into(),
            namespace: "n".into(),
            workload: None,
            service: None,
            plan,
        }
    }

    #[test]
    fn an_import_without_a_scenario_has_the_defaults_without_exposure() {
        let (gates, _) = conditions(&run(Origin::Import, Value::Null)).expect("defaults");
        assert_eq!(gates, Gates::for_import());
        let (gates, _) = conditions(&run(Origin::Live, Value::Null)).expect("defaults");
        assert_eq!(gates, Gates::default());
    }

    #[test]
    fn bare_gates_are_taken_as_they_are() {
        let strict = Gates {
            max_masked: Some(3),
            ..Gates::default()
        };
        let value = serde_json::to_value(&strict).expect("plain data");
        let (gates, _) = conditions(&run(Origin::Import, value)).expect("gates");
        assert_eq!(gates, strict);
    }
}
