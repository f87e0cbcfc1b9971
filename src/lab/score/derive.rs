//! What is the true cause of a failed request, by the table of causes?
//!
//! The pod is the one to which the kernel sent the connection, or, where the client has a sidecar,
//! the one to which that sidecar sent its last attempt ([`proxied`]). That pod's processes' ends,
//! signals and listeners say the rest: here for a plain client of a pod without a sidecar, in
//! [`attempt`] for all others.

mod attempt;
mod proxied;

use super::history::{History, PodHistory};
use crate::evidence::{
    ConnectionKind, ErrorClass, FailedRequest, Outcome, RequestPhase, RunOffset,
};
use attempt::Attempt;
use std::net::SocketAddrV4;

/// How exactly the truth is known: listeners are looked at every 10 ms, and the client stamps what
/// it sees on a busy machine.
const RESOLUTION: i64 = 20_000_000;

/// The kernel's news of a connection are read in their turn: they are stamped this much later than
/// the client sees its end, at worst. No port is used again so soon.
const LATE_NEWS: i64 = 500_000_000;

/// A cause, and those that are as good within the truth's resolution.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Truth {
    /// The cause; `None` where the lab does not know it.
    pub(super) cause: Option<&'static str>,
    /// As good.
    pub(super) also: Vec<&'static str>,
    /// The pod.
    pub(super) pod: Option<String>,
}

impl Truth {
    fn of(cause: &'static str, pod: Option<&PodHistory>) -> Self {
        Self {
            cause: Some(cause),
            also: Vec::new(),
            pod: pod.map(|pod| pod.name.clone()),
        }
    }

    fn unknown(pod: Option<&PodHistory>) -> Self {
        Self {
            cause: None,
            also: Vec::new(),
            pod: pod.map(|pod| pod.name.clone()),
        }
    }

    fn or(mut self, other: &'static str, holds: bool) -> Self {
        if holds && self.cause != Some(other) {
            self.also.push(other);
        }
        self
    }
}

/// The true cause of a failed request of a run that began at `started_at` (epoch nanoseconds).
pub(super) fn true_cause(failure: &FailedRequest, started_at: i64, history: &History) -> Truth {
    let epoch = |at: RunOffset| started_at + at.0;
    let began = epoch(failure.sent.unwrap_or(failure.intended));
    let ended = epoch(failure.end);
    if let Outcome::Transport {
        class: ErrorClass::LocalLimit | ErrorClass::Resolve,
        ..
    } = failure.outcome
    {
        return Truth::of("harness", None);
    }
    let unknown = Truth::unknown(None);
    if let Some((at, record)) = history.of_client(&failure.request_id) {
        return proxied::true_cause(failure, *at, ended, record, history);
    }
    let Some((port, to)) = addresses(failure) else {
        return unknown;
    };
    let reused = failure.connection.kind == ConnectionKind::Reused;
    // A kept connection was made when it was made; a new one not before it was asked for.
    let made = began - failure.connection.age.max(0);
    let (from, until) = if reused {
        (made - 1_000_000_000, began + LATE_NEWS)
    } else {
        // A long request ends long after it connected, and its port may be used again at once.
        let connected = failure.connected.map_or(ended, epoch);
        (began - RESOLUTION, connected + LATE_NEWS)
    };
    let Some((pod, port)) = history.chosen(port, to, from, until) else {
        let refused = matches!(
            failure.outcome,
            Outcome::Transport {
                class: ErrorClass::Refused,
                ..
            }
        );
        return if refused && !reused {
            Truth::of("no-ready-endpoint", None)
        } else {
            unknown
        };
    };
    if pod.meshed {
        let attempt = Attempt {
            id: &failure.request_id,
            began,
            ended,
            outcome: &failure.outcome,
            kept: reused,
            server: history.of_server(&failure.request_id, pod),
        };
        return attempt.true_cause(pod, port);
    }
    match failure.outcome {
        Outcome::Status { code, .. } => own_error(pod, code, ended),
        Outcome::UnexpectedBody { .. } => Truth::of("application-error", Some(pod)),
        Outcome::Transport { .. } if reused => established(failure, pod, port, began, ended, true),
        Outcome::Transport { .. } => fresh(failure, pod, port, began, ended),
    }
}

