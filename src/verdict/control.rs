//! What failed without a disruption?

use super::disruption_start;
use crate::evidence::{EventKind, RunOffset, Timeline};
use serde::{Deserialize, Serialize};

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
pub(super) fn measure(timeline: &Timeline, limit: f64) -> Control {
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
    if requests == 0 {
        // A capture without counts still shows its failures.
        failed = failures_before(timeline, start);
    }
    Control {
        requests,
        failed,
        failed_share,
        noisy: failed_share.is_some_and(|share| share > limit),
    }
}

/// Failed requests that were over before the first disruption: they are the control's, whatever
/// they are called.
fn failures_before(timeline: &Timeline, start: RunOffset) -> u64 {
    let over = timeline.events.iter().filter(|event| match &event.kind {
        EventKind::RequestFailed(request) => request.end < start,
        _ => false,
    });
    over.count() as u64
}
