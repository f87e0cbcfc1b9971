//! How does the record become a report?

use super::advice::{advise, withheld};
use super::model::{
    CauseSummary, ClientSummary, FailureEntry, HarnessSummary, REPORT_VERSION, Report, RunSummary,
};
use super::place::place;
use super::words::{meaning, seen};
use crate::attribution::{Attribution, Cause, Confidence, Findings, Hop};
use crate::evidence::{EventKind, FailedRequest, Origin, RunInfo, Timeline};
use crate::verdict::{self, Verdict};
use std::collections::{BTreeMap, HashMap};

impl Report {
    /// Builds the report of a judged run.
    pub fn new(timeline: &Timeline, findings: Findings, verdict: Verdict) -> Self {
        let requests: HashMap<u64, &FailedRequest> = timeline.failed_requests().collect();
        let failures: Vec<FailureEntry> = findings
            .failures
            .iter()
            .filter_map(|found| Some(entry(found, requests.get(&found.event)?)))
            .collect();
        let clients = clients(timeline);
        let causes = causes(&failures, &findings, &clients);
        let advice = match broken_slip(timeline) {
            Some(slip) => vec![withheld(&slip)],
            None => advise(&failures, &findings.pods),
        };
        Self {
            schema_version: REPORT_VERSION,
            verdict: verdict.outcome,
            reasons: verdict.reasons,
            run: run_summary(timeline),
            gates: verdict.gates,
            exposure: verdict.exposure,
            bound: verdict.bound,
            control: verdict.control,
            clients,
            causes,
            advice,
            pods: findings.pods,
            outbound: findings.outbound,
            masked: findings.masked,
            masked_at_least: findings.masked_at_least,
            doubled: findings.doubled,
            masked_hint: findings.masked_hint,
            blindness: blindness(timeline),
            logs_not_understood: findings.logs_not_understood,
            clocks: findings.clocks,
            latency: latency(timeline),
            harness: harness(timeline),
            failures,
        }
    }
}

/// The harness was too slow for its figures to be trusted.
fn broken_slip(timeline: &Timeline) -> Option<String> {
    timeline.events.iter().find_map(|event| match &event.kind {
        EventKind::Harness(health) => verdict::broken_slip(health),
        _ => None,
    })
}

fn entry(found: &Attribution, request: &FailedRequest) -> FailureEntry {
    FailureEntry {
        client: found.client.clone(),
        request_id: found.request_id.clone(),
        event: found.event,
        sent: request.sent.unwrap_or(request.intended).as_secs_f64(),
        end: request.end.as_secs_f64(),
        seen: seen(request),
        cause: found.cause,
        confidence: found.confidence,
        hop: found.hop,
        pod: found.pod.clone(),
        runner_up: found.runner_up.clone(),
        modifiers: found.modifiers.clone(),
        evidence: found.evidence.clone(),
    }
}

/// The most frequent first; among equals in the order of the design.
fn causes(
    failures: &[FailureEntry],
    findings: &Findings,
    clients: &[ClientSummary],
) -> Vec<CauseSummary> {
    let mut by_cause: BTreeMap<Cause, Vec<&FailureEntry>> = BTreeMap::new();
    for failure in failures {
        by_cause.entry(failure.cause).or_default().push(failure);
    }
    let mut causes: Vec<CauseSummary> = by_cause
        .into_iter()
        .map(|(cause, failures)| cause_summary(cause, &failures, clients))
        .collect();
    count_calls(&mut causes, findings);
    causes.sort_by_key(|summary| std::cmp::Reverse(summary.count + summary.calls));
    causes
}

/// Calls are lost between a sidecar's end and its app's (design 6): that is one cause.
fn count_calls(causes: &mut Vec<CauseSummary>, findings: &Findings) {
    let calls = findings.outbound.lost;
    let worst = findings.pods.iter().max_by_key(|pod| pod.outbound_failures);
    let Some(worst) = worst.filter(|_| calls > 0) else {
        return;
    };
    let cause = Cause::SidecarExitedFirst;
    match causes.iter_mut().find(|summary| summary.cause == cause) {
        Some(summary) => summary.calls = calls,
        None => causes.push(CauseSummary {
            cause,
            count: 0,
            calls,
            confidence: BTreeMap::new(),
            pods: BTreeMap::new(),
            meaning: meaning(cause).to_owned(),
            places: place(cause, Hop::Pod, false)
                .map(str::to_owned)
                .into_iter()
                .collect(),
            sample: worst.pod.clone(),
        }),
    }
}

fn cause_summary(
    cause: Cause,
    failures: &[&FailureEntry],
    clients: &[ClientSummary],
) -> CauseSummary {
    let mut confidence = BTreeMap::new();
    let mut pods = BTreeMap::new();
    for failure in failures {
        *confidence
            .entry(confidence_word(failure.confidence).to_owned())
            .or_insert(0) += 1;
        if let Some(pod) = &failure.pod {
            *pods.entry(pod.clone()).or_insert(0) += 1;
        }
    }
    let sample = failures
        .iter()
        .min_by_key(|failure| (failure.confidence, failure.pod.is_none(), failure.event))
        .expect("a cause has at least one failure");
    CauseSummary {
        cause,
        count: failures.len() as u64,
        calls: 0,
        confidence,
        pods,
        meaning: meaning(cause).to_owned(),
        places: places(failures, clients),
        sample: sample.request_id.clone(),
    }
}

