//! The one model that every format renders, and the schema of `report.json`.

use super::advice::Advice;
use crate::attribution::{
    Cause, ClockBound, Confidence, Evidence, Hop, Modifier, NotUnderstood, OutboundSummary,
    PodFinding, RunnerUp,
};
use crate::evidence::{Blindness, LatencySummary};
use crate::verdict::{Bound, Control, Exposure, Gate, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of `report.json`. Fields are added within a version, never changed.
pub const REPORT_VERSION: u32 = 1;

/// Everything that a run may claim. Times are seconds since the start of the run unless a name
/// says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub schema_version: u32,
    /// The verdict: `PASS`, `FAIL` or `INCONCLUSIVE`.
    pub verdict: Outcome,
    /// Why it is not a PASS, one sentence each.
    pub reasons: Vec<String>,
    /// What ran.
    pub run: RunSummary,
    /// The conditions.
    pub gates: Vec<Gate>,
    /// How much was asked of terminating pods.
    pub exposure: Exposure,
    /// What that supports.
    pub bound: Bound,
    /// The baseline.
    pub control: Control,
    /// The clients.
    pub clients: Vec<ClientSummary>,
    /// Why requests failed and calls were lost, the most frequent first.
    pub causes: Vec<CauseSummary>,
    /// What to change.
    pub advice: Vec<Advice>,
    /// The pods that were deleted, restarted or have a hazard.
    pub pods: Vec<PodFinding>,
    /// Calls that the target's pods lost.
    pub outbound: OutboundSummary,
    /// Requests that only a proxy's retry saved; `null`: not measured.
    pub masked: Option<u64>,
    /// As many were seen to be saved.
    #[serde(default)]
    pub masked_at_least: u64,
    /// Successful requests that reached the apps of two pods.
    #[serde(default)]
    pub doubled: u64,
    /// The setting that would show masked failures.
    pub masked_hint: Option<String>,
    /// What was not seen.
    pub blindness: Vec<Blindness>,
    /// The proxies' logs of which lines were not understood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs_not_understood: Vec<NotUnderstood>,
    /// What is known of the clocks.
    pub clocks: Vec<ClockBound>,
    /// Latency from the intended send time.
    pub latency: Vec<LatencySummary>,
    /// How the harness fared.
    pub harness: HarnessSummary,
    /// One entry for each stored failed request, in the order of the record.
    pub failures: Vec<FailureEntry>,
}

/// What ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run's id.
    pub id: String,
    /// The scenario's name; of an import the capture's folder.
    pub name: String,
    /// `live` or `import`.
    pub origin: String,
    /// Version of the tool that recorded it.
    pub tool_version: String,
    /// RFC 3339, by the harness's wall clock.
    pub started_at: String,
    /// Length of the record.
    pub seconds: f64,
    /// The cluster.
    pub cluster: String,
    /// The namespace.
    pub namespace: String,
    /// The workload.
    pub workload: Option<String>,
    /// The Service.
    pub service: Option<String>,
    /// The steps, as they went.
    pub steps: Vec<String>,
}

/// One client's sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientSummary {
    /// Its name.
    pub client: String,
    /// It sits behind a sidecar.
    pub meshed: bool,
    /// Requests sent; `null`: not counted.
    pub sent: Option<u64>,
    /// Failed.
    pub failed: u64,
}

/// One cause's sums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CauseSummary {
    /// The cause.
    pub cause: Cause,
    /// Failed requests.
    pub count: u64,
    /// Outbound calls that the target's pods lost by it, which no client saw.
    #[serde(default)]
    pub calls: u64,
    /// Of the requests by confidence.
    pub confidence: BTreeMap<String, u64>,
    /// Of the requests by pod, where it was proved.
    pub pods: BTreeMap<String, u64>,
    /// What the cause means.
    pub meaning: String,
    /// Where the requests were lost, and whose that is, the most frequent first:
    /// `the pod's sidecar (Istio)`.
    #[serde(default)]
    pub places: Vec<String>,
    /// The request that shows it best, or the pod where no request failed by it
    /// (`lastwatch explain RUN REQUEST_OR_POD`).
    pub sample: String,
}

/// One stored failed request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureEntry {
    /// The client.
    pub client: String,
    /// The request.
    pub request_id: String,
    /// The event in `events.jsonl`.
    pub event: u64,
    /// When it was sent.
    pub sent: f64,
    /// When it had failed.
    pub end: f64,
    /// What the client saw: `refused in connect on a new connection`.
    pub seen: String,
    /// Why.
    pub cause: Cause,
    /// How surely.
    pub confidence: Confidence,
    /// The hop that broke.
    pub hop: Hop,
    /// The pod, where it is proved.
    pub pod: Option<String>,
    /// The best competitor.
    pub runner_up: Option<RunnerUp>,
    /// Circumstances.
    pub modifiers: Vec<Modifier>,
    /// What speaks for it, and what refuted the others.
    pub evidence: Vec<Evidence>,
}

/// How the harness fared over the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HarnessSummary {
    /// Intended to real send, 99th percentile, milliseconds; `null`: not measured.
    pub slip_p99_ms: Option<f64>,
    /// Arrivals that found no connection.
    pub dropped_arrivals: u64,
    /// Failures that were counted and not stored.
    pub unstored_failures: u64,
    /// Events for which the recorder had no room.
    pub lost_events: u64,
    /// Share of one CPU.
    pub cpu: Option<f64>,
    /// Its faults.
    pub faults: Vec<String>,
}
