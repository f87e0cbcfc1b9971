//! How many requests did a client send, and how did they fare (`requests.tsv`)?

use super::super::gathered::Gathered;
use super::Seen;
use crate::evidence::{
    ConnectionKind, EventKind, LatencySummary, RequestCounts, RunOffset, Source,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Width of a bucket of `requests.tsv`.
const SECOND: i64 = 1_000_000_000;

/// The class of requests whose path is not recorded.
const ANY_CLASS: &str = "any";

/// One line of `requests.tsv`.
struct Row<'a> {
    scheduled: i64,
    sent: i64,
    end: i64,
    kind: ConnectionKind,
    answered: bool,
    pod: Option<&'a str>,
}

fn row(line: &str) -> Option<Row<'_>> {
    let mut fields = line.split('\t');
    let mut micros = || {
        fields
            .next()?
            .trim()
            .parse::<i64>()
            .ok()?
            .checked_mul(1_000)
    };
    let (scheduled, sent, end) = (micros()?, micros()?, micros()?);
    let kind = kind(fields.next()?);
    let outcome = fields.next()?;
    let pod = fields
        .next()
        .map(str::trim)
        .filter(|pod| !matches!(*pod, "" | "-"));
    Some(Row {
        scheduled,
        sent,
        end,
        kind,
        answered: outcome.parse::<u16>().is_ok_and(|status| status < 500),
        pod,
    })
}

type Key = (i64, ConnectionKind, Option<String>);

/// How many requests were read, and how many of them failed.
pub(super) struct Counted {
    pub(super) requests: u64,
    pub(super) failed: u64,
}

/// Counts the requests; `None` when the file is not there. Lines that cannot be read are blindness.
pub(super) fn read(
    path: &Path,
    client: &str,
    seen: &mut Seen,
    gathered: &mut Gathered,
) -> Option<Counted> {
    let bytes = fs::read(path).ok()?;
    let mut buckets: BTreeMap<Key, RequestCounts> = BTreeMap::new();
    let mut latencies: BTreeMap<ConnectionKind, Vec<u64>> = BTreeMap::new();
    let mut unread = 0;
    for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let Some(row) = row(line) else {
            unread += 1;
            gathered.fault(
                path,
                index + 1,
                "expected scheduled, sent, end, kind, outcome, pod",
            );
            continue;
        };
        seen.request(row.sent);
        if row.answered {
            let latency = u64::try_from(row.end - row.scheduled).unwrap_or(0);
            latencies.entry(row.kind).or_default().push(latency);
        }
        count(&mut buckets, client, &row);
    }
    if unread > 0 {
        let reason = format!("{unread} lines of `requests.tsv` could not be read");
        gathered.blind(format!("requests/{client}"), reason);
    }
    let failed = buckets.values().map(|counts| counts.failed).sum();
    let answered: u64 = buckets.values().map(|counts| counts.ok).sum();
    for counts in buckets.into_values() {
        let (lo, hi) = (counts.bucket.0, counts.bucket.0 + counts.width);
        gathered.span(lo, hi, Source::Load, EventKind::Requests(counts));
    }
    for (connection, latencies) in latencies {
        let at = gathered.raw.iter().map(|raw| raw.hi).max().unwrap_or(0);
        let summary = summary(client, connection, latencies);
        gathered.push(at, Source::Load, EventKind::Latency(summary));
    }
    Some(Counted {
        requests: answered + failed,
        failed,
    })
}

fn count(buckets: &mut BTreeMap<Key, RequestCounts>, client: &str, row: &Row<'_>) {
    let bucket = row.sent.div_euclid(SECOND) * SECOND;
    let pod = row.pod.filter(|_| row.answered).map(str::to_owned);
    let counts = buckets
        .entry((bucket, row.kind, pod.clone()))
        .or_insert_with(|| RequestCounts {
            client: client.to_owned(),
            bucket: RunOffset(bucket),
            width: SECOND,
            class: ANY_CLASS.to_owned(),
            connection: row.kind,
            pod,
            ok: 0,
            failed: 0,
            attempts_told: 0,
            retried: 0,
            latest_sent: None,
            earliest_end: None,
            latest_end: None,
        });
    if !row.answered {
        counts.failed += 1;
        return;
    }
    counts.ok += 1;
    let (sent, end) = (RunOffset(row.sent), RunOffset(row.end));
    counts.latest_sent = counts.latest_sent.max(Some(sent));
    counts.latest_end = counts.latest_end.max(Some(end));
    counts.earliest_end = Some(
        counts
            .earliest_end
            .map_or(end, |earliest| earliest.min(end)),
    );
}

fn summary(client: &str, connection: ConnectionKind, mut latencies: Vec<u64>) -> LatencySummary {
    latencies.sort_unstable();
    let count = latencies.len();
    // The smallest value that at least this share of the answers did not exceed.
    let at = |permille: usize| {
        let rank = (count * permille).div_ceil(1_000).max(1);
        latencies[rank - 1]
    };
    LatencySummary {
        client: client.to_owned(),
        class: ANY_CLASS.to_owned(),
        connection,
        count: count as u64,
        p50: at(500),
        p90: at(900),
        p99: at(990),
        p999: at(999),
        max: at(1_000),
    }
}

pub(super) fn kind(text: &str) -> ConnectionKind {
    if text == "reused" {
        ConnectionKind::Reused
    } else {
        ConnectionKind::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_become_counts_per_second_connection_kind_and_pod() {
        let mut buckets = BTreeMap::new();
        for line in [
            "1000000\t1000100\t1000900\tnew\t200\tp",
            "1500000\t1500100\t2500900\tnew\t200\tp",
            "1600000\t1600100\t1600900\tnew\tconnect/refused\t-",
            "1700000\t1700100\t1700900\treused\t503\tp",
        ] {
            count(&mut buckets, "node", &row(line).unwrap());
        }
        let counts: Vec<_> = buckets.values().collect();
        assert_eq!(counts.len(), 3);
        let named = counts.iter().find(|counts| counts.pod.is_some()).unwrap();
        assert_eq!((named.ok, named.failed), (2, 0));
        assert_eq!(named.latest_sent, Some(RunOffset::from_micros(1_500_100)));
        assert_eq!(named.earliest_end, Some(RunOffset::from_micros(1_000_900)));
        assert_eq!(named.latest_end, Some(RunOffset::from_micros(2_500_900)));
        assert_eq!(counts.iter().map(|counts| counts.failed).sum::<u64>(), 2);
    }

    #[test]
    fn a_row_that_lacks_a_field_is_refused() {
        assert!(row("1\t2\tx\tnew\t200\tp").is_none());
        assert!(row("1\t2\t3").is_none());
    }
}
