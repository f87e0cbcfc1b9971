//! What does a valid scenario mean?
//!
//! A [`Plan`] is valid by construction: its quantities have units, its paths are resolved, its
//! defaults are filled in. It is stored in `run.json`, so it serialises.

use super::gates::Gates;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// `maxBaselineFailed` where a scenario does not set it.
pub const MAX_BASELINE_FAILED: f64 = 0.01;

/// A scenario that is valid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// `metadata.name`.
    pub name: String,
    /// What is disturbed and what is asked.
    pub target: Target,
    /// The load.
    pub load: LoadPlan,
    /// The disruptions, in order.
    pub steps: Vec<Step>,
    /// What is watched beside the API objects.
    pub observe: ObservePlan,
    /// The conditions.
    pub gates: Gates,
    /// The run is ended early beyond this many failed requests; `None`: never.
    pub abort_after_failed: Option<u64>,
    /// The share of failed requests in the baseline beyond which the run says nothing
    /// ([`MAX_BASELINE_FAILED`]).
    pub max_baseline_failed: f64,
    /// How often the whole is repeated.
    pub repeat: Repeat,
    /// How the embedded lab is set up; ignored against a real cluster.
    pub lab: LabPlan,
}

impl Plan {
    /// The plan as it may be stored: values from the environment or a file are blotted out.
    pub fn without_secrets(&self) -> Self {
        let mut plan = self.clone();
        for class in &mut plan.load.requests {
            for (name, value) in &mut class.headers {
                if class.secret_headers.contains(name) {
                    REDACTED.clone_into(value);
                }
            }
            if class.secret_body {
                class.body = Some(REDACTED.to_owned());
            }
        }
        plan
    }
}

/// Stands where a value was blotted out.
const REDACTED: &str = "(not stored)";

/// What is disturbed and what is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The workload.
    pub workload: Workload,
    /// The namespace, where the scenario names one: `--namespace` overrules it; else the context's.
    pub namespace: Option<String>,
    /// The Service whose slices list the workload's pods; `None` only beside a `url`.
    pub service: Option<String>,
    /// The Service's port: its number or its name. `None`: its only port.
    pub port: Option<String>,
    /// Asked instead of the Service: an ingress or load balancer.
    pub url: Option<String>,
}

/// A workload by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

/// Kinds of workloads that a scenario can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `batch/v1` Job.
    Job,
}

impl fmt::Display for Workload {
    /// `deployment/demo`, as kubectl writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            WorkloadKind::Deployment => "deployment",
            WorkloadKind::StatefulSet => "statefulset",
            WorkloadKind::DaemonSet => "daemonset",
            WorkloadKind::Job => "job",
        };
        write!(f, "{kind}/{}", self.name)
    }
}

/// The load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadPlan {
    /// Where the harness sends from.
    pub from: LoadFrom,
    /// The rates, one after the other; the last one goes on to the end of the run.
    pub stages: Vec<Stage>,
    /// How arrivals are spaced.
    pub arrival: Arrival,
    /// The connections.
    pub connections: Connections,
    /// The request classes; never empty.
    pub requests: Vec<RequestClass>,
    /// Load without disruption: the control.
    pub baseline: Duration,
    /// Load after the last old pod is gone.
    pub settle: Duration,
}

/// Where the harness sends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadFrom {
    /// From where `lastwatch` runs.
    Local,
    /// From a pod without a sidecar.
    Pod,
    /// From a pod with a sidecar.
    MeshedPod,
}

/// A rate for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Arrivals per second.
    pub rate: f64,
    /// For how long; `None`: to the end of the run.
    pub duration: Option<Duration>,
}

/// How arrivals are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrival {
    /// Evenly.
    Constant,
    /// Exponentially.
    Poisson,
}

/// The connections of the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// The share of arrivals that get a connection of their own, 0.0 to 1.0.
    pub new: f64,
    /// Kept connections at most; beyond it an arrival that finds none idle is counted as dropped.
    pub pool: usize,
    /// A kept connection is closed after this many requests; `None`: never.
    pub max_requests: Option<u64>,
    /// A kept connection that was idle for this long is closed by the client; `None`: never.
    pub max_idle: Option<Duration>,
}

/// A class of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestClass {
    /// Its name.
    pub name: String,
    /// Its share among the classes' weights.
    pub weight: f64,
    /// HTTP method, upper case.
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// Headers, values resolved.
    pub headers: BTreeMap<String, String>,
    /// Body, resolved.
    pub body: Option<String>,
    /// Patience from the intended send time to the last byte.
    pub timeout: Duration,
    /// The id goes into the query string as well (`lastwatch-id`).
    pub id_in_query: bool,
    /// The statuses that are fine; empty: every one below 400. See [`RequestClass::accepts`].
    pub expect_status: Vec<u16>,
    /// A regular expression that the body must match.
    pub expect_body: Option<String>,
    /// Headers whose values came from the environment or a file: they are not for `run.json`.
    #[serde(default)]
    pub secret_headers: BTreeSet<String>,
    /// The body came from the environment or a file.
    #[serde(default)]
    pub secret_body: bool,
}

