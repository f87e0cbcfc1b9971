//! By how much did a pod's proxy end before its app?
//!
//! Both run on one node, so their stamps are compared directly (facts 6.7), minding the floors.

use crate::attribution::scene::Pod;
use crate::attribution::{SidecarDrain, SidecarKind};
use crate::evidence::STAMP_WIDTH;

/// App's end minus proxy's end in nanoseconds, at least and at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lead {
    lo: i64,
    hi: i64,
    /// The proxy's end by the node's clock: not before, not after.
    pub(super) proxy: (i64, i64),
    /// The app's end by the node's clock.
    pub(super) app: (i64, i64),
}

impl Lead {
    /// The middle of what is possible, in seconds.
    pub(super) fn seconds(self) -> f64 {
        (self.lo + self.hi) as f64 / 2e9
    }

    /// The proxy left before the app by more than this many seconds.
    pub(super) fn surely_first(self, seconds: f64) -> bool {
        self.seconds() > seconds && self.lo > 0
    }
}

/// The lead of a pod whose app and proxy have both ended.
pub(super) fn lead(pod: &Pod) -> Option<Lead> {
    let app_name = &pod.life.app()?.name;
    let proxy_name = &pod.life.sidecar()?.name;
    let app = ended(pod, app_name)?;
    let proxy = ended(pod, proxy_name)?;
    let app = narrowed_by_log(app, pod.log.last);
    let app = pod.log.farewell.map_or(app, |word| narrow(app, word));
    let proxy = pod
        .proxy
        .aborted
        .map_or(proxy, |word| narrow(proxy, word.at));
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

/// A floored second, and some more for a stamp that was moved and floored again.
const WIDTH: i64 = 1_400_000_000;

/// `finishedAt` as an interval of the node's clock.
fn ended(pod: &Pod, container: &str) -> Option<(i64, i64)> {
    let finished = pod.life.end_of(container)?.finished?;
    Some((finished, finished + WIDTH))
}

/// An app that logs to its end ended soon after its last line.
fn narrowed_by_log(ended: (i64, i64), last: Option<i64>) -> (i64, i64) {
    match last {
        Some(last) if last >= ended.0 && last < ended.0 + STAMP_WIDTH => (last, last.max(ended.1)),
        _ => ended,
    }
}

/// A process ends within moments of the line that announces it.
const MOMENTS: i64 = 300_000_000;

fn narrow(ended: (i64, i64), announced: i64) -> (i64, i64) {
    if announced >= ended.0 - MOMENTS && announced < ended.0 + STAMP_WIDTH {
        (announced, announced + MOMENTS)
    } else {
        ended
    }
}
