//! `stale-connection`: a kept, idle connection was closed by the peer in good order as the request
//! went out (C6).
//!
//! The peer was being deleted and had ended, or closed its idle connections as it began to drain;
//! or it closes idle connections by itself, rollout or not. A request that was sent before the end
//! is in flight, not stale.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::{Link, LinkKind, Shape};
use crate::attribution::scene::{Pod, SAME};
use crate::evidence::{Interval, RunOffset};

/// A peer without time to spare closes its idle connections this much late.
const BUSY: i64 = 250_000_000;

pub(super) fn explain(
    _scene: &Scene<'_>,
    case: &Case<'_>,
    index: usize,
    pod: &Pod,
    found: &mut Vec<Hypothesis>,
) {
    let Some(link) = idle_cut(case) else {
        return;
    };
    let Some(deleted) = pod.deleted else {
        return;
    };
    let end = if link.hop == Hop::Pod {
        pod.front_end()
    } else {
        pod.app_end
    };
    let until = end
        .map(|end| end.at.hi)
        .or(pod.gone)
        .unwrap_or(RunOffset(i64::MAX - SAME));
    // Ended, or begun to drain, at some time while the connection was idle.
    let ended = Interval {
        lo: deleted.lo,
        hi: RunOffset(until.0 + SAME),
    };
    if ended.intersect(case.silence()).is_none() {
        return;
    }
    let weight = if link.reused == Some(true) { 1.0 } else { 0.3 };
    let proposal = Hypothesis::new(
        Cause::StaleConnection,
        Some(index),
        link.hop,
        weight,
        Because::IdleClosed,
    );
    found.push(proposal.tight(deleted.hi <= case.end && link.reused == Some(true)));
}

/// The peer closes idle connections by itself, as far as is known: one that was being deleted did so
/// because of that, or did not.
pub(super) fn explain_unknown(scene: &Scene<'_>, case: &Case<'_>, found: &mut Vec<Hypothesis>) {
    let Some(link) = idle_cut(case).or_else(|| late_cut(case)) else {
        return;
    };
    let kept = link.reused == Some(true) || link.hop == Hop::ServerSidecar || case.meshed;
    if !kept {
        return;
    }
    let known = case.pod.as_ref().map(|known| known.pod);
    let deleted = known.and_then(|pod| scene.pods[pod].deleted);
    if deleted.is_some_and(|deleted| deleted.lo <= case.end) {
        return;
    }
    let weight = if link.reused == Some(true) || link.hop == Hop::ServerSidecar {
        0.3
    } else {
        0.1
    };
    found.push(Hypothesis::new(
        Cause::StaleConnection,
        known,
        link.hop,
        weight,
        Because::IdleTimeout,
    ));
}

/// A kept connection that was surely idle, or may have been behind a proxy, cut by a peer that was too
/// busy to close it in time.
fn late_cut(case: &Case<'_>) -> Option<Link> {
    let elapsed = case.end.0 - case.sent().0;
    let Shape::Link(link) = case.shape else {
        return None;
    };
    let idle = match link.reused {
        Some(reused) => reused && case.request.connection.idle > elapsed,
        None => case.meshed,
    };
    (link.kind == LinkKind::Cut && elapsed <= BUSY && idle).then_some(link)
}

/// A connection that may have been kept and was cut within moments of the sending.
fn idle_cut(case: &Case<'_>) -> Option<Link> {
    match case.shape {
        Shape::Link(link)
            if link.kind == LinkKind::Cut && link.fast && link.reused != Some(false) =>
        {
            Some(link)
        }
        _ => None,
    }
}