impl RequestClass {
    /// An answer with this status is fine, as far as the status goes.
    pub fn accepts(&self, status: u16) -> bool {
        if self.expect_status.is_empty() {
            status < 400
        } else {
            self.expect_status.contains(&status)
        }
    }

    /// The method may change something at the target, so that sending it needs consent.
    pub fn changes_state(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }
}

/// One disruption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// The step fails when it is not over by then; `None`: as the workload's own settings allow, which
    /// is known when the cluster is.
    pub timeout: Option<Duration>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// As `kubectl rollout restart`; over when every old pod is gone.
    RollingRestart,
    /// Sets `spec.replicas`; over when the number is there and every surplus pod is gone.
    Scale {
        /// Replicas.
        to: u32,
    },
    /// Deletes ready pods of the workload; over when they are gone and replaced.
    DeletePod {
        /// How many.
        pods: u32,
        /// Grace period instead of the pod's own.
        grace: Option<Duration>,
    },
    /// Evicts ready pods of the workload through the eviction API; 429 is waited out.
    Evict {
        /// How many.
        pods: u32,
    },
    /// Changes a container's image and waits as for a restart.
    SetImage {
        /// The container; `None`: the only one.
        container: Option<String>,
        /// The image.
        image: String,
    },
    /// Waits.
    Wait {
        /// For how long.
        duration: Duration,
    },
}

impl Action {
    /// The name as the scenario writes it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RollingRestart => "rollingRestart",
            Self::Scale { .. } => "scale",
            Self::DeletePod { .. } => "deletePod",
            Self::Evict { .. } => "evict",
            Self::SetImage { .. } => "setImage",
            Self::Wait { .. } => "wait",
        }
    }

    /// It changes something in the cluster.
    pub const fn disrupts(&self) -> bool {
        !matches!(self, Self::Wait { .. })
    }
}

/// What is watched beside the API objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservePlan {
    /// Containers whose logs the run needs; empty: all are followed, none is needed.
    pub logs: Vec<String>,
    /// Regular expressions whose matches are counted (`maxLogMatches`).
    pub log_patterns: Vec<String>,
    /// Regular expressions that tell a lost outbound call in an app's log (design 6).
    pub outbound_patterns: Vec<String>,
    /// Envoy format string of a custom TEXT access log.
    pub access_log_format: Option<String>,
    /// Other namespaces whose gateways, waypoints and ztunnels are watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
}

/// The outbound patterns of design 6, whatever their case, and the words that other languages and
/// clients have for the same. None of them may match what an app says of itself: a shutdown that took
/// too long ends with `context deadline exceeded` as well, so that and a bare `EOF` count only as the
/// end of a call to a URL.
pub const DEFAULT_OUTBOUND_PATTERNS: &[&str] = &[
    // Go, Java, Rust, Python, Ruby, .NET, older curl.
    "connection refused",
    "connection reset",
    "no route to host",
    "i/o timeout",
    "unexpected EOF",
    "upstream connect error",
    "UNAVAILABLE",
    // Node.
    r"\bECONNREFUSED\b",
    "socket hang up",
    // Python: asyncio, httpx, http.client.
    "connect call failed",
    "all connection attempts failed",
    "remote end closed connection without response",
    // curl.
    "(?:couldn't|could not) connect to server",
    "empty reply from server",
    // Go's errors of a call: `Get "http://peer/": EOF`.
    r#""https?://[^"\s]+": (?:\S.* )?(?:EOF|context deadline exceeded)\b"#,
];

impl Default for ObservePlan {
    fn default() -> Self {
        Self {
            logs: Vec::new(),
            log_patterns: vec!["upstream connect error".to_owned()],
            outbound_patterns: DEFAULT_OUTBOUND_PATTERNS
                .iter()
                .map(|pattern| (*pattern).to_owned())
                .collect(),
            access_log_format: None,
            gateways: Vec::new(),
        }
    }
}

/// How often the whole is repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repeat {
    /// At most this often.
    pub max: u32,
    /// Until the upper bound of the failure probability is below this share; `None`: `max` times.
    pub until_upper_bound: Option<f64>,
}

/// How the embedded lab is set up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabPlan {
    /// Manifests to apply, resolved against the scenario's folder.
    pub manifests: Vec<PathBuf>,
    /// How long an endpoint change takes to reach a node's service proxy.
    pub endpoint_propagation: Option<Delay>,
    /// The same for the proxies of a mesh, after istiod's debounce.
    pub mesh_propagation: Option<Delay>,
    /// Seconds by which each node's clock is ahead, by node name: `node1` and `node2`, or as the lab
    /// has them in full.
    pub clock_skew: BTreeMap<String, f64>,
    /// Settings of the mesh: drain defaults, retry policy, log encoding and others.
    pub mesh: BTreeMap<String, serde_json::Value>,
}

/// A delay: fixed when both are alike, else uniform between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// At least.
    pub min: Duration,
    /// At most.
    pub max: Duration,
}