/// Where they were lost, the most frequent first.
fn places(failures: &[&FailureEntry], clients: &[ClientSummary]) -> Vec<String> {
    let meshed = |name: &str| {
        let mut clients = clients.iter();
        clients.any(|client| client.client == name && client.meshed)
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for failure in failures {
        if let Some(place) = place(failure.cause, failure.hop, meshed(&failure.client)) {
            *counts.entry(place).or_insert(0) += 1;
        }
    }
    let mut places: Vec<(&str, usize)> = counts.into_iter().collect();
    places.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    places
        .into_iter()
        .map(|(place, _)| place.to_owned())
        .collect()
}

const fn confidence_word(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Proved => "proved",
        Confidence::Consistent => "consistent",
        Confidence::Ambiguous => "ambiguous",
        Confidence::None => "none",
    }
}

fn run_summary(timeline: &Timeline) -> RunSummary {
    let run = &timeline.run;
    let last = timeline.events.iter().map(|event| event.at.hi).max();
    let started_at = jiff::Timestamp::from_nanosecond(i128::from(run.started_at))
        .map_or_else(|_| run.started_at.to_string(), |stamp| stamp.to_string());
    RunSummary {
        id: run.id.clone(),
        name: name(run),
        origin: match run.origin {
            Origin::Live => "live".to_owned(),
            Origin::Import => "import".to_owned(),
        },
        tool_version: run.tool_version.clone(),
        started_at,
        seconds: last.map_or(0.0, |last| last.as_secs_f64().max(0.0)),
        cluster: run.cluster.clone(),
        namespace: run.namespace.clone(),
        workload: run.workload.clone(),
        service: run.service.clone(),
        steps: steps(timeline),
    }
}

fn name(run: &RunInfo) -> String {
    run.plan
        .get("name")
        .and_then(|name| name.as_str())
        .map_or_else(
            || {
                let folder = run.cluster.trim_end_matches('/');
                folder.rsplit('/').next().unwrap_or(folder).to_owned()
            },
            str::to_owned,
        )
}

fn steps(timeline: &Timeline) -> Vec<String> {
    timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Step(step) => {
                let text = if step.text.is_empty() {
                    String::new()
                } else {
                    format!(": {}", step.text)
                };
                Some(format!("{} {} {}{text}", event.at, step.step, step.state))
            }
            _ => None,
        })
        .collect()
}

fn clients(timeline: &Timeline) -> Vec<ClientSummary> {
    let mut clients: BTreeMap<&str, ClientSummary> = BTreeMap::new();
    let mut counted: BTreeMap<&str, bool> = BTreeMap::new();
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &timeline.events {
        match &event.kind {
            EventKind::Client(info) => {
                let client = clients.entry(&info.name).or_default();
                client.meshed = info.meshed;
                counted.insert(&info.name, info.counted);
            }
            EventKind::Requests(counts) => {
                *sums.entry(&counts.client).or_default() += counts.ok + counts.failed;
            }
            EventKind::RequestFailed(request) => {
                clients.entry(&request.client).or_default().failed += 1;
            }
            _ => {}
        }
    }
    clients
        .into_iter()
        .map(|(name, mut client)| {
            client.client = name.to_owned();
            client.sent = counted
                .get(name)
                .copied()
                .unwrap_or(false)
                .then(|| sums.get(name).copied().unwrap_or(0));
            client
        })
        .collect()
}

fn blindness(timeline: &Timeline) -> Vec<crate::evidence::Blindness> {
    timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Blind(blind) => Some(crate::evidence::Blindness {
                uids: None,
                resumed: false,
                ..blind.clone()
            }),
            _ => None,
        })
        .collect()
}

fn latency(timeline: &Timeline) -> Vec<crate::evidence::LatencySummary> {
    timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Latency(latency) => Some(latency.clone()),
            _ => None,
        })
        .collect()
}

fn harness(timeline: &Timeline) -> HarnessSummary {
    let mut summary = HarnessSummary {
        unstored_failures: timeline.unstored_failures().total,
        ..HarnessSummary::default()
    };
    for event in &timeline.events {
        let EventKind::Harness(health) = &event.kind else {
            continue;
        };
        summary.faults.extend(health.faults.iter().cloned());
        if health.scope == "total" {
            summary.slip_p99_ms = health.slip_p99.map(|slip| slip as f64 / 1e6);
            summary.dropped_arrivals += health.dropped_arrivals;
            summary.lost_events += health.lost_events;
            summary.cpu = health.cpu;
        }
    }
    summary
}
