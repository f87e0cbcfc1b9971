//! What does the lab's API server offer beside the Kubernetes API?
//!
//! `GET /lab/requests` tells which requests came; `POST /lab/faults` breaks something on purpose.
//! Only the administrator may.

use super::access::User;
use super::respond::{self, Answer};
use super::{Api, parse};
use crate::lab::store::Status;
use http::Method;
use http::request::Parts;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// What can be broken.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Wanted {
    cut_watches: bool,
    expire_history: bool,
    outage_ms: u64,
    throttle_requests: u32,
    retry_after_seconds: u32,
    revoke_token: Option<String>,
}

impl Api {
    pub(super) fn lab_page(
        &self,
        user: &User,
        parts: &Parts,
        body: &[u8],
    ) -> Result<Answer, Status> {
        if *user != User::admin() {
            let message = format!("User \"{}\" may not change the lab", user.name);
            return Err(Status::forbidden("lab", "", message));
        }
        match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/lab/requests") => {
                Ok(respond::json(200, &json!({"requests": self.requests()})))
            }
            (&Method::POST, "/lab/faults") => {
                let wanted = Wanted::deserialize(parse(parts, body)?)
                    .map_err(|error| Status::bad_request(&format!("no such fault: {error}")))?;
                self.break_on_purpose(&wanted);
                Ok(respond::json(200, &json!({})))
            }
            _ => Err(Status::unknown_resource()),
        }
    }

    fn break_on_purpose(&self, wanted: &Wanted) {
        if let Some(token) = &wanted.revoke_token {
            self.revoke_token(token);
        }
        if wanted.throttle_requests > 0 {
            self.throttle(wanted.throttle_requests, wanted.retry_after_seconds);
        }
        if wanted.expire_history {
            self.expire_history();
        }
        if wanted.cut_watches {
            self.cut_watches();
        }
        if wanted.outage_ms > 0 {
            self.outage(Duration::from_millis(wanted.outage_ms));
        }
    }
}
