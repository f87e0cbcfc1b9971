//! How is a parsed line printed (`lastwatch parse istio-proxy`)?

use super::access::AccessLine;
use super::agent::AgentLine;
use super::{IstioLine, ResponseFlags};
use serde::{Serialize, Serializer};

/// One JSON object: the line's number and type, then the keys of Istio's JSON encoding, or those
/// of an agent's line, or the raw text of what was not understood.
pub fn to_json(number: u64, parsed: &IstioLine<'_>, raw: &str) -> String {
    let text = match parsed {
        IstioLine::Access(line) => serde_json::to_string(&Access::of(number, line)),
        IstioLine::Agent(line) => serde_json::to_string(&Agent::of(number, "agent", line)),
        IstioLine::Envoy(line) => serde_json::to_string(&Agent::of(number, "envoy", line)),
        IstioLine::Other => serde_json::to_string(&Other {
            line: number,
            r#type: "other",
            raw,
        }),
    };
    text.expect("maps with string keys serialise")
}

#[derive(Serialize)]
struct Other<'a> {
    line: u64,
    r#type: &'static str,
    raw: &'a str,
}

#[derive(Serialize)]
struct Agent<'a> {
    line: u64,
    r#type: &'static str,
    time: Option<&'a str>,
    level: &'a str,
    scope: Option<&'a str>,
    message: &'a str,
    kind: &'static str,
}

impl<'a> Agent<'a> {
    fn of(number: u64, r#type: &'static str, line: &'a AgentLine<'_>) -> Self {
        Self {
            line: number,
            r#type,
            time: line.time.as_deref(),
            level: &line.level,
            scope: line.scope.as_deref(),
            message: &line.message,
            kind: line.kind.name(),
        }
    }
}

#[derive(Serialize)]
struct Access<'a> {
    line: u64,
    r#type: &'static str,
    start_time: Option<&'a str>,
    method: Option<&'a str>,
    path: Option<&'a str>,
    protocol: Option<&'a str>,
    response_code: Option<u16>,
    #[serde(serialize_with = "array")]
    response_flags: &'a ResponseFlags<'a>,
    response_code_details: Option<&'a str>,
    connection_termination_details: Option<&'a str>,
    upstream_transport_failure_reason: Option<&'a str>,
    bytes_received: Option<u64>,
    bytes_sent: Option<u64>,
    duration: Option<u64>,
    upstream_service_time: Option<u64>,
    x_forwarded_for: Option<&'a str>,
    user_agent: Option<&'a str>,
    request_id: Option<&'a str>,
    authority: Option<&'a str>,
    upstream_host: Option<&'a str>,
    upstream_cluster: Option<&'a str>,
    upstream_local_address: Option<&'a str>,
    downstream_local_address: Option<&'a str>,
    downstream_remote_address: Option<&'a str>,
    requested_server_name: Option<&'a str>,
    route_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_request_attempt_count: Option<u64>,
}

impl<'a> Access<'a> {
    fn of(number: u64, line: &'a AccessLine<'_>) -> Self {
        Self {
            line: number,
            r#type: "access",
            start_time: line.start_time.as_deref(),
            method: line.method.as_deref(),
            path: line.path.as_deref(),
            protocol: line.protocol.as_deref(),
            response_code: line.response_code,
            response_flags: &line.response_flags,
            response_code_details: line.response_code_details.as_deref(),
            connection_termination_details: line.connection_termination_details.as_deref(),
            upstream_transport_failure_reason: line.upstream_transport_failure_reason.as_deref(),
            bytes_received: line.bytes_received,
            bytes_sent: line.bytes_sent,
            duration: line.duration_ms,
            upstream_service_time: line.upstream_service_time_ms,
            x_forwarded_for: line.x_forwarded_for.as_deref(),
            user_agent: line.user_agent.as_deref(),
            request_id: line.request_id.as_deref(),
            authority: line.authority.as_deref(),
            upstream_host: line.upstream_host.as_deref(),
            upstream_cluster: line.upstream_cluster.as_deref(),
            upstream_local_address: line.upstream_local_address.as_deref(),
            downstream_local_address: line.downstream_local_address.as_deref(),
            downstream_remote_address: line.downstream_remote_address.as_deref(),
            requested_server_name: line.requested_server_name.as_deref(),
            route_name: line.route_name.as_deref(),
            upstream_request_attempt_count: line.attempts,
        }
    }
}

fn array<S: Serializer>(flags: &&ResponseFlags<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(flags.iter())
}
