//! What failed without a disruption?

use crate::evidence::{EventKind, FailedRequest, RunOffset, Timeline};
use serde::{Deserialize, Serialize};

/// The load before the first disruption.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Requests sent in the baseline.
    pub requests: u64,
    /// Of them failed before the first disruption: what it cut is not the control's.
    pub failed: u64,
    /// Their share.
    pub failed_share: Option<f64>,
    /// More than the limit failed: what fails later cannot be blamed on the rollout.
    pub noisy: bool,
}

/// Counts the baseline. A run without any disruption has none.
pub(super) fn measure(timeline: &Timeline, limit: f64) -> Control {
    let Some(start) = timeline.disrupted_at() else {
        return Control::default();
    };
    let buckets: Vec<_> = timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Requests(counts) if counts.bucket.0 + counts.width <= start.0 => {
                Some(counts)
            }
            _ => None,
        })
        .collect();
    let requests: u64 = buckets.iter().map(|counts| counts.ok + counts.failed).sum();
    let failed: u64 = buckets.iter().map(|counts| counts.failed).sum();
    let until = buckets.iter().map(|counts| counts.bucket.0 + counts.width);
    let failed = match until.max() {
        Some(until) => failed.saturating_sub(cut_later(timeline, RunOffset(until), start)),
        // A capture without counts still shows its failures.
        None => failed_before(timeline, start),
    };
    let failed_share = (requests > 0).then(|| failed as f64 / requests as f64);
    Control {
        requests,
        failed,
        failed_share,
        noisy: failed_share.is_some_and(|share| share > limit),
    }
}

/// Requests sent in the baseline that failed only once the disruption had begun.
fn cut_later(timeline: &Timeline, until: RunOffset, start: RunOffset) -> u64 {
    let sent_before = |request: &FailedRequest| request.sent.unwrap_or(request.intended) < until;
    timeline
        .failed_requests()
        .filter(|(_, request)| sent_before(request) && request.end >= start)
        .count() as u64
}

/// Failed requests that were over before the first disruption: they are the control's, whatever
/// they are called.
fn failed_before(timeline: &Timeline, start: RunOffset) -> u64 {
    timeline
        .failed_requests()
        .filter(|(_, request)| request.end < start)
        .count() as u64
}
