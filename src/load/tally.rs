//! How are answers counted without memory that grows with the run?
//!
//! One histogram for each class and connection kind, one for the slip; counts for each bucket of
//! 100 ms until the monitor takes them, once a second. The monitor's lock is held for no longer
//! than it takes to swap a map and clear a histogram of 30 KiB.

use crate::evidence::{ConnectionKind, LatencySummary, RequestCounts, RunOffset};
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Width of a bucket of counts.
const BUCKET: i64 = 100_000_000;

/// Pods told apart; a target whose header names more has its later ones counted under no pod.
const PODS_TOLD_APART: usize = 10_000;

/// Latency is told to 1 part in 1000 from 1 us to 10 minutes: about 170 KiB a histogram.
fn fine() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 600_000_000_000, 3).expect("the bounds are valid")
}

/// To 1 part in 100, for one second: about 30 KiB.
fn coarse() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 600_000_000_000, 2).expect("the bounds are valid")
}

/// `duration` in nanoseconds, at most what the histograms hold.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What one ended request adds.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) class: usize,
    pub(super) kind: ConnectionKind,
    pub(super) sent: RunOffset,
    pub(super) end: RunOffset,
    /// From the intended send time.
    pub(super) latency: Duration,
    /// The pod that a complete answer named.
    pub(super) pod: Option<&'a str>,
    /// The answer came completely.
    pub(super) answered: bool,
    /// It was as expected.
    pub(super) ok: bool,
    /// How often a proxy had tried it, as a complete answer tells.
    pub(super) attempts: Option<u32>,
}

/// The key of a count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CountKey {
    bucket: i64,
    class: usize,
    kind: ConnectionKind,
    pod: Option<Arc<str>>,
}

/// A count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    ok: u64,
    failed: u64,
    attempts_told: u64,
    retried: u64,
    /// Latest sending, earliest and latest end of complete answers.
    answered: Option<(RunOffset, RunOffset, RunOffset)>,
}

impl Count {
    fn answered(&mut self, sent: RunOffset, earliest: RunOffset, latest: RunOffset) {
        self.answered = Some(match self.answered {
            None => (sent, earliest, latest),
            Some((s, e, l)) => (s.max(sent), e.min(earliest), l.max(latest)),
        });
    }

    fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.attempts_told += other.attempts_told;
        self.retried += other.retried;
        if let Some((sent, earliest, latest)) = other.answered {
            self.answered(sent, earliest, latest);
        }
    }
}

/// What one lane has counted.
#[derive(Debug)]
pub(super) struct Tally {
    /// By class, then kind.
    latency: Vec<[Histogram<u64>; 2]>,
    slip: Histogram<u64>,
    overdue: u64,
    second: Second,
    counts: HashMap<CountKey, Count>,
    pods: HashMap<Box<str>, Arc<str>>,
}

/// What the monitor takes every second.
#[derive(Debug)]
pub(super) struct Second {
    pub(super) latency: Histogram<u64>,
    pub(super) slip: Histogram<u64>,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) dropped: u64,
}

impl Second {
    pub(super) fn new() -> Self {
        Self {
            latency: coarse(),
            slip: coarse(),
            ok: 0,
            failed: 0,
            dropped: 0,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let same = "histograms of the same bounds";
        self.latency.add(&other.latency).expect(same);
        self.slip.add(&other.slip).expect(same);
        self.ok += other.ok;
        self.failed += other.failed;
        self.dropped += other.dropped;
    }

    pub(super) fn clear(&mut self) {
        self.latency.reset();
        self.slip.reset();
        (self.ok, self.failed, self.dropped) = (0, 0, 0);
    }
}

const fn kind_index(kind: ConnectionKind) -> usize {
    match kind {
        ConnectionKind::New => 0,
        ConnectionKind::Reused => 1,
    }
}

impl Tally {
    pub(super) fn new(classes: usize) -> Self {
        Self {
            latency: (0..classes).map(|_| [fine(), fine()]).collect(),
            slip: fine(),
            overdue: 0,
            second: Second::new(),
            counts: HashMap::new(),
            pods: HashMap::new(),
        }
    }

    /// A request left `slip` after its intended time.
    pub(super) fn begun(&mut self, slip: Duration) {
        self.slip.saturating_record(nanos(slip));
        self.second.slip.saturating_record(nanos(slip));
    }

    /// An arrival was not sent.
    pub(super) fn dropped(&mut self) {
        self.second.dropped += 1;
    }

    /// Arrivals were not sent, because a stall held them up until load ended.
    pub(super) fn overdue(&mut self, arrivals: u64) {
        self.second.dropped += arrivals;
        self.overdue += arrivals;
    }

    /// How many these were.
    pub(super) const fn overdue_arrivals(&self) -> u64 {
        self.overdue
    }

