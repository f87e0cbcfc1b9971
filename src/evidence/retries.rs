//! What has the sidecar that a client sends through counted of its retries?

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One look at the statistics of a client's own sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryCounts {
    /// The client.
    pub client: String,
    /// Since when its Envoy runs, in seconds; never more than it really does.
    pub uptime: Option<u64>,
    /// By cluster (`outbound|80||demo.shop.svc.cluster.local`): requests that were tried again, and
    /// whose last answer was none to try again for (`upstream_rq_retry_success`). The target's
    /// clusters, and of the others those that have counted anything.
    pub saved: BTreeMap<String, u64>,
}

/// The clusters in which a sidecar counts requests to a Service begin like this after
/// `outbound|PORT|SUBSET|`, whatever the mesh's domain.
pub(crate) fn host_prefix(service: &str, namespace: &str) -> String {
    format!("{service}.{namespace}.svc.")
}
