//! What did the clients of a capture see?

use super::gathered::Gathered;
use crate::evidence::{
    ClientInfo, Connection, ConnectionKind, ErrorClass, EventKind, FailedRequest, LatencySummary,
    Outcome, RequestCounts, RequestPhase, ResponseFacts, RunOffset, Source,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The client folder that sits behind a sidecar, and the pod whose sidecar it is.
const MESHED: (&str, &str) = ("mesh", "loadgen");

/// Width of a bucket of `requests.tsv`.
const SECOND: i64 = 1_000_000_000;

/// The class of requests whose path is not recorded.
const ANY_CLASS: &str = "any";

/// Reads every folder under `client/`.
pub(super) fn read_all(capture: &Path, gathered: &mut Gathered) {
    let root = capture.join("client");
    let mut names: Vec<String> = fs::read_dir(&root)
        .map(|entries| {
            entries
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| root.join(name).is_dir())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    if names.is_empty() {
        gathered.blind("requests", "the capture has no client");
    }
    for name in names {
        read_client(&root.join(&name), &name, gathered);
    }
}

fn read_client(folder: &Path, name: &str, gathered: &mut Gathered) {
    let mut first = i64::MAX;
    let mut remote = None;
    let failures = folder.join("failures.jsonl");
    match fs::read(&failures) {
        Ok(bytes) => {
            for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
                if line.trim().is_empty() {
                    continue;
                }
                match serde_json::from_str::<Failure>(line) {
                    Ok(failure) => {
                        let request = failure.into_request(name);
                        let begun = request.sent.unwrap_or(request.intended).0;
                        first = first.min(begun);
                        remote = remote.or_else(|| request.remote.clone());
                        let end = request.end.0;
                        let kind = EventKind::RequestFailed(Box::new(request));
                        gathered.span(begun, end, Source::Load, kind);
                    }
                    Err(error) => gathered.fault(&failures, index + 1, error.to_string()),
                }
            }
        }
        Err(error) => {
            gathered.fault(&failures, 0, error.to_string());
            gathered.blind(
                format!("failures/{name}"),
                "the client has no `failures.jsonl`",
            );
        }
    }
    let counted = read_requests(&folder.join("requests.tsv"), name, &mut first, gathered);
    if !counted {
        gathered.blind(
            format!("requests/{name}"),
            "the client has no `requests.tsv`",
        );
    }
    let meshed = name == MESHED.0;
    let client = EventKind::Client(ClientInfo {
        name: name.to_owned(),
        meshed,
        pod: meshed.then(|| MESHED.1.to_owned()),
        target: target(folder).or(remote),
        counted,
    });
    let at = if first == i64::MAX { 0 } else { first };
    gathered.push(at, Source::Load, client);
}

/// The address that the client asked, by its summary.
fn target(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("summary.json")).ok()?;
    let summary: Value = serde_json::from_str(&text).ok()?;
    summary.get("target")?.as_str().map(str::to_owned)
}

// === failures.jsonl ===

#[derive(Deserialize)]
struct Failure {
    request_id: String,
    #[serde(default)]
    method: Option<String>,
    path: String,
    scheduled: i64,
    sent: Option<i64>,
    connected: Option<i64>,
    written: Option<i64>,
    first_byte: Option<i64>,
    end: i64,
    connection: String,
    #[serde(default)]
    connection_id: u64,
    #[serde(default)]
    connection_age_us: i64,
    #[serde(default)]
    requests_before: u64,
    #[serde(default)]
    idle_us: i64,
    local: Option<String>,
    remote: Option<String>,
    phase: Option<String>,
    error: Option<String>,
    error_text: Option<String>,
    status: Option<u16>,
    grpc_status: Option<u32>,
    server: Option<String>,
    x_envoy_upstream_service_time: Option<String>,
    pod: Option<String>,
    body: Option<String>,
}

