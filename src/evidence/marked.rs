//! Which requests were sent to be found again in the logs?

use super::stamp::RunOffset;
use serde::{Deserialize, Serialize};

/// A request of the self-proof. Its access lines tell of the clocks they were stamped by: all that
/// a proxy did for it lies between its sending and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MarkedRequest {
    /// Its id, as `x-request-id`, as `x-lastwatch-id` and in its query.
    pub request_id: String,
    /// The client.
    pub client: String,
    /// When its sending began.
    pub sent: RunOffset,
    /// When the last byte of its answer had come, where one came.
    pub answered: Option<RunOffset>,
    /// HTTP status of the answer.
    pub status: Option<u16>,
    /// The pod that the answer named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}