fn addresses(failure: &FailedRequest) -> Option<(u16, SocketAddrV4)> {
    let port = failure.local.as_deref()?.rsplit(':').next()?.parse().ok()?;
    Some((port, failure.remote.as_deref()?.parse().ok()?))
}

/// A connection made for this request: did its pod accept at all?
fn fresh(failure: &FailedRequest, pod: &PodHistory, port: u16, began: i64, ended: i64) -> Truth {
    let open = pod.listening(port, began);
    let near = pod.listening(port, began - RESOLUTION) != pod.listening(port, began + RESOLUTION);
    if open && failure.phase != RequestPhase::Connect {
        let truth = established(failure, pod, port, began, ended, false);
        return truth.or(
            "endpoint-propagation",
            near && pod.terminating(began + RESOLUTION),
        );
    }
    if pod.terminating(began) {
        return Truth::of("endpoint-propagation", Some(pod)).or("in-flight-cut", near);
    }
    not_listening(pod, port, began)
}

/// Nobody listened, and nobody had asked the pod to end: it has not begun yet, or has crashed.
fn not_listening(pod: &PodHistory, port: u16, began: i64) -> Truth {
    if !pod.listened(port, began) {
        return Truth::of("new-pod-not-ready", Some(pod));
    }
    if pod.end_before(began + RESOLUTION).is_some() {
        return Truth::of("container-crashed", Some(pod));
    }
    Truth::unknown(Some(pod))
}

/// An established connection: who ended it?
fn established(
    failure: &FailedRequest,
    pod: &PodHistory,
    port: u16,
    began: i64,
    ended: i64,
    reused: bool,
) -> Truth {
    let sent = failure.written.map_or(began, |_| began);
    let idle = reused && failure.connection.idle > 0;
    // The end before the request went out: the connection was dead already.
    if reused
        && let Some(end) = pod.end_before(sent)
        && pod.end_after(sent).is_none_or(|next| next > ended)
    {
        let deleted = pod.terminating(end);
        let cause = if deleted {
            "stale-connection"
        } else {
            "container-crashed"
        };
        return Truth::of(cause, Some(pod)).or("in-flight-cut", deleted && end > sent - RESOLUTION);
    }
    if let Some(end) = pod.end_after(sent).filter(|end| *end <= ended + RESOLUTION) {
        let cause = killer(pod, end);
        return Truth::of(cause, Some(pod)).or("stale-connection", idle && end < sent + RESOLUTION);
    }
    if timed_out(&failure.outcome) {
        return Truth::of("client-side", Some(pod));
    }
    if reused {
        return Truth::of("stale-connection", Some(pod));
    }
    // Accepted by the kernel, never by the app: its listener closed over it.
    if !pod.listening(port, ended + RESOLUTION) && pod.terminating(ended) {
        return Truth::of("in-flight-cut", Some(pod)).or("endpoint-propagation", true);
    }
    Truth::unknown(Some(pod))
}

/// An error that the app itself answered with: a refusal, once it was told to end.
fn own_error(pod: &PodHistory, code: u16, ended: i64) -> Truth {
    let told = pod.told.is_some_and(|(told, _)| told <= ended);
    let cause = if code == 503 && told {
        "shutdown-refusal"
    } else {
        "application-error"
    };
    Truth::of(cause, Some(pod))
}

/// The client had enough.
fn timed_out(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Transport {
            class: ErrorClass::Timeout,
            ..
        }
    )
}

/// How the app's end came about.
fn killer(pod: &PodHistory, end: i64) -> &'static str {
    if !pod.terminating(end) {
        return "container-crashed";
    }
    match (pod.killed.filter(|killed| *killed <= end), pod.told) {
        (Some(_), Some((_, true))) => "grace-exceeded",
        (Some(_), _) => "term-signal-unhandled",
        (None, _) => "in-flight-cut",
    }
}

#[cfg(test)]
mod tests;
