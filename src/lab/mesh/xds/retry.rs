//! Which failed requests does a sidecar try again (facts 4.7)?

use crate::lab::mesh::settings::{Retries, Settings};
use serde_json::{Value, json};

/// Istio's policy towards other pods; `None`: no second try.
pub(super) fn outbound(settings: &Settings) -> Option<Value> {
    let (conditions, statuses): (_, &[u16]) = match settings.retries {
        Retries::None => return None,
        Retries::Since124 => ("connect-failure,refused-stream,unavailable,cancelled", &[]),
        Retries::Before124 => (
            "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
            &[503],
        ),
    };
    Some(json!({
        "retry_on": conditions,
        "num_retries": 2,
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            },
        }],
        "host_selection_retry_max_attempts": "5",
        "retriable_status_codes": statuses,
    }))
}

/// The policy towards the own app, since 1.24.
pub(super) fn inbound(settings: &Settings) -> Option<Value> {
    settings
        .inbound_retry
        .then(|| json!({"retry_on": "reset-before-request", "num_retries": 2}))
}
