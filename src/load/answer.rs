//! Is a complete answer the expected one, and what does it tell about who sent it?

use super::request::Class;
use crate::evidence::{Outcome, ResponseFacts};
use http::HeaderMap;

/// Bytes of a body that a failure keeps.
pub(super) const BODY_PREFIX: usize = 256;

/// Bytes of a body that a pattern may look at: 1 MiB for each request in flight that has one.
pub(super) const BODY_SEARCHED: usize = 1 << 20;

/// An answer as far as it came.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// The head's headers.
    pub(super) headers: HeaderMap,
    /// The start of the body.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Keeps of a piece of the body what a failure or a pattern may need.
    pub(super) fn keep(&mut self, piece: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.body.len());
        self.body.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// What is wrong with the complete answer, if anything is.
    pub(super) fn fault(&self, class: &Class) -> Option<Outcome> {
        let grpc = self.text("grpc-status").and_then(|code| code.parse().ok());
        if !class.expects(self.status) || grpc.is_some_and(|code: u32| code != 0) {
            return Some(Outcome::Status {
                code: self.status,
                grpc,
            });
        }
        let pattern = class.pattern.as_ref()?;
        (!pattern.is_match(&self.body)).then_some(Outcome::UnexpectedBody { code: self.status })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The pod that the answer names.
    pub(super) fn pod(&self, header: &str) -> Option<&str> {
        self.text(header).filter(|pod| !pod.is_empty())
    }

    /// How often a proxy had tried the request, where the app echoes it.
    pub(super) fn attempts(&self) -> Option<u32> {
        self.text("x-envoy-attempt-count")?.parse().ok()
    }

    /// What the record keeps of it.
    pub(super) fn facts(&self, pod_header: &str) -> ResponseFacts {
        let envoy = self
            .headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-envoy-"))
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        let prefix = &self.body[..self.body.len().min(BODY_PREFIX)];
        ResponseFacts {
            server: self.text("server").map(str::to_owned),
            envoy,
            pod: self.pod(pod_header).map(str::to_owned),
            body: (!prefix.is_empty()).then(|| String::from_utf8_lossy(prefix).into_owned()),
        }
    }
}
