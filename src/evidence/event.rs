//! In which form does a fact travel from who saw it to the record?

use super::marked::MarkedRequest;
use super::request::{ConnectionKind, FailedRequest};
use super::retries::RetryCounts;
use super::stamp::{Clock, Interval, RunOffset};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One fact with a time interval, a clock and a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the record, from 0, given by the recorder.
    pub seq: u64,
    /// When, on the harness's clock. For a watch event this is its arrival.
    pub at: Interval,
    /// Whose clock made the stamp that `at` came from.
    pub clock: Clock,
    /// Who saw it.
    pub source: Source,
    /// What was seen.
    pub kind: EventKind,
}

/// Who saw a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The load generator or a recorded client.
    Load,
    /// A watch of the API.
    Watch,
    /// A log stream.
    Log,
    /// A TCP probe of a pod's own address.
    Probe,
    /// The code that carries out steps.
    Disrupt,
    /// The run itself: phases, self-proof, health.
    Run,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A watch delivered a state of an object; `object` is verbatim without `managedFields`.
    /// The objects that exist when a watch starts come as `Added`.
    Object {
        /// Which resource.
        resource: Resource,
        /// What the watch called it.
        change: Change,
        /// The object.
        object: Value,
    },
    /// A source of evidence saw nothing for a while.
    Blind(Blindness),
    /// A request failed.
    RequestFailed(Box<FailedRequest>),
    /// A request of the self-proof was sent, to be found again in the logs.
    RequestMarked(MarkedRequest),
    /// Requests of one class, connection kind and pod whose sending fell into one bucket.
    Requests(RequestCounts),
    /// Latency over the whole run, of one class and connection kind.
    Latency(LatencySummary),
    /// A client took part.
    Client(ClientInfo),
    /// A phase of the run began.
    Phase(RunPhase),
    /// A step began, ended, or met something worth telling.
    Step(StepEvent),
    /// A call of ours to the API, for the clock and for the request instants of our own changes.
    Api(ApiExchange),
    /// A log stream opened, ended or broke. The lines themselves are in `logs/`.
    Log(LogNotice),
    /// A TCP probe of a pod's own address.
    Probe(PodProbe),
    /// The sidecar that a client sends through told its retries.
    RetriesCounted(RetryCounts),
    /// How the harness itself fared in the last second or over the run.
    Harness(Harness),
}

/// A resource that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// `v1` pods.
    Pods,
    /// `discovery.k8s.io/v1` endpoint slices.
    EndpointSlices,
    /// `v1` events.
    Events,
    /// `apps/v1` deployments.
    Deployments,
    /// `apps/v1` replica sets.
    ReplicaSets,
    /// `apps/v1` stateful sets.
    StatefulSets,
    /// `apps/v1` daemon sets.
    DaemonSets,
    /// `batch/v1` jobs.
    Jobs,
    /// `v1` nodes.
    Nodes,
    /// `coordination.k8s.io/v1` leases.
    Leases,
    /// `v1` services.
    Services,
    /// `policy/v1` disruption budgets.
    PodDisruptionBudgets,
}

/// What a watch called a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Change {
    /// Created, or there when the watch started, or found by a new list after a gap.
    Added,
    /// Changed.
    Modified,
    /// Removed from storage.
    Deleted,
}

/// A span in which a source of evidence was not seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blindness {
    /// What was not seen: `pods`, `endpointslices`, `logs/<pod>/<container>`, `requests`, ...
    pub what: String,
    /// The first instant not seen; absent: never seen in this run.
    pub from: Option<RunOffset>,
    /// The first instant seen again; absent: not until the end.
    pub to: Option<RunOffset>,
    /// Why.
    pub reason: String,
    /// After a new list: the uids that exist. What is missing from it was deleted in the gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uids: Option<Vec<String>>,
    /// The watch went on from where it had stopped: nothing is missing, but what happened meanwhile
    /// was delivered late, after `to`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
}

/// What is not seen where the pods on the way in a namespace are not.
pub(crate) fn gateways_in(namespace: &str) -> String {
    format!("gateways in {namespace}")
}

/// Requests that were sent within one bucket. Failures of the bucket are counted here too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestCounts {
    /// The client.
    pub client: String,
    /// Start of the bucket, by send time.
    pub bucket: RunOffset,
    /// Width of the bucket in nanoseconds.
    pub width: i64,
    /// Request class.
    pub class: String,
    /// Connection kind.
    pub connection: ConnectionKind,
    /// The pod that answered, where the response named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Answered as expected.
    pub ok: u64,
    /// Failed. A failed request that names no pod is counted under no pod.
    pub failed: u64,
    /// Of those answered as expected: how many told how often a proxy had tried them
    /// (`x-envoy-attempt-count`, where the app echoes it).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts_told: u64,
    /// Of these: how many had been tried more than once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retried: u64,
    /// Of the answered ones: the latest sending. That pod still accepted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_sent: Option<RunOffset>,
    /// Of the answered ones: the earliest end. That pod answered by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest_end: Option<RunOffset>,
    /// Of the answered ones: the latest end. That pod was alive within the request before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_end: Option<RunOffset>,
}

