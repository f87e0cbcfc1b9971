//! Does each gate hold, and was its evidence seen?

use super::control::{Control, baseline_failures};
use super::exposure::{Exposure, clients_counted};
use super::{counts_against_rollout, disruption_start};
use crate::attribution::{Findings, Missing, PodFinding, SidecarKind};
use crate::evidence::{EventKind, Timeline};
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
    /// Why it does not hold, in one sentence.
    pub(super) fn complaint(&self) -> Option<String> {
        let observed = self.observed.map_or_else(
            || "nothing".to_owned(),
            |observed| format!("{observed} {}", self.unit),
        );
        match self.status {
            GateStatus::Held => None,
            GateStatus::Broken => Some(format!(
                "{} is broken: {observed}, limit {} {}",
                self.name, self.limit, self.unit
            )),
            GateStatus::Inconclusive => Some(format!(
                "{} is inconclusive: {observed} seen, limit {} {}{}",
                self.name,
                self.limit,
                self.unit,
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
        max_failed(input),
        min_exposure(input),
        max_sigkills(input),
        max_outbound_failures(input),
        sidecar_outlives_app(input),
        min_drain_margin(input),
        max_p99(input),
        max_log_matches(input),
        max_masked(input),
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

/// Failures of the baseline and those that the control explains do not count. A noisy baseline
/// takes the gate its evidence.
fn max_failed(input: &Input<'_>) -> Option<Gate> {
    let limit = input.gates.max_failed? as f64;
    let baseline = disruption_start(input.timeline)
        .map(|start| baseline_failures(input.timeline, input.findings, start))
        .unwrap_or_default();
    let stored = input
        .findings
        .failures
        .iter()
        .filter(|failure| counts_against_rollout(failure.cause))
        .filter(|failure| !baseline.contains(&failure.event))
        .count() as u64;
    let observed = stored + unstored_failures(input.timeline);
    let mut missing = BTreeSet::new();
    if !clients_counted(input.timeline) || total_requests(input.timeline) == 0 {
        missing.insert(Missing::Requests);
    }
    let mut result = at_most(
        "maxFailed",
        "requests",
        Some(observed as f64),
        limit,
        missing,
    );
    if input.control.noisy && result.status == GateStatus::Broken {
        result.status = GateStatus::Inconclusive;
    }
    Some(result)
}

fn unstored_failures(timeline: &Timeline) -> u64 {
    timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Harness(health) if health.scope == "total" => Some(health.unstored_failures),
            _ => None,
        })
        .sum()
}

fn total_requests(timeline: &Timeline) -> u64 {
    timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Requests(counts) => Some(counts.ok + counts.failed),
            _ => None,
        })
        .sum()
}

fn min_exposure(input: &Input<'_>) -> Option<Gate> {
    let limit = input.gates.min_exposure? as f64;
    let mut missing = BTreeSet::new();
    if !input.exposure.counted {
        missing.insert(Missing::Requests);
    }
    missing.extend(watch_missing(input, "pods", Missing::Pods));
    let observed = input.exposure.requests as f64;
    let status = if observed >= limit && missing.is_empty() {
        GateStatus::Held
    } else {
        // Too little was asked: that says nothing against the rollout.
        GateStatus::Inconclusive
    };
    Some(gate(
        "minExposure",
        "requests",
        status,
        Some(observed),
        limit,
        missing,
    ))
}

fn max_sigkills(input: &Input<'_>) -> Option<Gate> {
    let limit = input.gates.max_sigkills? as f64;
    let killed = input
        .findings
        .pods
        .iter()
        .flat_map(|pod| &pod.hazards)
        .filter(|hazard| hazard.starts_with("sigkill:"))
        .count();
    let mut missing = pods_missing(
        input.findings.pods.iter(),
        &[Missing::Pods, Missing::ExitCodes],
    );
    missing.extend(watch_missing(input, "pods", Missing::Pods));
    Some(at_most(
        "maxSigkills",
        "containers",
        Some(killed as f64),
        limit,
        missing,
    ))
}

fn with_sidecar(input: &Input<'_>) -> Vec<PodFinding> {
    let pods = input.findings.pods.iter();
    pods.filter(|pod| pod.sidecar.is_some()).cloned().collect()
}

fn max_outbound_failures(input: &Input<'_>) -> Option<Gate> {
    let limit = input.gates.max_outbound_failures? as f64;
    let pods = with_sidecar(input);
    if pods.is_empty() {
        return None;
    }
    let lost: u64 = pods.iter().filter_map(|pod| pod.outbound_failures).sum();
    let mut missing = BTreeSet::new();
    for pod in pods.iter().filter(|pod| pod.outbound_failures.is_none()) {
        let relevant = [
            Missing::AppLogs,
            Missing::AgentLogs,
            Missing::ExitCodes,
            Missing::Pods,
        ];
        let before = missing.len();
        missing.extend(pods_missing([pod].into_iter(), &relevant));
        if missing.len() == before {
            missing.insert(Missing::AppLogs);
        }
    }
    Some(at_most(
        "maxOutboundFailures",
        "calls",
        Some(lost as f64),
        limit,
        missing,
    ))
}

