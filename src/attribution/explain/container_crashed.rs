//! `container-crashed`: the pod's container died without a deletion (C12).
//!
//! A crash, the OOM killer, a liveness kill: connections to it are cut, then refused until it
//! listens again; kept ones are found dead when they are used. What ends a container of a pod that is
//! being deleted is no crash, whatever its code says: nobody should have sent to it any more.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::{LinkKind, Shape};
use crate::attribution::scene::{Crash, Pod, SAME, nearness, overlap};
use crate::evidence::{Interval, RunOffset};

pub(super) fn explain(
    _scene: &Scene<'_>,
    case: &Case<'_>,
    index: usize,
    pod: &Pod,
    found: &mut Vec<Hypothesis>,
) {
    let Shape::Link(link) = case.shape else {
        return;
    };
    for crash in pod.crashes.iter().copied() {
        // A proxy in front hides its app's crash from the connection, not from the answer.
        let heard = match link.hop {
            Hop::Pod => pod.sidecar.is_some() == crash.proxy,
            _ => !crash.proxy,
        };
        if !heard {
            continue;
        }
        let (weight, tight) = fits(case, link.kind, link.fast, link.reused, crash);
        if weight > 0.0 {
            let proposal = Hypothesis::new(
                Cause::ContainerCrashed,
                Some(index),
                link.hop,
                weight,
                Because::Crashed,
            );
            found.push(proposal.tight(tight));
        }
    }
}

fn fits(
    case: &Case<'_>,
    kind: LinkKind,
    fast: bool,
    reused: Option<bool>,
    crash: Crash,
) -> (f64, bool) {
    let near = Interval {
        lo: RunOffset(crash.told.0 - SAME),
        hi: RunOffset(crash.at.hi.0 + SAME),
    };
    let back = crash.back.map_or(RunOffset(i64::MAX), |back| {
        RunOffset(back.hi.0.saturating_add(SAME))
    });
    match kind {
        LinkKind::Refused | LinkKind::Vanished => {
            let down = Interval {
                lo: near.lo,
                hi: back.max(near.lo),
            };
            let hits = down.intersect(case.span()).is_some();
            let weight = 2.0 * begun(case, crash);
            (
                if hits { weight } else { 0.0 },
                hits && crash.at.hi <= case.end,
            )
        }
        LinkKind::Cut if fast => {
            let hits = near.intersect(case.silence()).is_some();
            let weight = if reused == Some(true) { 2.0 } else { 1.5 };
            (if hits { weight } else { 0.0 }, hits)
        }
        LinkKind::Cut => {
            let hits = nearness(crash.at, case.end);
            (2.5 * hits, hits >= 1.0)
        }
    }
}

/// How surely the container was over, or told to stop, when the attempt ended.
fn begun(case: &Case<'_>, crash: Crash) -> f64 {
    let by_then = Interval {
        lo: RunOffset(i64::MIN),
        hi: RunOffset(case.end.0 + SAME),
    };
    if crash.told < crash.at.lo {
        return 1.0;
    }
    overlap(crash.at, by_then)
}
