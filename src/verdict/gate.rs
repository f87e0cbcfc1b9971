//! Does each gate hold, and was its evidence seen?

mod clients;
mod pods;

use super::control::Control;
use super::exposure::Exposure;
use crate::attribution::{Findings, Missing, PodFinding};
use crate::evidence::{Event, EventKind, Origin, Resource, RunOffset, Timeline};
use crate::scenario::Gates;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// One condition and how it fared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Its name in the scenario.
    pub name: String,
    /// How it fared.
    pub status: GateStatus,
    /// What was seen, in `unit`; `None` where nothing was.
    pub observed: Option<f64>,
    /// The limit, in `unit`.
    pub limit: f64,
    /// `requests`, `containers`, `calls`, `pods`, `lines` or `ms`.
    pub unit: String,
    /// The evidence that was not seen.
    pub missing: Vec<Missing>,
}

/// How a gate fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateStatus {
    /// On evidence.
    Held,
    /// On evidence.
    Broken,
    /// Its evidence was not seen.
    Inconclusive,
}

impl Gate {
    /// What was seen, with its unit: `1 request`, `73 requests`, `nothing`.
    pub fn observed_words(&self) -> String {
        match self.observed {
            None => "nothing".to_owned(),
            Some(1.0) => {
                let singular = self.unit.strip_suffix('s').filter(|unit| *unit != "m");
                format!("1 {}", singular.unwrap_or(&self.unit))
            }
            Some(observed) => format!("{observed} {}", self.unit),
        }
    }

    /// Why it does not hold, in one sentence.
    pub(super) fn complaint(&self) -> Option<String> {
        let (name, seen, limit) = (&self.name, self.observed_words(), self.limit);
        match self.status {
            GateStatus::Held => None,
            GateStatus::Broken => Some(format!("{name} is broken: {seen}, limit {limit}")),
            GateStatus::Inconclusive => Some(format!(
                "{name} is inconclusive: {seen} seen, limit {limit}{}",
                not_seen(&self.missing)
            )),
        }
    }
}

fn not_seen(missing: &[Missing]) -> String {
    if missing.is_empty() {
        return String::new();
    }
    let names: Vec<String> = missing
        .iter()
        .map(|missing| serde_json::to_value(missing).expect("a plain name"))
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    format!("; not seen: {}", names.join(", "))
}

/// What gates are judged by.
pub(super) struct Input<'a> {
    pub(super) timeline: &'a Timeline,
    pub(super) findings: &'a Findings,
    pub(super) gates: &'a Gates,
    pub(super) control: &'a Control,
    pub(super) exposure: &'a Exposure,
}

/// The gates that are on and can apply, in the order of the design.
pub(super) fn evaluate(input: &Input<'_>) -> Vec<Gate> {
    [
        clients::max_failed(input),
        clients::min_exposure(input),
        pods::max_sigkills(input),
        pods::max_outbound_failures(input),
        pods::sidecar_outlives_app(input),
        pods::min_drain_margin(input),
        clients::max_p99(input),
        pods::max_log_matches(input),
        pods::max_masked(input),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A gate on a maximum: broken beyond it whatever else is missing, since more cannot make it less.
fn at_most(
    name: &str,
    unit: &str,
    observed: Option<f64>,
    limit: f64,
    missing: BTreeSet<Missing>,
) -> Gate {
    let status = match observed {
        Some(observed) if observed > limit => GateStatus::Broken,
        Some(_) if missing.is_empty() => GateStatus::Held,
        _ => GateStatus::Inconclusive,
    };
    gate(name, unit, status, observed, limit, missing)
}

fn gate(
    name: &str,
    unit: &str,
    status: GateStatus,
    observed: Option<f64>,
    limit: f64,
    missing: BTreeSet<Missing>,
) -> Gate {
    Gate {
        name: name.to_owned(),
        status,
        observed,
        limit,
        unit: unit.to_owned(),
        missing: missing.into_iter().collect(),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Of the given kinds, what is missing of any of the pods.
fn pods_missing<'a>(
    pods: impl Iterator<Item = &'a PodFinding>,
    kinds: &[Missing],
) -> BTreeSet<Missing> {
    pods.flat_map(|pod| pod.missing.iter().copied())
        .filter(|missing| kinds.contains(missing))
        .collect()
}

/// The pods' watch was lost and did not come back, which hides the pods whose end came after that; or
/// it delivered nothing of a pod. An import whose watch was silent since the disruption may not have
/// been watched at all by then: its recorder does not say.
fn pods_unseen(input: &Input<'_>) -> Option<Missing> {
    let timeline = input.timeline;
    let watched = match timeline.run.origin {
        Origin::Live => RunOffset(i64::MIN),
        Origin::Import => timeline.disrupted_at().unwrap_or(RunOffset(i64::MIN)),
    };
    let shown = |event: &Event| {
        let pod = matches!(
            &event.kind,
            EventKind::Object {
                resource: Resource::Pods,
                ..
            }
        );
        pod && event.at.hi >= watched
    };
    let lost = |kind: &EventKind| match kind {
        EventKind::Blind(blind) => blind.what == "pods" && timeline.is_lost(blind),
        _ => false,
    };
    let mut events = timeline.events.iter();
    let nobody = input.findings.pods.is_empty() && !events.clone().any(shown);
    let unseen = nobody || events.any(|event| lost(&event.kind));
    unseen.then_some(Missing::Pods)
}
