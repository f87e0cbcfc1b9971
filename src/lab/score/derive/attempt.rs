//! Why did an attempt fail that went to a known pod, through a sidecar on the way?
//!
//! Two processes of the pod count: its proxy, which takes the connection, and its app behind it. What
//! ended first, and was it before the attempt or under it?

use super::{RESOLUTION, Truth, killer, not_listening, own_error, timed_out};
use crate::evidence::Outcome;
use crate::lab::score::history::PodHistory;
use crate::lab::truth::Proxied;

/// An attempt to get an answer from a pod.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    /// What the client calls the request.
    pub(super) id: &'a str,
    /// When it began, and when it had failed, in epoch nanoseconds.
    pub(super) began: i64,
    pub(super) ended: i64,
    /// What the client saw.
    pub(super) outcome: &'a Outcome,
    /// The client itself held the connection from before.
    pub(super) kept: bool,
    /// What the pod's sidecar knows of it.
    pub(super) server: Option<&'a Proxied>,
}

impl Attempt<'_> {
    /// The true cause, if the pod and its `port` tell one.
    pub(super) fn true_cause(&self, pod: &PodHistory, port: u16) -> Truth {
        if let Some(truth) = self.answered(pod) {
            return truth;
        }
        if let Some(truth) = self.refused_by_configuration(pod) {
            return truth;
        }
        if pod.meshed && pod.proxy_gone(self.began) {
            return self.without_proxy(pod, port);
        }
        if !pod.accepting(port, self.began) {
            return self.without_app(pod, port);
        }
        self.broken(pod, port)
    }

    /// The app's own error.
    fn answered(&self, pod: &PodHistory) -> Option<Truth> {
        if let Outcome::UnexpectedBody { .. } = self.outcome {
            return Some(Truth::of("application-error", Some(pod)));
        }
        let code = match (pod.answered(self.id), self.outcome) {
            (Some(code), _) => code,
            (None, Outcome::Status { code, .. }) if *code < 500 => *code,
            _ => return None,
        };
        Some(own_error(pod, code, self.ended))
    }

    /// What the pod's sidecar refused by itself.
    fn refused_by_configuration(&self, pod: &PodHistory) -> Option<Truth> {
        let flags = self.server.map(|record| record.flags.as_str())?;
        let cause = super::proxied::by_flags(flags)?;
        Some(Truth::of(cause, Some(pod)))
    }

    /// Nobody took the connection, or the kept one was dead.
    fn without_proxy(&self, pod: &PodHistory, port: u16) -> Truth {
        if !pod.terminating(self.began) {
            return Truth::of("container-crashed", Some(pod));
        }
        let cause = if pod.accepting(port, self.began) {
            "sidecar-exited-first"
        } else {
            "endpoint-propagation"
        };
        Truth::of(cause, Some(pod))
            .or("stale-connection", self.kept)
            .or(
                "in-flight-cut",
                self.kept && cause == "endpoint-propagation",
            )
    }

    /// The proxy lives, the app behind it accepts nothing.
    fn without_app(&self, pod: &PodHistory, port: u16) -> Truth {
        if pod.terminating(self.began + RESOLUTION) {
            let near = pod.accepting(port, self.began - RESOLUTION);
            return Truth::of("endpoint-propagation", Some(pod))
                .or("in-flight-cut", near)
                .or("stale-connection", near);
        }
        not_listening(pod, port, self.began)
    }

    /// Both were there when it began.
    fn broken(&self, pod: &PodHistory, port: u16) -> Truth {
        let until = self.ended + RESOLUTION;
        let app = pod.end_after(self.began).filter(|end| *end <= until);
        let proxy = pod.proxy_end_after(self.began).filter(|end| *end <= until);
        match (app, proxy.filter(|_| pod.meshed)) {
            // SIGKILL takes both at once.
            (Some(app), Some(proxy)) if pod.killed.is_some() && near(app, proxy) => {
                Truth::of(killer(pod, app), Some(pod))
            }
            (app, Some(proxy)) if app.is_none_or(|app| proxy <= app) => {
                let both = app.is_some_and(|app| near(app, proxy));
                Truth::of(self.left(pod, proxy), Some(pod)).or("in-flight-cut", both)
            }
            (Some(app), _) => {
                let early = near(app, self.began) && pod.terminating(app);
                Truth::of(killer(pod, app), Some(pod))
                    .or("endpoint-propagation", early)
                    .or("stale-connection", early)
            }
            (None, _) => self.among_the_living(pod, port),
        }
    }

    /// The proxy ended under the request, the app alive.
    fn left(&self, pod: &PodHistory, proxy: i64) -> &'static str {
        if pod.terminating(proxy) {
            "sidecar-exited-first"
        } else {
            "container-crashed"
        }
    }

    /// Nothing ended: somebody closed a connection in good order, or the client had enough.
    fn among_the_living(&self, pod: &PodHistory, port: u16) -> Truth {
        if timed_out(self.outcome) {
            return Truth::of("client-side", Some(pod));
        }
        let draining = !pod.listening(port, self.ended + RESOLUTION);
        if draining && pod.terminating(self.ended) {
            return Truth::of("stale-connection", Some(pod))
                .or("in-flight-cut", true)
                .or("endpoint-propagation", true);
        }
        let cut = |record: &Proxied| record.flags.split(',').any(|flag| flag == "UC");
        if self.kept || self.server.is_none_or(cut) {
            return Truth::of("stale-connection", Some(pod));
        }
        Truth::unknown(Some(pod))
    }
}

fn near(one: i64, other: i64) -> bool {
    (one - other).abs() <= RESOLUTION
}
