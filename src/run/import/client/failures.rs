//! Which requests of a client failed, one by one (`failures.jsonl`)?

use super::super::gathered::Gathered;
use super::Seen;
use super::requests::kind;
use crate::evidence::{
    Connection, ErrorClass, EventKind, FailedRequest, Outcome, RequestPhase, ResponseFacts,
    RunOffset, Source,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Reads the failures of the client of that name; what cannot be read of them is blindness.
pub(super) fn read(path: &Path, name: &str, seen: &mut Seen, gathered: &mut Gathered) {
    let what = || format!("failures/{name}");
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            gathered.fault(path, 0, error.to_string());
            gathered.blind(what(), "the client has no `failures.jsonl`");
            return;
        }
    };
    let mut unread = 0;
    for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<Failure>(line) {
            Ok(failure) => {
                let request = failure.into_request(name);
                let begun = request.sent.unwrap_or(request.intended).0;
                seen.request(begun);
                seen.failures += 1;
                seen.remote = seen.remote.take().or_else(|| request.remote.clone());
                // A connect that failed has no local address but its port.
                let local = request.local.as_deref().map(host);
                let local = local.filter(|address| !address.is_empty());
                seen.local.extend(local.map(str::to_owned));
                let end = request.end.0;
                let kind = EventKind::RequestFailed(Box::new(request));
                gathered.span(begun, end, Source::Load, kind);
            }
            Err(error) => {
                unread += 1;
                gathered.fault(path, index + 1, error.to_string());
            }
        }
    }
    if unread > 0 {
        let reason = format!("{unread} lines of `failures.jsonl` could not be read");
        gathered.blind(what(), reason);
    }
}

/// The host of `host:port`.
pub(super) fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_matches(['[', ']'])
}

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
