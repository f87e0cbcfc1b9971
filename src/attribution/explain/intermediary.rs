//! `intermediary-restarted`: a gateway, waypoint or ztunnel on the way ended, the pod untouched (C22).
//!
//! What a client sees of it looks like a pod's end: cut, refused, nobody there. It is one only where
//! such a proxy is known to have ended then; a pod of the target that ended as well fits better,
//! since nothing shows that the way led through that proxy.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::{LinkKind, Shape};
use crate::attribution::scene::{Outage, SAME, nearness};
use crate::evidence::{Interval, RunOffset};

/// A proxy that was ended is in somebody's routes for so long.
const ROUTED: i64 = 15_000_000_000;

pub(super) fn explain(scene: &Scene<'_>, case: &Case<'_>, found: &mut Vec<Hypothesis>) {
    if case.shape == Shape::OwnSidecar {
        found.push(Hypothesis::new(
            Cause::IntermediaryRestarted,
            None,
            Hop::ClientSidecar,
            0.5,
            Because::Intermediary,
        ));
        return;
    }
    let Shape::Link(link) = case.shape else {
        return;
    };
    if link.hop != Hop::Pod {
        return;
    }
    let fit = scene
        .intermediaries
        .iter()
        .flat_map(|one| &one.outages)
        .map(|outage| fits(case, link.kind, *outage))
        .fold(0.0, f64::max);
    let on_the_way = if scene.outer { 1.5 } else { 0.8 };
    let hop = Hop::Routing;
    let weight = fit * on_the_way;
    let proposal = Hypothesis::new(
        Cause::IntermediaryRestarted,
        None,
        hop,
        weight,
        Because::Intermediary,
    );
    found.push(proposal);
}

pub(in crate::attribution) fn fits(case: &Case<'_>, kind: LinkKind, outage: Outage) -> f64 {
    match kind {
        LinkKind::Cut => {
            let ended = Interval {
                lo: RunOffset(outage.from.0 - SAME),
                hi: RunOffset(outage.at.hi.0 + SAME),
            };
            let idle = ended.intersect(case.silence()).is_some();
            nearness(outage.at, case.end).max(if idle { 0.5 } else { 0.0 })
        }
        LinkKind::Refused | LinkKind::Vanished => {
            let until = outage.back.unwrap_or(RunOffset(outage.at.hi.0 + ROUTED));
            let out = Interval {
                lo: RunOffset(outage.from.0 - SAME),
                hi: until.max(outage.from),
            };
            f64::from(u8::from(out.intersect(case.span()).is_some()))
        }
    }
}