    /// A request ended.
    pub(super) fn ended(&mut self, ended: &Ended<'_>) {
        let key = CountKey {
            bucket: ended.sent.0.div_euclid(BUCKET),
            class: ended.class,
            kind: ended.kind,
            pod: ended.pod.and_then(|pod| self.pod(pod)),
        };
        let count = self.counts.entry(key).or_default();
        if ended.ok {
            count.ok += 1;
            self.second.ok += 1;
            if let Some(attempts) = ended.attempts {
                count.attempts_told += 1;
                count.retried += u64::from(attempts > 1);
            }
        } else {
            count.failed += 1;
            self.second.failed += 1;
        }
        if ended.answered {
            count.answered(ended.sent, ended.end, ended.end);
            let latency = nanos(ended.latency);
            self.latency[ended.class][kind_index(ended.kind)].saturating_record(latency);
            self.second.latency.saturating_record(latency);
        }
    }

    fn pod(&mut self, name: &str) -> Option<Arc<str>> {
        if let Some(pod) = self.pods.get(name) {
            return Some(Arc::clone(pod));
        }
        if self.pods.len() >= PODS_TOLD_APART {
            return None;
        }
        let pod: Arc<str> = name.into();
        self.pods.insert(name.into(), Arc::clone(&pod));
        Some(pod)
    }

    /// Gives the last second away; `spare` must be clear and takes its place.
    pub(super) fn take_second(&mut self, spare: &mut Second) -> HashMap<CountKey, Count> {
        std::mem::swap(&mut self.second, spare);
        std::mem::take(&mut self.counts)
    }

    /// Adds the histograms of another lane.
    pub(super) fn merge(&mut self, other: &Self) {
        let same = "histograms of the same bounds";
        self.slip.add(&other.slip).expect(same);
        self.overdue += other.overdue;
        for (mine, theirs) in self.latency.iter_mut().zip(&other.latency) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                mine.add(theirs).expect(same);
            }
        }
    }

    /// 99th percentile of the slip over the whole run.
    pub(super) fn slip_p99(&self) -> Option<i64> {
        quantile(&self.slip, 0.99).map(|slip| i64::try_from(slip).unwrap_or(i64::MAX))
    }

    /// Latency by class and kind, where there was an answer.
    pub(super) fn summaries(&self, client: &str, classes: &[&str]) -> Vec<LatencySummary> {
        let mut summaries = Vec::new();
        for (class, both) in classes.iter().zip(&self.latency) {
            for kind in [ConnectionKind::New, ConnectionKind::Reused] {
                let histogram = &both[kind_index(kind)];
                if histogram.is_empty() {
                    continue;
                }
                summaries.push(LatencySummary {
                    client: client.to_owned(),
                    class: (*class).to_owned(),
                    connection: kind,
                    count: histogram.len(),
                    p50: histogram.value_at_quantile(0.5),
                    p90: histogram.value_at_quantile(0.9),
                    p99: histogram.value_at_quantile(0.99),
                    p999: histogram.value_at_quantile(0.999),
                    max: histogram.max(),
                });
            }
        }
        summaries
    }
}

/// A quantile of what was recorded, if anything was.
pub(super) fn quantile(histogram: &Histogram<u64>, quantile: f64) -> Option<u64> {
    (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile))
}

/// Adds the counts of one lane to those of others.
pub(super) fn collect(all: &mut BTreeMap<CountKey, Count>, some: HashMap<CountKey, Count>) {
    for (key, count) in some {
        all.entry(key).or_default().add(count);
    }
}

/// Counts as the record keeps them.
pub(super) fn counts_of(
    client: &str,
    classes: &[&str],
    counts: BTreeMap<CountKey, Count>,
) -> impl Iterator<Item = RequestCounts> {
    counts.into_iter().map(move |(key, count)| RequestCounts {
        client: client.to_owned(),
        bucket: RunOffset(key.bucket * BUCKET),
        width: BUCKET,
        class: classes[key.class].to_owned(),
        connection: key.kind,
        pod: key.pod.map(|pod| pod.to_string()),
        ok: count.ok,
        failed: count.failed,
        attempts_told: count.attempts_told,
        retried: count.retried,
        latest_sent: count.answered.map(|(sent, _, _)| sent),
        earliest_end: count.answered.map(|(_, earliest, _)| earliest),
        latest_end: count.answered.map(|(_, _, latest)| latest),
    })
}

/// Decides which failures are stored, over all lanes.
#[derive(Debug)]
pub(super) struct Ledger {
    limit: u64,
    stride: u64,
    seen: AtomicU64,
    unstored: AtomicU64,
}

impl Ledger {
    pub(super) fn new(limit: u64, stride: u64) -> Self {
        Self {
            limit,
            stride: stride.max(1),
            seen: AtomicU64::new(0),
            unstored: AtomicU64::new(0),
        }
    }

    /// Whether the failure that has just happened is stored in full.
    pub(super) fn stores(&self) -> bool {
        let before = self.seen.fetch_add(1, Ordering::Relaxed);
        let stored = before < self.limit || (before - self.limit + 1).is_multiple_of(self.stride);
        if !stored {
            self.unstored.fetch_add(1, Ordering::Relaxed);
        }
        stored
    }

    /// Failures that were only counted.
    pub(super) fn unstored(&self) -> u64 {
        self.unstored.load(Ordering::Relaxed)
    }
}