impl Failure {
    fn into_request(self, client: &str) -> FailedRequest {
        let at = |micros: i64| RunOffset(micros.saturating_mul(1_000));
        let class = self.path.split('?').next().unwrap_or_default().to_owned();
        let phase = phase(self.phase.as_deref(), self.written.is_some());
        let outcome = match (self.status, self.error.as_deref()) {
            (Some(code), None) => Outcome::Status {
                code,
                grpc: self.grpc_status,
            },
            (_, error) => Outcome::Transport {
                class: error_class(error.unwrap_or_default()),
                errno: None,
                text: self.error_text.unwrap_or_default(),
            },
        };
        let mut envoy = BTreeMap::new();
        if let Some(time) = self.x_envoy_upstream_service_time {
            envoy.insert("x-envoy-upstream-service-time".to_owned(), time);
        }
        FailedRequest {
            request_id: self.request_id,
            client: client.to_owned(),
            class,
            method: self.method.unwrap_or_else(|| "-".to_owned()),
            path: self.path,
            intended: at(self.scheduled),
            sent: self.sent.map(at),
            connected: self.connected.map(at),
            written: self.written.map(at),
            first_byte: self.first_byte.map(at),
            end: at(self.end),
            connection: Connection {
                kind: kind(&self.connection),
                id: self.connection_id,
                age: self.connection_age_us.saturating_mul(1_000),
                requests_before: self.requests_before,
                idle: self.idle_us.saturating_mul(1_000),
            },
            local: self.local,
            remote: self.remote,
            phase,
            outcome,
            response: ResponseFacts {
                server: self.server,
                envoy,
                pod: self.pod,
                body: self.body,
            },
        }
    }
}

fn kind(text: &str) -> ConnectionKind {
    if text == "reused" {
        ConnectionKind::Reused
    } else {
        ConnectionKind::New
    }
}

fn phase(text: Option<&str>, written: bool) -> RequestPhase {
    match text {
        Some("resolve" | "dns") => RequestPhase::Resolve,
        Some("connect") => RequestPhase::Connect,
        Some("tls") => RequestPhase::Tls,
        Some("send") => RequestPhase::Send,
        Some("body") => RequestPhase::Body,
        None if !written => RequestPhase::Send,
        _ => RequestPhase::WaitHeaders,
    }
}

fn error_class(text: &str) -> ErrorClass {
    match text {
        "refused" => ErrorClass::Refused,
        "reset" => ErrorClass::Reset,
        "closed" => ErrorClass::Closed,
        "timeout" => ErrorClass::Timeout,
        "unreachable" => ErrorClass::Unreachable,
        "resolve" => ErrorClass::Resolve,
        _ => ErrorClass::Other,
    }
}

// === requests.tsv ===

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

/// Counts the requests; false when the file is not there.
fn read_requests(path: &Path, client: &str, first: &mut i64, gathered: &mut Gathered) -> bool {
    let Ok(bytes) = fs::read(path) else {
        return false;
    };
    let mut buckets: BTreeMap<Key, RequestCounts> = BTreeMap::new();
    let mut latencies: BTreeMap<ConnectionKind, Vec<u64>> = BTreeMap::new();
    for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let Some(row) = row(line) else {
            gathered.fault(
                path,
                index + 1,
                "expected scheduled, sent, end, kind, outcome, pod",
            );
            continue;
        };
        *first = (*first).min(row.sent);
        if row.answered {
            let latency = u64::try_from(row.end - row.scheduled).unwrap_or(0);
            latencies.entry(row.kind).or_default().push(latency);
        }
        count(&mut buckets, client, &row);
    }
    for counts in buckets.into_values() {
        let (lo, hi) = (counts.bucket.0, counts.bucket.0 + counts.width);
        gathered.span(lo, hi, Source::Load, EventKind::Requests(counts));
    }
    for (connection, latencies) in latencies {
        let at = gathered.raw.iter().map(|raw| raw.hi).max().unwrap_or(0);
        let summary = summary(client, connection, latencies);
        gathered.push(at, Source::Load, EventKind::Latency(summary));
    }
    true
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
