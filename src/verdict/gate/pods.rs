//! Do the gates on how the pods ended, what they lost and what their logs say hold?

use super::{Gate, GateStatus, Input, at_most, gate, millis, pods_missing, pods_unseen};
use crate::attribution::{LEFT_FIRST_S, Missing, PodFinding, SidecarKind};
use crate::evidence::{EventKind, RunOffset, Timeline, is_proxy};
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
    missing.extend(pods_unseen(input));
    Some(at_most(
        "maxSigkills",
        "containers",
        Some(killed as f64),
        limit,
        missing,
    ))
}

/// The pods with a sidecar. Where there are such, one whose containers were not seen may have one.
fn with_sidecar(input: &Input<'_>) -> Vec<PodFinding> {
    let pods = || input.findings.pods.iter();
    let any = pods().any(|pod| pod.sidecar.is_some());
    let may_have = |pod: &&PodFinding| any && pod.missing.contains(&Missing::Pods);
    pods()
        .filter(|pod| pod.sidecar.is_some() || may_have(pod))
        .cloned()
        .collect()
}

pub(super) fn max_outbound_failures(input: &Input<'_>) -> Option<Gate> {
    let limit = input.gates.max_outbound_failures? as f64;
    let pods = with_sidecar(input);
    if pods.is_empty() {
        return None;
    }
    let lost: u64 = pods.iter().filter_map(|pod| pod.outbound_failures).sum();
    let mut missing = BTreeSet::new();
    let in_doubt = |pod: &&PodFinding| {
        pod.outbound_failures.is_none()
            || pod.window.is_some() && pod.missing.contains(&Missing::AppLogs)
    };
    for pod in pods.iter().filter(in_doubt) {
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
/// Job from completing; inconclusive where the lead of a deleted pod's classic sidecar is unknown,
/// or known so badly that it may have been one.
/// A native sidecar is signalled after the app by construction, so an unknown lead is no gap there,
/// unless the grace period ran out: then both are signalled at once (facts 1.4).
pub(super) fn sidecar_outlives_app(input: &Input<'_>) -> Option<Gate> {
    if !input.gates.sidecar_outlives_app {
        return None;
    }
    let pods = with_sidecar(input);
    if pods.is_empty() {
        return None;
    }
    let left = |pod: &&PodFinding| {
        let of_sidecar = ["sidecar-exited-first", "sidecar-never-ended"];
        pod.hazards.iter().any(|h| of_sidecar.contains(&h.as_str()))
    };
    let unknown = pods.iter().filter(|pod| {
        pod.window.is_some()
            && !left(pod)
            && if pod.sidecar == Some(SidecarKind::Classic) {
                pod.sidecar_lead_s.is_none() || may_have_left_first(pod)
            } else {
                let unseen = [Missing::ExitCodes, Missing::Pods];
                match pod.sidecar_lead_s {
                    Some(_) => out_of_grace(pod) && may_have_left_first(pod),
                    None => out_of_grace(pod) || unseen.iter().any(|it| pod.missing.contains(it)),
                }
            }
    });
    let mut missing = BTreeSet::new();
    for pod in unknown {
        let relevant = [Missing::AgentLogs, Missing::ExitCodes, Missing::Pods];
        let of_pod = pods_missing([pod].into_iter(), &relevant);
        // All was seen but the last word of an app, which would have told more than a second.
        missing.extend(if of_pod.is_empty() {
            BTreeSet::from([Missing::AppLogs])
        } else {
            of_pod
        });
    }
    Some(at_most(
        "sidecarOutlivesApp",
        "pods",
        Some(pods.iter().filter(left).count() as f64),
        0.0,
        missing,
    ))
}

/// A container was killed at the end of the grace period, or a hook used it up.
fn out_of_grace(pod: &PodFinding) -> bool {
    let signs = ["sigkill:", "prestop-failed:"];
    let of_grace = |hazard: &String| signs.iter().any(|sign| hazard.starts_with(sign));
    pod.hazards.iter().any(of_grace)
}

/// What is known of both ends allows that the sidecar left its app alone. Without last words their
/// stamps, floored to a second, are all that tells of the order.
fn may_have_left_first(pod: &PodFinding) -> bool {
    pod.sidecar_lead_between_s
        .is_some_and(|(_, most)| most > LEFT_FIRST_S)
}

/// An app that went on accepting where its log was not seen may have stopped earlier: then what was
/// measured is an upper bound, which can break the gate and not hold it. Where the pod or its
/// endpoint was not seen, nothing was measured.
pub(super) fn min_drain_margin(input: &Input<'_>) -> Option<Gate> {
    let limit = millis(input.gates.min_drain_margin?);
    let deleted: Vec<&PodFinding> = input
        .findings
        .pods
        .iter()
        .filter(|pod| pod.window.is_some())
        .collect();
    let measured = |pod: &&&PodFinding| {
        let unseen = [Missing::Pods, Missing::Slices];
        !unseen.iter().any(|what| pod.missing.contains(what))
    };
    let measured = deleted.iter().filter(measured);
    let observed = measured.filter_map(|pod| pod.margin_ms).min();
    let needed = [Missing::Pods, Missing::Slices, Missing::AppLogs];
    let mut missing = pods_missing(deleted.iter().copied(), &needed);
    for pod in deleted.iter().filter(|pod| pod.margin_ms.is_none()) {
        missing.extend(if pod.missing.is_empty() {
            // Its ends were seen, so it is the endpoint that was not.
            vec![Missing::Slices]
        } else {
            pod.missing.clone()
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
    missing.extend(holes_of_logs(input.timeline));
    if input.timeline.logs.is_empty() {
        missing.insert(Missing::AppLogs);
    }
    let observed = input.findings.log_matches as f64;
    let mut gate = at_most("maxLogMatches", "lines", Some(observed), limit, missing);
    leave_room(&mut gate, input.findings.log_matches_unsure);
    Some(gate)
}

pub(super) fn max_masked(input: &Input<'_>) -> Option<Gate> {
    let limit = input.gates.max_masked? as f64;
    if with_sidecar(input).is_empty() && input.findings.masked.is_none() {
        return None;
    }
    let mut missing = holes_of_logs(input.timeline);
    missing.retain(|missing| *missing == Missing::AccessLogs);
    let of_pods = pods_missing(input.findings.pods.iter(), &[Missing::AccessLogs]);
    missing.extend(of_pods);
    if input.findings.masked.is_none() {
        missing.insert(Missing::AccessLogs);
    }
    // Not measured, what was seen by chance may break the gate and never hold it.
    let seen = Some(input.findings.masked_at_least).filter(|seen| *seen > 0);
    let observed = input.findings.masked.or(seen).map(|masked| masked as f64);
    let mut gate = at_most("maxMasked", "requests", observed, limit, missing);
    leave_room(&mut gate, input.findings.masked_unsure);
    Some(gate)
}

/// Lines of which no clock says whether they came before the disruption break no gate, and where
/// they would, it is not held either.
fn leave_room(gate: &mut Gate, unsure: u64) {
    let at_most = gate.observed.unwrap_or(0.0) + unsure as f64;
    if gate.status == GateStatus::Held && at_most > gate.limit {
        gate.status = GateStatus::Inconclusive;
    }
}

/// What may be missing of any log since the disruption began, whatever pod it is of.
fn holes_of_logs(timeline: &Timeline) -> BTreeSet<Missing> {
    let start = timeline.disrupted_at().unwrap_or(RunOffset(i64::MIN));
    let mut missing = BTreeSet::new();
    for event in &timeline.events {
        let EventKind::Blind(gap) = &event.kind else {
            continue;
        };
        if gap.to.is_some_and(|to| to < start) {
            continue;
        }
        let container = gap
            .what
            .strip_prefix("logs/")
            .and_then(|log| log.split('/').nth(1));
        match container {
            Some(name) if is_proxy(name) => {
                missing.extend([Missing::AgentLogs, Missing::AccessLogs]);
            }
            Some(_) => {
                missing.insert(Missing::AppLogs);
            }
            None if gap.what == "logs" => {
                missing.extend([Missing::AppLogs, Missing::AgentLogs, Missing::AccessLogs]);
            }
            None => {}
        }
    }
    missing
}
