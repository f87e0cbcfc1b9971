//! Do the gates on what the clients saw hold?

use super::{Gate, GateStatus, Input, at_most, gate, millis, pods_unseen};
use crate::attribution::{Findings, Missing};
use crate::evidence::{EventKind, RunOffset, Timeline};
use crate::verdict::exposure::clients_counted;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Failures of the baseline and those that the control explains do not count. A noisy baseline
/// takes the gate its evidence. Of failures that were only counted nobody knows the cause: they count,
/// and where some of the others are excused, or the baseline failed too, they break nothing by
/// themselves. Those that the harness did not mean to leave out are evidence that is missing.
pub(super) fn max_failed(input: &Input<'_>) -> Option<Gate> {
    let limit = input.gates.max_failed? as f64;
    let (stored, excused) = blamed(input.timeline, input.findings);
    let unstored = input.timeline.unstored_failures();
    let observed = stored + unstored.of_disruption;
    let mut missing = BTreeSet::new();
    if requests_unseen(input) || unstored.lost || blind(input.timeline, "failures/") {
        missing.insert(Missing::Requests);
    }
    let mut result = at_most(
        "maxFailed",
        "requests",
        Some(observed as f64),
        limit,
        missing,
    );
    let by_unstored = stored as f64 <= limit && (excused || input.control.failed > 0);
    if result.status == GateStatus::Broken && (input.control.noisy || by_unstored) {
        result.status = GateStatus::Inconclusive;
    }
    Some(result)
}

/// Failed requests after the baseline that nothing excuses, and whether some are excused. One without
/// an attribution counts.
fn blamed(timeline: &Timeline, findings: &Findings) -> (u64, bool) {
    let start = timeline.disrupted_at();
    let excused: HashSet<u64> = findings
        .failures
        .iter()
        .filter(|failure| !failure.counts_against_rollout())
        .map(|failure| failure.event)
        .collect();
    let blamed = timeline.failed_requests().filter(|(event, request)| {
        let baseline = start.is_some_and(|start| request.end < start);
        !baseline && !excused.contains(event)
    });
    (blamed.count() as u64, !excused.is_empty())
}

/// A client counted nothing, or nothing of the rollout, or not everything.
fn requests_unseen(input: &Input<'_>) -> bool {
    !clients_counted(input.timeline) || idle_client(input) || blind(input.timeline, "requests/")
}

/// What a client did was not all recorded: its failures, however many its counts have, or its counts.
fn blind(timeline: &Timeline, what: &str) -> bool {
    timeline.events.iter().any(|event| match &event.kind {
        EventKind::Blind(gap) => gap.what.starts_with(what),
        _ => false,
    })
}

/// A client that sent nothing since the first pod was deleted, or since the disruption where none was,
/// saw nothing of the rollout.
fn idle_client(input: &Input<'_>) -> bool {
    let windows = input.findings.pods.iter().filter_map(|pod| pod.window);
    let deleted = windows.map(|window| window.lo).min();
    let from = deleted.max(input.timeline.disrupted_at());
    let last = last_sendings(input.timeline);
    let mut clients = input
        .timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Client(client) => Some(client.name.as_str()),
            _ => None,
        });
    clients.any(|client| last.get(client).is_none_or(|last| Some(*last) < from))
}

/// When each client last sent a request, as far as that is recorded.
fn last_sendings(timeline: &Timeline) -> HashMap<&str, RunOffset> {
    let mut last: HashMap<&str, RunOffset> = HashMap::new();
    for event in &timeline.events {
        let (client, sent) = match &event.kind {
            EventKind::Requests(counts) if counts.ok + counts.failed > 0 => {
                let sent = counts.latest_sent.unwrap_or(counts.bucket);
                (&counts.client, sent)
            }
            EventKind::RequestFailed(request) => {
                (&request.client, request.sent.unwrap_or(request.intended))
            }
            _ => continue,
        };
        let latest = last.entry(client).or_insert(sent);
        *latest = sent.max(*latest);
    }
    last
}

pub(super) fn min_exposure(input: &Input<'_>) -> Option<Gate> {
    let limit = input.gates.min_exposure? as f64;
    let mut missing = BTreeSet::new();
    if !input.exposure.counted {
        missing.insert(Missing::Requests);
    }
    missing.extend(pods_unseen(input));
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

/// The worst latency that was measured may break the gate, whatever other client was not seen.
pub(super) fn max_p99(input: &Input<'_>) -> Option<Gate> {
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
    let mut missing = BTreeSet::new();
    if worst.is_none() || requests_unseen(input) {
        missing.insert(Missing::Requests);
    }
    Some(at_most(
        "maxP99",
        "ms",
        worst.map(|nanos| nanos as f64 / 1e6),
        limit,
        missing,
    ))
}
