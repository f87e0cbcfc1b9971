//! What did one failure look like, and which hop does it speak of (design 6, "Hops")?
//!
//! A client's own error is about its next hop only. A reply that a proxy made by itself is about
//! the hop behind that proxy. [`Case::of`] reads a failed request into one [`Shape`], so that
//! explainers reason about hops and processes and not about header texts.

use super::Hop;
use super::join;
use super::scene::{Scene, is_meshed};
use crate::evidence::{
    ConnectionKind, ErrorClass, FailedRequest, Interval, Outcome, RequestPhase, RunOffset,
};

/// A failed request and what it looks like.
pub(super) struct Case<'a> {
    pub(super) request: &'a FailedRequest,
    pub(super) event: u64,
    /// The client's place in the order of their names; beyond them where none of that name took part.
    pub(super) client: usize,
    pub(super) meshed: bool,
    pub(super) shape: Shape,
    pub(super) end: RunOffset,
    /// The pod, where something proves it.
    pub(super) pod: Option<Known>,
    /// Where several lines fit: the pods that they mean.
    pub(super) among: Option<Vec<usize>>,
    /// Its lines were joined without its id, and others fit as well: it proves nothing.
    pub(super) doubtful: bool,
    /// That the client's own proxy answered is known only by what the answer lacks.
    pub(super) lacks: bool,
    /// A proxy had a connection to the pod that it names when its patience or the client's ended.
    pub(super) connected: Option<bool>,
    /// A proxy had tried before, and said so.
    pub(super) retried: bool,
    /// What the sidecar on the client's side logged of it.
    pub(super) client_line: Option<String>,
    /// What the pod's own sidecar logged of it.
    pub(super) server_line: Option<String>,
}

/// The pod of a failed request, and what proves it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) pod: usize,
    pub(super) by: &'static str,
    pub(super) line: Option<String>,
}

/// What a failure looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// A hop between two processes failed.
    Link(Link),
    /// An app answered with an unexpected status.
    AppReply(u16),
    /// No pod was chosen.
    NobodyChosen,
    /// A circuit breaker or an ejection.
    Overload,
    /// Routes, clusters, TLS, faults, access rules.
    Config,
    /// The client's patience ended while it waited for an answer.
    NoAnswer,
    /// A proxy's patience ended while it waited for an answer.
    ProxyTimeout,
    /// The client's own limits.
    Local,
    /// The client could not resolve the name.
    Resolve,
    /// The client's connection to its own sidecar broke.
    OwnSidecar,
    /// Nothing that is known.
    Other,
}

/// A hop that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Link {
    /// [`Hop::Pod`] (into the pod) or [`Hop::ServerSidecar`] (from the pod's proxy to its app).
    pub(super) hop: Hop,
    pub(super) kind: LinkKind,
    /// It failed within moments of the sending.
    pub(super) fast: bool,
    /// The connection had carried requests before; `None`: not known.
    pub(super) reused: Option<bool>,
    /// When the connection was last known to work, before this request.
    pub(super) last_good: Option<RunOffset>,
}

/// How a hop failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// Nobody listened.
    Refused,
    /// Nobody was there to answer.
    Vanished,
    /// Established, then ended without an answer.
    Cut,
}

/// A cut within this time of the sending may as well have been there before it.
pub(super) const FAST: i64 = 25_000_000;

/// Linux waits a second before it sends the first packet of a connection again.
const SENT_AGAIN: i64 = 900_000_000;

impl<'a> Case<'a> {
    /// Reads one failed request.
    pub(super) fn of(scene: &Scene<'_>, event: u64, request: &'a FailedRequest) -> Self {
        let meshed = is_meshed(&scene.clients, &request.client);
        let sent = request.sent.unwrap_or(request.intended);
        let mut order = scene.clients.keys();
        let mut case = Self {
            request,
            event,
            client: order
                .position(|name| *name == request.client)
                .unwrap_or(usize::MAX),
            meshed,
            shape: Shape::Other,
            end: request.end,
            pod: None,
            among: None,
            doubtful: false,
            lacks: false,
            connected: None,
            retried: false,
            client_line: None,
            server_line: None,
        };
        case.shape = match &request.outcome {
            Outcome::Transport { class, .. } => case.transport(*class),
            Outcome::Status { code, .. } | Outcome::UnexpectedBody { code } => {
                case.reply(scene, *code)
            }
        };
        if let Some(name) = &request.response.pod
            && let Some(pod) = scene.pod_named(name, sent)
        {
            case.pod = Some(Known {
                pod,
                by: "the answer names the pod",
                line: None,
            });
        }
        join::apply(scene, &mut case);
        case
    }

    /// Something points at the pod, or at few of them.
    pub(super) fn pointed(&self) -> bool {
        self.pod.is_some() || self.among.is_some()
    }

    /// An answer of this pod was awaited, on a connection to it, when a proxy's patience ended.
    pub(super) fn awaited(&self, index: usize) -> bool {
        let known = self.pod.as_ref().is_some_and(|known| known.pod == index);
        self.shape == Shape::ProxyTimeout && self.connected == Some(true) && known
    }

    /// When the request went out.
    pub(super) fn sent(&self) -> RunOffset {
        self.request.sent.unwrap_or(self.request.intended)
    }

