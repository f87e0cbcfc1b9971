//! What did one failed request look like to the client that sent it (design 5, facts 5.1)?

use super::stamp::RunOffset;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A request that did not get what it expected. Successes are counted, never stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedRequest {
    /// uuid v4, sent as `x-request-id` and `x-lastwatch-id`.
    pub request_id: String,
    /// The client that sent it; a run of our own has `local`, an import one a folder.
    pub client: String,
    /// The request class (`spec.load.requests[].name`); of an import the path without its query.
    pub class: String,
    /// HTTP method.
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// When the schedule wanted it sent. Latency counts from here.
    pub intended: RunOffset,
    /// When the client began with it (connect, or the write on a kept connection).
    pub sent: Option<RunOffset>,
    /// When the connection was established (absent on a kept one, or not reached).
    pub connected: Option<RunOffset>,
    /// When the request had been handed to the kernel.
    pub written: Option<RunOffset>,
    /// When the first byte of the answer came.
    pub first_byte: Option<RunOffset>,
    /// When the failure was known.
    pub end: RunOffset,
    /// The connection it went over.
    pub connection: Connection,
    /// Local socket address; `:PORT` alone where no more is known.
    pub local: Option<String>,
    /// Peer socket address: the next hop, seldom the pod.
    pub remote: Option<String>,
    /// The phase in which it failed.
    pub phase: RequestPhase,
    /// What came instead of the expected answer.
    pub outcome: Outcome,
    /// What the response told, where there was one.
    pub response: ResponseFacts,
}

/// The connection of a failed request, as it was when the request went out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Made for this request, or kept from earlier ones.
    pub kind: ConnectionKind,
    /// Number of the connection within its client.
    pub id: u64,
    /// Nanoseconds since it was established.
    pub age: i64,
    /// Requests completed on it before this one.
    pub requests_before: u64,
    /// Nanoseconds since its last answer ended; 0 on a new one.
    pub idle: i64,
}

/// Was the connection made for the request?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionKind {
    /// Made for this request alone, or the first request on a kept one.
    New,
    /// Had carried a request before.
    Reused,
}

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestPhase {
    /// Looking up the name.
    Resolve,
    /// Connecting.
    Connect,
    /// TLS handshake.
    Tls,
    /// Writing the request.
    Send,
    /// Waiting for the response's head.
    WaitHeaders,
    /// Reading the response's body.
    Body,
}

/// What a failed request ended with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Outcome {
    /// No complete answer: the transport failed.
    Transport {
        /// From the errno or the state of the connection, never from text.
        class: ErrorClass,
        /// The errno, where the kernel gave one.
        errno: Option<i32>,
        /// The library's words, for people.
        text: String,
    },
    /// A complete answer with an unexpected status.
    Status {
        /// HTTP status.
        code: u16,
        /// `grpc-status`, where present.
        grpc: Option<u32>,
    },
    /// The expected status, and a body that does not match `expect.body`.
    UnexpectedBody {
        /// HTTP status.
        code: u16,
    },
}

/// Why a transport failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    /// ECONNREFUSED.
    Refused,
    /// ECONNRESET, EPIPE.
    Reset,
    /// The peer closed in good order before the answer was complete.
    Closed,
    /// The client's patience ended (the phase says in what).
    Timeout,
    /// EHOSTUNREACH, ENETUNREACH.
    Unreachable,
    /// The name did not resolve.
    Resolve,
    /// No local port or file handle was left (EADDRNOTAVAIL, EMFILE): the harness's own limit.
    LocalLimit,
    /// The answer was no HTTP.
    Protocol,
    /// Anything else; the text says what.
    Other,
}

/// What the response told about who sent it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseFacts {
    /// The `server` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The `x-envoy-*` headers, by their full lower-case name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub envoy: BTreeMap<String, String>,
    /// The pod that the response names (`x-pod-name`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The first 256 bytes of the body, lossily as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}