/// Broken by the hazard; inconclusive where the lead of a deleted pod's classic sidecar is unknown.
/// A native sidecar is signalled after the app by construction, so an unknown lead is no gap there.
fn sidecar_outlives_app(input: &Input<'_>) -> Option<Gate> {
    if !input.gates.sidecar_outlives_app {
        return None;
    }
    let pods = with_sidecar(input);
    if pods.is_empty() {
        return None;
    }
    let left = pods
        .iter()
        .filter(|pod| pod.hazards.iter().any(|h| h == "sidecar-exited-first"))
        .count();
    let unknown = pods.iter().filter(|pod| {
        pod.window.is_some()
            && pod.sidecar_lead_s.is_none()
            && (pod.sidecar == Some(SidecarKind::Classic)
                || pod.missing.contains(&Missing::ExitCodes))
    });
    let mut missing = BTreeSet::new();
    for pod in unknown {
        let relevant = [Missing::AgentLogs, Missing::ExitCodes, Missing::Pods];
        let of_pod = pods_missing([pod].into_iter(), &relevant);
        missing.extend(if of_pod.is_empty() {
            BTreeSet::from([Missing::AgentLogs])
        } else {
            of_pod
        });
    }
    Some(at_most(
        "sidecarOutlivesApp",
        "pods",
        Some(left as f64),
        0.0,
        missing,
    ))
}

fn min_drain_margin(input: &Input<'_>) -> Option<Gate> {
    let limit = millis(input.gates.min_drain_margin?);
    let deleted: Vec<&PodFinding> = input
        .findings
        .pods
        .iter()
        .filter(|pod| pod.window.is_some())
        .collect();
    let observed = deleted.iter().filter_map(|pod| pod.margin_ms).min();
    let mut missing = BTreeSet::new();
    for pod in deleted.iter().filter(|pod| pod.margin_ms.is_none()) {
        let of_pod: BTreeSet<Missing> = pod.missing.iter().copied().collect();
        missing.extend(if of_pod.is_empty() {
            BTreeSet::from([Missing::AppLogs])
        } else {
            of_pod
        });
    }
    let status = match observed {
        Some(observed) if (observed as f64) < limit => GateStatus::Broken,
        Some(_) if missing.is_empty() => GateStatus::Held,
        _ => GateStatus::Inconclusive,
    };
    Some(gate(
        "minDrainMargin",
        "ms",
        status,
        observed.map(|ms| ms as f64),
        limit,
        missing,
    ))
}

fn max_p99(input: &Input<'_>) -> Option<Gate> {
    let limit = millis(input.gates.max_p99?);
    let worst = input
        .timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Latency(latency) if latency.count > 0 => Some(latency.p99),
            _ => None,
        })
        .max();
    let missing = match worst {
        Some(_) => BTreeSet::new(),
        None => BTreeSet::from([Missing::Requests]),
    };
    Some(at_most(
        "maxP99",
        "ms",
        worst.map(|nanos| nanos as f64 / 1e6),
        limit,
        missing,
    ))
}

fn max_log_matches(input: &Input<'_>) -> Option<Gate> {
    let limit = input.gates.max_log_matches? as f64;
    let mut missing = pods_missing(
        input.findings.pods.iter(),
        &[Missing::AppLogs, Missing::AgentLogs, Missing::AccessLogs],
    );
    if input.timeline.logs.is_empty() {
        missing.insert(Missing::AppLogs);
    }
    Some(at_most(
        "maxLogMatches",
        "lines",
        Some(input.findings.log_matches as f64),
        limit,
        missing,
    ))
}

fn max_masked(input: &Input<'_>) -> Option<Gate> {
    let limit = input.gates.max_masked? as f64;
    if with_sidecar(input).is_empty() && input.findings.masked.is_none() {
        return None;
    }
    let missing = match input.findings.masked {
        Some(_) => BTreeSet::new(),
        None => BTreeSet::from([Missing::AccessLogs]),
    };
    let observed = input.findings.masked.map(|masked| masked as f64);
    Some(at_most("maxMasked", "requests", observed, limit, missing))
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

/// A watch that never delivered anything is missing for every pod, named or not.
fn watch_missing(input: &Input<'_>, what: &str, missing: Missing) -> Option<Missing> {
    input
        .timeline
        .events
        .iter()
        .any(|event| match &event.kind {
            EventKind::Blind(blind) => {
                blind.what == what && blind.from.is_none() && blind.to.is_none()
            }
            _ => false,
        })
        .then_some(missing)
}