    /// From the sending to the failure.
    pub(super) fn span(&self) -> Interval {
        Interval::between(self.sent(), self.end)
    }

    /// From the last sign of life of its connection to the failure; from the sending on a new one.
    pub(super) fn silence(&self) -> Interval {
        let lo = match self.shape {
            Shape::Link(Link {
                last_good: Some(last),
                ..
            }) => last,
            _ => self.sent(),
        };
        Interval::between(lo, self.end)
    }

    fn transport(&self, class: ErrorClass) -> Shape {
        match class {
            ErrorClass::LocalLimit => return Shape::Local,
            ErrorClass::Resolve => return Shape::Resolve,
            _ => {}
        }
        let connecting = matches!(
            self.request.phase,
            RequestPhase::Connect | RequestPhase::Tls
        );
        // A first packet that nobody answered is sent again after a second, and what refuses that one
        // says nothing of whom the first one was for.
        let again = self.end.0 - self.sent().0 >= SENT_AGAIN;
        let kind = match class {
            ErrorClass::Refused if again => LinkKind::Vanished,
            ErrorClass::Refused => LinkKind::Refused,
            ErrorClass::Unreachable => LinkKind::Vanished,
            ErrorClass::Timeout if connecting => LinkKind::Vanished,
            ErrorClass::Timeout => return Shape::NoAnswer,
            ErrorClass::Reset if self.request.phase == RequestPhase::Connect => LinkKind::Refused,
            ErrorClass::Reset | ErrorClass::Closed => LinkKind::Cut,
            _ => return Shape::Other,
        };
        if self.meshed {
            // The next hop of a meshed client is its own sidecar.
            return Shape::OwnSidecar;
        }
        Shape::Link(self.link(Hop::Pod, kind))
    }

    fn link(&self, hop: Hop, kind: LinkKind) -> Link {
        let elapsed = self.end.0 - self.sent().0;
        let own = hop == Hop::Pod && !self.meshed;
        let connection = &self.request.connection;
        let reused = own.then_some(connection.kind == ConnectionKind::Reused);
        let last_good = (reused == Some(true) && connection.requests_before > 0)
            .then(|| RunOffset(self.sent().0 - connection.idle.max(0)));
        Link {
            hop,
            kind,
            fast: elapsed <= FAST,
            reused,
            last_good,
        }
    }

    fn reply(&mut self, scene: &Scene<'_>, code: u16) -> Shape {
        let body = self.request.response.body.clone().unwrap_or_default();
        let body = body.trim();
        let served = scene.pods.iter().any(|pod| pod.sidecar.is_some());
        let via = self
            .request
            .response
            .envoy
            .contains_key("x-envoy-upstream-service-time");
        // With a sidecar on the client's side, a service time says that the next hop answered.
        let by_server = if self.meshed { via } else { true };
        if body.starts_with("upstream connect error") {
            self.retried = body.contains("retried and the latest reset reason");
            let hop = if by_server && served {
                Hop::ServerSidecar
            } else {
                Hop::Pod
            };
            return self.envoy_reset(hop, body);
        }
        match body {
            "no healthy upstream" => Shape::NobodyChosen,
            "upstream request timeout" | "stream timeout" => Shape::ProxyTimeout,
            "RBAC: access denied" | "fault filter abort" => Shape::Config,
            "local_rate_limited" | "DNS resolution failure" if !via => Shape::Config,
            "envoy overloaded" if !via => Shape::Overload,
            _ if self
                .request
                .response
                .envoy
                .contains_key("x-envoy-overloaded") =>
            {
                Shape::Overload
            }
            // The client's own proxy adds that time to whatever the next hop answered (facts 4.4,
            // 9.11); only one that is told to add no headers does not.
            _ if !via && self.meshed && code >= 500 && self.request.response.pod.is_none() => {
                self.lacks = true;
                Shape::Config
            }
            _ => Shape::AppReply(code),
        }
    }

    fn envoy_reset(&self, hop: Hop, body: &str) -> Shape {
        let reason = body
            .split("reset reason: ")
            .nth(1)
            .unwrap_or_default()
            .split(", transport failure reason: ")
            .next()
            .unwrap_or_default()
            .trim();
        if body.contains("TLS error")
            || body.contains("TLS_error")
            || body.contains("Secret is not supplied")
        {
            return Shape::Config;
        }
        let kind = match reason {
            "remote connection failure" | "local connection failure" | "connection failure" => {
                if body.contains("timed out") || body.contains("No route to host") {
                    LinkKind::Vanished
                } else {
                    LinkKind::Refused
                }
            }
            "connection timeout" => LinkKind::Vanished,
            // A proxy resets a stream by itself where its own end of the hop was closed (it was
            // drained, or its host was taken from it), and refuses one on a connection that the
            // peer has told it to leave: the hop ended, and nobody gave up.
            "connection termination"
            | "local reset"
            | "local refused stream reset"
            | "remote error with CONNECT request"
            | "remote reset"
            | "remote reset (no error)"
            | "remote refused stream reset"
            | "HTTP/1 premature upstream half close" => LinkKind::Cut,
            "overflow" | "overload manager reset" => return Shape::Overload,
            "protocol error" => return Shape::Config,
            _ => return Shape::Other,
        };
        Shape::Link(self.link(hop, kind))
    }
}
