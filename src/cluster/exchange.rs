//! What did one call to the API bring, and when exactly was it made?
//!
//! Our own changes need the instant at which they were asked for, so calls are made one by one with
//! their instants kept, and never repeated by a layer below.

use super::connect::Cluster;
use super::error::Error;
use crate::evidence::{ApiExchange, RunClock};
use http::{Method, Request, header};
use http_body_util::BodyExt;
use kube::core::Status;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::{Duration, Instant};

/// For how long a call may take. The API server's own limit is a minute; a run cannot wait that long.
const PATIENCE: Duration = Duration::from_secs(15);

/// By how much the `Date` header is floored, in nanoseconds.
const DATE_FLOOR: i64 = 1_000_000_000;

/// How a patch is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 7386.
    Merge,
    /// Kubernetes' own: lists are merged by key.
    Strategic,
}

/// A call to be made.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    body: Option<(&'static str, Value)>,
}

impl Call {
    /// Reads.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            body: None,
        }
    }

    /// Creates.
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self {
            method: Method::POST,
            path: path.into(),
            body: Some(("application/json", body)),
        }
    }

    /// Replaces.
    pub fn put(path: impl Into<String>, body: Value) -> Self {
        Self {
            method: Method::PUT,
            path: path.into(),
            body: Some(("application/json", body)),
        }
    }

    /// Changes.
    pub fn patch(path: impl Into<String>, kind: PatchKind, body: Value) -> Self {
        let content_type = match kind {
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
        };
        Self {
            method: Method::PATCH,
            path: path.into(),
            body: Some((content_type, body)),
        }
    }

    /// Deletes, with `DeleteOptions`.
    pub fn delete(path: impl Into<String>, options: Value) -> Self {
        Self {
            method: Method::DELETE,
            path: path.into(),
            body: Some(("application/json", options)),
        }
    }

    /// `PATCH /apis/...`, for messages.
    pub fn act(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn request(&self) -> Request<kube::client::Body> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, super::MANAGER);
        let bytes = match &self.body {
            Some((content_type, body)) => {
                request = request.header(header::CONTENT_TYPE, *content_type);
                body.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        request
            .body(bytes.into())
            .expect("paths are made of Kubernetes names, which are valid in a URI")
    }
}

/// A call with its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    act: String,
    verb: String,
    path: String,
    sent: Instant,
    received: Instant,
    status: u16,
    date: Option<i64>,
    body: Vec<u8>,
}

impl Exchange {
    /// The answer's HTTP status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// When the call was made.
    pub const fn sent(&self) -> Instant {
        self.sent
    }

    /// The exchange as evidence.
    pub fn evidence(&self, clock: RunClock) -> ApiExchange {
        ApiExchange {
            verb: self.verb.clone(),
            path: self.path.clone(),
            sent: clock.offset_of(self.sent),
            received: clock.offset_of(self.received),
            status: self.status,
            server_stamp: self.date,
            server_floor: DATE_FLOOR,
        }
    }

    /// The answer's `Status` body, where it is one. An eviction may say 500 in its body under a
    /// status line of 201 (facts 1.12), so the body has to be asked as well.
    pub fn status_body(&self) -> Option<Status> {
        let value: Value = serde_json::from_slice(&self.body).ok()?;
        (value["kind"] == "Status")
            .then(|| serde_json::from_value(value).ok())
            .flatten()
    }

    /// The answer's object, if the call succeeded.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|source| Error::Garbled {
            act: self.act.clone(),
            source,
        })
    }

    fn refusal(&self, server: &str) -> Option<Error> {
        if self.status < 400 {
            return None;
        }
        let body = self.status_body();
        let (message, reason) = match body {
            Some(body) => (body.message, body.reason),
            None => {
                let text = String::from_utf8_lossy(&self.body);
                (text.trim().chars().take(200).collect(), String::new())
            }
        };
        let act = self.act.clone();
        Some(match self.status {
            401 => Error::Unauthorized {
                server: server.to_owned(),
                message,
            },
            403 => Error::Forbidden { act, message },
            code => Error::Api {
                act,
                code,
                reason,
                message,
            },
        })
    }
}

impl Cluster {
    /// Makes one call and gives its answer, whatever its status. An `Err` is a call without answer.
    pub async fn attempt(&self, call: &Call) -> Result<Exchange, Error> {
        let sent = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, async {
            let response = self.client().send(call.request()).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| {
                kube::Error::Service(format!("the answer broke off: {error}").into())
            })?;
            Ok::<_, kube::Error>((parts, body.to_bytes().to_vec()))
        })
        .await;
        let received = Instant::now();
        let (parts, body) = answer
            .map_err(|_| Error::Timeout {
                server: self.server().to_owned(),
                act: call.act(),
                patience: PATIENCE,
            })?
            .map_err(|source| self.no_answer(source))?;
        let date = parts
            .headers
            .get(header::DATE)
            .and_then(|value| value.to_str().ok())
            .and_then(epoch_of_date);
        Ok(Exchange {
            act: call.act(),
            verb: call.method.to_string(),
            path: call.path.clone(),
            sent,
            received,
            status: parts.status.as_u16(),
            date,
            body,
        })
    }

    /// Makes one call; a refusal is an error.
    pub async fn exchange(&self, call: &Call) -> Result<Exchange, Error> {
        let exchange = self.attempt(call).await?;
        match exchange.refusal(self.server()) {
            Some(error) => Err(error),
            None => Ok(exchange),
        }
    }

    /// The error that an answer means, for one that was got by [`Cluster::attempt`].
    pub fn refusal(&self, exchange: &Exchange) -> Option<Error> {
        exchange.refusal(self.server())
    }

    /// The error of an answer that its status does not explain.
    pub fn unknown_answer(&self, exchange: &Exchange, words: &str) -> Error {
        self.refusal(exchange).unwrap_or_else(|| Error::Api {
            act: exchange.act.clone(),
            code: exchange.status,
            reason: "unknown".to_owned(),
            message: words.to_owned(),
        })
    }

    /// Reads an object or a list.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.exchange(&Call::get(path)).await?.json()
    }

    /// Reads an object; `None` where there is none.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        match self.read(path).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn no_answer(&self, source: kube::Error) -> Error {
        let server = self.server().to_owned();
        let source = Box::new(source);
        match *source {
            kube::Error::HyperError(_) | kube::Error::Service(_) => Error::Unreachable {
                server,
                proxy: self.proxy().map(str::to_owned),
                source,
            },
            _ => Error::Client { server, source },
        }
    }
}

/// Epoch nanoseconds of an HTTP date (`Tue, 24 Nov 2026 17:31:05 GMT`).
fn epoch_of_date(text: &str) -> Option<i64> {
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    i64::try_from(zoned.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_header_becomes_a_stamp_of_whole_seconds() {
        assert_eq!(
            epoch_of_date("Thu, 01 Jan 1970 00:01:05 GMT"),
            Some(65_000_000_000)
        );
        assert_eq!(epoch_of_date("yesterday"), None);
    }
}
