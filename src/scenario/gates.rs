//! Which conditions must a run meet (design 6)?

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The gates of a plan; `None` is a gate that is off. [`Gates::default`] has those of a live run,
/// [`Gates::for_import`] those of a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gates {
    /// Failures that the control does not explain.
    pub max_failed: Option<u64>,
    /// Requests that must have been started inside termination windows.
    pub min_exposure: Option<u64>,
    /// Containers killed by SIGKILL.
    pub max_sigkills: Option<u64>,
    /// Calls that terminating pods lost after their sidecar had ended.
    pub max_outbound_failures: Option<u64>,
    /// No sidecar may end before its app.
    pub sidecar_outlives_app: bool,
    /// The smallest drain margin that a pod may have.
    pub min_drain_margin: Option<Duration>,
    /// The slowest 99th percentile of any class and connection kind.
    pub max_p99: Option<Duration>,
    /// Log lines that match `observe.logPatterns`.
    pub max_log_matches: Option<u64>,
    /// Requests that only a proxy's retry saved.
    pub max_masked: Option<u64>,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            max_failed: Some(0),
            min_exposure: Some(200),
            max_sigkills: Some(0),
            max_outbound_failures: Some(0),
            sidecar_outlives_app: true,
            min_drain_margin: None,
            max_p99: None,
            max_log_matches: None,
            max_masked: None,
        }
    }
}

impl Gates {
    /// The defaults with `minExposure` off: nobody chose the load of a capture.
    pub fn for_import() -> Self {
        Self {
            min_exposure: None,
            ..Self::default()
        }
    }
}
