//! By how much did a pod's proxy end before its app?
//!
//! Both run on one node, so their stamps are compared directly (facts 6.7), minding the floors.

use super::ends::{self, Span};
use crate::attribution::scene::{Pod, Scene};
use crate::attribution::{SidecarDrain, SidecarKind};

/// App's end minus proxy's end in nanoseconds, at least and at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lead {
    lo: i64,
    hi: i64,
    /// The proxy's end by the node's clock: not before, not after.
    pub(super) proxy: Span,
    /// The app's end by the node's clock.
    pub(super) app: Span,
}

impl Lead {
    /// The middle of what is possible, in seconds.
    pub(super) fn seconds(self) -> f64 {
        (self.lo + self.hi) as f64 / 2e9
    }

    /// At least and at most, in seconds.
    pub(super) fn between(self) -> (f64, f64) {
        (self.lo as f64 / 1e9, self.hi as f64 / 1e9)
    }

    /// The proxy left before the app by more than this many seconds.
    pub(super) fn surely_first(self, seconds: f64) -> bool {
        self.seconds() > seconds && self.lo > 0
    }
}

/// The lead of a pod whose app and proxy have both ended.
pub(super) fn lead(scene: &Scene<'_>, pod: &Pod) -> Option<Lead> {
    let (app, proxy) = (ends::app(scene, pod)?, ends::proxy(scene, pod)?);
    Some(Lead {
        lo: app.0 - proxy.1,
        hi: app.1 - proxy.0,
        proxy,
        app,
    })
}

/// How the sidecar of a deleted pod waited, and how long its app would have needed it.
pub(super) fn drain(pod: &Pod, lead: Lead) -> Option<SidecarDrain> {
    let deleted = pod.deleted?;
    if pod.sidecar != Some(SidecarKind::Classic) || pod.life.going_before_run {
        return None;
    }
    let prestop = pod.life.sidecar()?.prestop_sleep;
    let middle = |(lo, hi): (i64, i64)| lo.midpoint(hi);
    let needed = match (pod.proxy.told, pod.app_end) {
        (Some(told), _) => middle(lead.app) - told.at,
        // The kubelet tells all containers at once, each after its own hook.
        (None, Some(end)) => middle((end.at.lo.0, end.at.hi.0)) - deleted.hi.0 - prestop,
        (None, None) => return None,
    };
    let said = pod.proxy.wait;
    let written = pod.life.drain;
    let until_idle = said.map_or(written.until_idle == Some(true), |wait| wait.until_idle);
    let period = if until_idle {
        written.minimum
    } else {
        written.fixed
    };
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    Some(SidecarDrain {
        until_idle,
        period_s: said.and_then(|wait| wait.period).or(period).map(seconds),
        needed_s: seconds(needed.max(0)),
        prestop_s: seconds(prestop),
        grace_s: seconds(pod.grace()),
    })
}
