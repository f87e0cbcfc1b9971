//! By how much did a pod's proxy end before its app?
//!
//! Both run on one node, so their stamps are compared directly (facts 6.7), minding the floors.

use crate::attribution::scene::Pod;
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
    let proxy = pod
        .proxy
        .aborted
        .map_or(proxy, |stamp| narrow(proxy, stamp));
    Some(Lead {
        lo: app.0 - proxy.1,
        hi: app.1 - proxy.0,
        proxy,
        app,
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