/// Latency of answered requests from the intended send time, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencySummary {
    /// The client.
    pub client: String,
    /// Request class.
    pub class: String,
    /// Connection kind.
    pub connection: ConnectionKind,
    /// Number of answers.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Slowest.
    pub max: u64,
}

/// A client that took part in the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientInfo {
    /// Its name.
    pub name: String,
    /// It sits behind a sidecar: its errno says nothing about the pod.
    pub meshed: bool,
    /// The pod it runs in, where it runs in one (its sidecar's log is that pod's).
    pub pod: Option<String>,
    /// The target as the client addresses it: `10.96.0.10:80`.
    pub target: Option<String>,
    /// Whether successes were counted.
    pub counted: bool,
}

/// A phase of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunPhase {
    /// Checks before the first request.
    SelfProof,
    /// Load without disruption: the control.
    Baseline,
    /// Steps are carried out.
    Disruption,
    /// After the last old pod is gone.
    Settle,
    /// Load has stopped; logs drain.
    Finished,
    /// The user or an abort ended the run early.
    Interrupted,
}

/// Something about a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepEvent {
    /// Index in the plan, from 0.
    pub index: usize,
    /// `rollingRestart`, `scale`, ..., `external`.
    pub step: String,
    /// `started`, `ended`, `failed`, `note`.
    pub state: String,
    /// For people: what was changed, or what was met.
    pub text: String,
}

/// A call to the API: `sent` and `received` are ours, `server_date` is the server's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiExchange {
    /// HTTP verb.
    pub verb: String,
    /// Request path.
    pub path: String,
    /// When the request was sent.
    pub sent: RunOffset,
    /// When its answer had come.
    pub received: RunOffset,
    /// HTTP status.
    pub status: u16,
    /// A stamp of the server that lies between the two: epoch nanoseconds, floored.
    pub server_stamp: Option<i64>,
    /// By how many nanoseconds the server floors it (1 s for a `Date`).
    pub server_floor: i64,
}

/// A log stream's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogNotice {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// `opened`, `ended`, `broken`, `kubelet-error`.
    pub state: String,
    /// What was met.
    pub text: String,
}

/// A TCP connect to a pod's own address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodProbe {
    /// The pod.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// Address and port.
    pub address: String,
    /// When the connect began; `at` of the event spans from here to its answer.
    pub sent: RunOffset,
    /// What came of it.
    pub outcome: ProbeOutcome,
}

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeOutcome {
    /// Accepted: somebody listens.
    Accepted,
    /// ECONNREFUSED: the namespace lives, nobody listens.
    Refused,
    /// ECONNRESET.
    Reset,
    /// No answer in the probe's patience.
    Timeout,
    /// EHOSTUNREACH, ENETUNREACH.
    Unreachable,
    /// The harness could not probe.
    Failed,
}

const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How the harness fared (design 6, self-proof).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Harness {
    /// `proof` (before the disruption), `second` (a sample) or `total` (at the end).
    pub scope: String,
    /// Intended to real send, 99th percentile, nanoseconds.
    pub slip_p99: Option<i64>,
    /// Arrivals that were not sent: they found no connection, or were overdue.
    pub dropped_arrivals: u64,
    /// Of these, the overdue ones: due before load ended, held up by a stall until then.
    #[serde(skip_serializing_if = "is_zero")]
    pub overdue_arrivals: u64,
    /// Failures beyond the storage limit: counted, not stored.
    pub unstored_failures: u64,
    /// Events that the recorder had no room for.
    pub lost_events: u64,
    /// Share of one CPU that the harness used, 0.0 and up.
    pub cpu: Option<f64>,
    /// File handles left below the limit.
    pub files_left: Option<u64>,
    /// Ephemeral ports left.
    pub ports_left: Option<u64>,
    /// Defects by name: `refused-probe`, `schedule`, `marked-requests`, `watch`, `clock-step`, ... with what
    /// was seen.
    pub faults: Vec<String>,
}

impl Harness {
    /// Slip (99th percentile, nanoseconds) from which on a harness is too slow (design 6).
    pub const MAX_SLIP_P99: i64 = 5_000_000;
}
