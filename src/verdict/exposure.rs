//! How much was asked of terminating pods, and what does that support?

use super::bound::upper_bound;
use crate::attribution::Findings;
use crate::evidence::{EventKind, Interval, RunOffset, Timeline};
use serde::{Deserialize, Serialize};

/// Requests that were started inside termination windows, of any pod of the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// Requests. A bucket that a window covers in part counts with that part.
    pub requests: u64,
    /// Of them failed, as far as the rollout is to blame. Failures that were only counted are taken
    /// for its, so that the bound is none too low.
    pub failed: u64,
    /// Terminations that were seen.
    pub terminations: u64,
    /// Of them with a failed request inside their window.
    pub terminations_with_failures: u64,
    /// Seconds that the windows cover together.
    pub seconds: f64,
    /// Successes were counted for every client.
    pub counted: bool,
}

/// The 95 % upper bounds of the failure probability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Per exposed request.
    pub per_request: Option<f64>,
    /// Per termination: requests inside one window are not independent of each other.
    pub per_termination: Option<f64>,
    /// Always 0.95, so that a reader need not guess.
    pub confidence: f64,
}

pub(super) fn measure(timeline: &Timeline, findings: &Findings) -> Exposure {
    let windows: Vec<Interval> = findings.pods.iter().filter_map(|pod| pod.window).collect();
    let union = merge(&windows);
    let failed_at = blamed_sendings(timeline, findings);
    let mut requests = 0.0;
    for event in &timeline.events {
        if let EventKind::Requests(counts) = &event.kind {
            let share = covered_share(&union, counts.bucket, counts.width);
            requests += share * (counts.ok + counts.failed) as f64;
        }
    }
    let inside = |at: &&RunOffset| union.iter().any(|w| w.lo <= **at && **at <= w.hi);
    let only_counted = timeline.unstored_failures().total;
    let failed =
        failed_at.iter().filter(inside).count() as u64 + unstored(timeline, &union, only_counted);
    Exposure {
        // Failures are known one by one even where successes are not.
        requests: (requests.floor() as u64).max(failed),
        failed,
        terminations: windows.len() as u64,
        terminations_with_failures: windows
            .iter()
            .filter(|w| {
                let blamed = failed_at.iter().any(|at| w.lo <= *at && *at <= w.hi);
                blamed || unstored(timeline, &[**w], only_counted) > 0
            })
            .count() as u64,
        // An empty sum of floats is -0.0.
        seconds: union.iter().map(|w| w.width() as f64 / 1e9).sum::<f64>() + 0.0,
        counted: clients_counted(timeline),
    }
}

pub(super) fn bound(exposure: &Exposure) -> Bound {
    Bound {
        per_request: exposure
            .counted
            .then(|| upper_bound(exposure.failed, exposure.requests))
            .flatten(),
        per_termination: upper_bound(exposure.terminations_with_failures, exposure.terminations),
        confidence: 0.95,
    }
}

/// At least one client took part, and each counted its successes.
pub(super) fn clients_counted(timeline: &Timeline) -> bool {
    let mut clients = timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Client(client) => Some(client.counted),
            _ => None,
        });
    clients.next().is_some_and(|first| first) && clients.all(|counted| counted)
}

/// Failures within the windows that were only counted: those that the counts have beyond the stored
/// ones. A bucket that a window covers in part may have all of its failures in it.
fn unstored(timeline: &Timeline, union: &[Interval], of_run: u64) -> u64 {
    if of_run == 0 {
        return 0;
    }
    let buckets = timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Requests(counts) => Some(counts),
            _ => None,
        });
    let covered = buckets.filter(|it| covered_share(union, it.bucket, it.width) > 0.0);
    let counted: u64 = covered.map(|counts| counts.failed).sum();
    let stored = timeline.failed_requests().filter(|(_, request)| {
        let sent = request.sent.unwrap_or(request.intended);
        union.iter().any(|w| w.lo <= sent && sent <= w.hi)
    });
    counted.saturating_sub(stored.count() as u64).min(of_run)
}

fn blamed_sendings(timeline: &Timeline, findings: &Findings) -> Vec<RunOffset> {
    let blamed: std::collections::HashSet<u64> = findings
        .failures
        .iter()
        .filter(|failure| failure.counts_against_rollout())
        .map(|failure| failure.event)
        .collect();
    timeline
        .failed_requests()
        .filter(|(event, _)| blamed.contains(event))
        .map(|(_, request)| request.sent.unwrap_or(request.intended))
        .collect()
}

/// Overlapping windows joined, in order.
fn merge(windows: &[Interval]) -> Vec<Interval> {
    let mut sorted = windows.to_vec();
    sorted.sort_by_key(|window| window.lo);
    let mut merged: Vec<Interval> = Vec::new();
    for window in sorted {
        match merged.last_mut() {
            Some(last) if window.lo <= last.hi => last.hi = last.hi.max(window.hi),
            _ => merged.push(window),
        }
    }
    merged
}

fn covered_share(union: &[Interval], bucket: RunOffset, width: i64) -> f64 {
    if width <= 0 {
        return 0.0;
    }
    let (lo, hi) = (bucket.0, bucket.0 + width);
    let covered: i64 = union
        .iter()
        .map(|w| (w.hi.0.min(hi) - w.lo.0.max(lo)).max(0))
        .sum();
    covered as f64 / width as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(lo: i64, hi: i64) -> Interval {
        Interval::between(RunOffset(lo), RunOffset(hi))
    }

    #[test]
    fn overlapping_windows_are_counted_once() {
        let union = merge(&[window(50, 90), window(0, 60), window(100, 110)]);
        assert_eq!(union, [window(0, 90), window(100, 110)]);
        assert!((covered_share(&union, RunOffset(80), 40) - 0.5).abs() < 1e-9);
        assert!(covered_share(&union, RunOffset(200), 40).abs() < 1e-9);
    }
}
