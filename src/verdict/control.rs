//! What failed without a disruption?

use super::disruption_start;
use crate::attribution::Findings;
use crate::evidence::{EventKind, RunOffset, Timeline};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The load before the first disruption.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Requests sent in the baseline.
    pub requests: u64,
    /// Of them failed.
    pub failed: u64,
    /// Their share.
    pub failed_share: Option<f64>,
    /// More than the limit failed: what fails later cannot be blamed on the rollout.
    pub noisy: bool,
}

/// Counts the baseline. A run without any disruption has none.
pub(super) fn measure(timeline: &Timeline, findings: &Findings, limit: f64) -> Control {
    let Some(start) = disruption_start(timeline) else {
        return Control::default();
    };
    let (mut requests, mut failed) = (0, 0);
    for event in &timeline.events {
        if let EventKind::Requests(counts) = &event.kind
            && counts.bucket.0 + counts.width <= start.0
        {
            requests += counts.ok + counts.failed;
            failed += counts.failed;
        }
    }
    let failed_share = (requests > 0).then(|| failed as f64 / requests as f64);
    // A capture without counts still shows its failures.
    if requests == 0 {
        failed = baseline_failures(timeline, findings, start).len() as u64;
    }
    Control {
        requests,
        failed,
        failed_share,
        noisy: failed_share.is_some_and(|share| share > limit),
    }
}

/// The failures (`seq`) of requests that were meant to be sent before the first disruption and
/// were over by then: they are the control's, whatever they are called.
pub(super) fn baseline_failures(
    timeline: &Timeline,
    findings: &Findings,
    start: RunOffset,
) -> BTreeSet<u64> {
    let known: BTreeSet<u64> = findings.failures.iter().map(|f| f.event).collect();
    timeline
        .events
        .iter()
        .filter(|event| known.contains(&event.seq))
        .filter_map(|event| match &event.kind {
            EventKind::RequestFailed(request) if request.end < start => Some(event.seq),
            _ => None,
        })
        .collect()
}
