//! Which failures were counted and not stored?
//!
//! Beyond its limit the harness only counts and says how many. A capture may lack failures that its
//! counts of requests have: a file that is gone, empty or cut. Of either nobody knows the cause.

use super::event::{EventKind, RequestCounts};
use super::stamp::RunOffset;
use super::timeline::Timeline;
use std::collections::HashMap;

/// Failures that were counted and not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unstored {
    /// All of them.
    pub total: u64,
    /// Without those that were surely sent before the first disruption.
    pub of_disruption: u64,
    /// The harness did not say of all of them that it would store no more: some were lost.
    pub lost: bool,
}

impl Unstored {
    /// Of the whole run.
    pub(super) fn of(timeline: &Timeline) -> Self {
        let said = said(timeline);
        let total = said.max(uncovered(timeline, RunOffset(i64::MAX)));
        let before = match timeline.disrupted_at() {
            Some(start) if total > 0 => uncovered(timeline, start),
            _ => 0,
        };
        Self {
            total,
            of_disruption: total - before.min(total),
            lost: total > said,
        }
    }
}

/// What the harness only counted, by its own words.
fn said(timeline: &Timeline) -> u64 {
    let events = timeline.events.iter();
    let of_run = events.filter_map(|event| match &event.kind {
        EventKind::Harness(health) if health.scope == "total" => Some(health.unstored_failures),
        _ => None,
    });
    of_run.sum()
}

/// By how much the counts of the buckets that were over by `until` have more failures than are stored
/// of the same clients and time.
fn uncovered(timeline: &Timeline, until: RunOffset) -> u64 {
    let end = |counts: &RequestCounts| RunOffset(counts.bucket.0.saturating_add(counts.width));
    let mut counted: HashMap<&str, u64> = HashMap::new();
    let mut covered = RunOffset(i64::MIN);
    for event in &timeline.events {
        if let EventKind::Requests(counts) = &event.kind
            && end(counts) <= until
        {
            *counted.entry(&counts.client).or_default() += counts.failed;
            covered = covered.max(end(counts));
        }
    }
    // The counts of a whole run cover all that it stored, whatever instant its sending is given.
    let whole = until == RunOffset(i64::MAX);
    for (_, request) in timeline.failed_requests() {
        if (whole || request.sent.unwrap_or(request.intended) < covered)
            && let Some(failed) = counted.get_mut(request.client.as_str())
        {
            *failed = failed.saturating_sub(1);
        }
    }
    counted.values().sum()
}
