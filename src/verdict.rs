//! Do the gates hold, and do we know enough to say?
//!
//! [`judge`] is a pure function of the timeline, the findings and the gates. FAIL when a gate is
//! broken on evidence; else INCONCLUSIVE when the evidence of a gate is missing or the run itself
//! cannot be trusted; else PASS (design 6). Blindness never passes.

mod bound;
mod control;
mod exposure;
mod gate;
mod trust;

pub use bound::upper_bound;
pub use control::Control;
pub use exposure::{Bound, Exposure};
pub use gate::{Gate, GateStatus};
pub use trust::broken_slip;

use crate::attribution::Findings;
use crate::evidence::Timeline;
use crate::scenario::{Gates, MAX_BASELINE_FAILED};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The three verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Every gate holds on evidence.
    Pass,
    /// A gate is broken on evidence.
    Fail,
    /// We could not see enough.
    Inconclusive,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        })
    }
}

/// What a run may claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The verdict.
    pub outcome: Outcome,
    /// Why it is not a PASS, one sentence each; empty for a PASS.
    pub reasons: Vec<String>,
    /// The gates that apply, in the order of the design.
    pub gates: Vec<Gate>,
    /// How much was asked of terminating pods.
    pub exposure: Exposure,
    /// What the exposure supports.
    pub bound: Bound,
    /// What failed without a disruption.
    pub control: Control,
}

/// Judges a run.
pub fn judge(timeline: &Timeline, findings: &Findings, gates: &Gates, limits: &Limits) -> Verdict {
    let control = control::measure(timeline, limits.max_baseline_failed);
    let exposure = exposure::measure(timeline, findings);
    let gates = gate::evaluate(&gate::Input {
        timeline,
        findings,
        gates,
        control: &control,
        exposure: &exposure,
    });
    let distrust = trust::reasons(timeline, findings, &control);
    let mut reasons: Vec<String> = gates.iter().filter_map(Gate::complaint).collect();
    let broken = gates.iter().any(|gate| gate.status == GateStatus::Broken);
    let unknown = gates
        .iter()
        .any(|gate| gate.status == GateStatus::Inconclusive);
    let bound = exposure::bound(&exposure);
    let short = trust::short_of_bound(bound.per_request, limits.until_upper_bound);
    let outcome = if broken {
        Outcome::Fail
    } else if unknown || short.is_some() || !distrust.is_empty() {
        Outcome::Inconclusive
    } else {
        Outcome::Pass
    };
    // A run that failed had no more to repeat.
    reasons.extend(short.filter(|_| !broken));
    reasons.extend(distrust);
    Verdict {
        outcome,
        reasons,
        gates,
        bound,
        exposure,
        control,
    }
}

/// Limits of the run itself, beside its gates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The share of failed requests in the baseline beyond which nothing is said.
    pub max_baseline_failed: f64,
    /// The bound of the failure probability that the run was to be repeated for.
    pub until_upper_bound: Option<f64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_baseline_failed: MAX_BASELINE_FAILED,
            until_upper_bound: None,
        }
    }
}

#[cfg(test)]
mod tests;
