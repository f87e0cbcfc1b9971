//! Which errors does the API answer with, in the words that clients know?

use super::{Resource, resource};
use serde_json::{Value, json};

/// A Kubernetes `Status` that says why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// The machine's word (`NotFound`, `Conflict`, ...), empty where Kubernetes gives none.
    pub reason: &'static str,
    /// The people's words.
    pub message: String,
    /// `details`, null when there are none.
    pub details: Value,
}

impl Status {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self {
            code,
            reason,
            message,
            details: Value::Null,
        }
    }

    fn about(mut self, plural: &str, name: &str) -> Self {
        let group = resource(plural).map(|kind| kind.group).unwrap_or_default();
        self.details = json!({"name": name, "kind": plural});
        if !group.is_empty() {
            self.details["group"] = json!(group);
        }
        self
    }

    /// 404 for an object.
    pub fn not_found(plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(plural));
        Self::new(404, "NotFound", message).about(plural, name)
    }

    /// 404 for a path that leads nowhere.
    pub fn unknown_resource() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::new(404, "NotFound", message)
    }

    /// 409 for a name that is taken.
    pub fn already_exists(plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(plural));
        Self::new(409, "AlreadyExists", message).about(plural, name)
    }

    /// 409 for a precondition or a resourceVersion that does not hold.
    pub fn conflict(plural: &str, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            qualified(plural)
        );
        Self::new(409, "Conflict", message).about(plural, name)
    }

    /// 409 in the words that every client retries on.
    pub fn outdated(plural: &str, name: &str) -> Self {
        Self::conflict(
            plural,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 422 for one field.
    pub fn invalid(kind: &Resource, name: &str, field: &str, cause: &str, why: &str) -> Self {
        let full = if kind.group.is_empty() {
            kind.kind.to_owned()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        let mut status = Self::new(
            422,
            "Invalid",
            format!("{full} \"{name}\" is invalid: {field}: {why}"),
        );
        status.details = json!({
            "name": name,
            "kind": kind.kind,
            "causes": [{"reason": cause, "message": why, "field": field}],
        });
        if !kind.group.is_empty() {
            status.details["group"] = json!(kind.group);
        }
        status
    }

    /// 410 for a resourceVersion that the history no longer reaches.
    pub fn gone(asked: u64, oldest: u64) -> Self {
        let message = format!("too old resource version: {asked} ({oldest})");
        Self::new(410, "Expired", message)
    }

    /// 400.
    pub fn bad_request(message: &str) -> Self {
        Self::new(400, "BadRequest", message.to_owned())
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized".to_owned())
    }

    /// 403 with the whole sentence.
    pub fn forbidden(plural: &str, name: &str, message: String) -> Self {
        Self::new(403, "Forbidden", message).about(plural, name)
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::new(405, "MethodNotAllowed", message)
    }

    /// 415 for a body or a patch of a kind that is not understood.
    pub fn unsupported_media_type(given: &str, accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted} (got {given:?})"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 429 with the seconds to wait.
    pub fn too_many_requests(message: &str, retry_after: u32) -> Self {
        let mut status = Self::new(429, "TooManyRequests", message.to_owned());
        if retry_after > 0 {
            status.details = json!({"retryAfterSeconds": retry_after});
        }
        status
    }

    /// 500.
    pub fn internal(message: &str) -> Self {
        Self::new(500, "InternalError", message.to_owned())
    }

    /// 500 as the eviction subresource gives it: without a reason.
    pub fn failure(message: &str) -> Self {
        Self::new(500, "", message.to_owned())
    }

    /// 503 while the server does not serve.
    pub fn unavailable(message: &str) -> Self {
        Self::new(503, "ServiceUnavailable", message.to_owned())
    }

    /// Seconds after which to ask again, when the status says so.
    pub fn retry_after(&self) -> Option<u64> {
        self.details["retryAfterSeconds"].as_u64()
    }

    /// The `Status` object.
    pub fn to_object(&self) -> Value {
        let mut object = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if !self.reason.is_empty() {
            object["reason"] = json!(self.reason);
        }
        if !self.details.is_null() {
            object["details"] = self.details.clone();
        }
        object
    }
}

fn qualified(plural: &str) -> String {
    resource(plural).map_or_else(|| plural.to_owned(), Resource::qualified)
}
