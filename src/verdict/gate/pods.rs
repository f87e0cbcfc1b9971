//! Gates on how the pods ended, what they lost, and what their logs say.

use super::{Gate, GateStatus, Input, at_most, gate, millis, pods_missing, watch_missing};
use crate::attribution::{Missing, PodFinding, SidecarKind};
use std::collections::BTreeSet;

pub(super) fn max_sigkills(input: &Input<'_>) -> Option<Gate> {
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

pub(super) fn max_outbound_failures(input: &Input<'_>) -> Option<Gate> {
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

/// Broken by a sidecar that ended before its app, and by one that never ends after it, which keeps a
/// Job from completing; inconclusive where the lead of a deleted pod's classic sidecar is unknown.
/// A native sidecar is signalled after the app by construction, so an unknown lead is no gap there.
pub(super) fn sidecar_outlives_app(input: &Input<'_>) -> Option<Gate> {
    if !input.gates.sidecar_outlives_app {
        return None;
    }
    let pods = with_sidecar(input);
    if pods.is_empty() {
        return None;
    }
    let left = pods
        .iter()
        .filter(|pod| {
            let of_sidecar = ["sidecar-exited-first", "sidecar-never-ended"];
            pod.hazards.iter().any(|h| of_sidecar.contains(&h.as_str()))
        })
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

pub(super) fn min_drain_margin(input: &Input<'_>) -> Option<Gate> {
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

pub(super) fn max_log_matches(input: &Input<'_>) -> Option<Gate> {
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

pub(super) fn max_masked(input: &Input<'_>) -> Option<Gate> {
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
