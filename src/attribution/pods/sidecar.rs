//! By how much did a pod's proxy end before its app?
//!
//! Both run on one node, so their stamps are compared directly (facts 6.7), minding the floors.

use super::drain;
use super::ends::{self, Span};
use crate::attribution::SidecarKind;
use crate::attribution::scene::{How, Pod, Scene};

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
    let by_stamps = (app.0 - proxy.1, app.1 - proxy.0);
    let (lo, hi) = ends::within(by_stamps, ends::killed_apart(pod));
    let hi = if lo <= 0 && in_order(pod) {
        hi.min(0)
    } else {
        hi
    };
    Some(Lead { lo, hi, proxy, app })
}

/// A native sidecar is told to stop after its app's end, unless the grace period runs out first
/// (facts 1.4); one that was told ends with 0.
fn in_order(pod: &Pod) -> bool {
    let native = pod.sidecar == Some(SidecarKind::Native);
    let told = pod.proxy_end.is_some_and(|end| end.how == How::Exited(0));
    native && told && !drain::ended_by_grace(pod, SidecarKind::Native)
}
