//! `node-lost`: all pods of a node at once (C11).
//!
//! Connects get no answer or no route, established connections fall silent, and the node's Ready
//! condition turns much later (facts 1.14). No pod was being deleted at first.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::{LinkKind, Shape};
use crate::attribution::scene::Pod;
use crate::evidence::{Interval, RunOffset};

/// The node lifecycle controller waits this long at most before it says so (facts 1.14).
const GRACE: i64 = 60_000_000_000;

pub(super) fn explain(
    scene: &Scene<'_>,
    case: &Case<'_>,
    index: usize,
    pod: &Pod,
    found: &mut Vec<Hypothesis>,
) {
    let vanished = match case.shape {
        Shape::Link(link) => link.kind == LinkKind::Vanished,
        Shape::NoAnswer => true,
        _ => false,
    };
    let Some(node) = &pod.life.node else {
        return;
    };
    if !vanished {
        return;
    }
    for (lost, span) in &scene.lost_nodes {
        let from = RunOffset(span.hi.0 - GRACE).max(span.lo);
        let down = Interval {
            lo: from.min(span.hi),
            hi: RunOffset(i64::MAX),
        };
        let alive = pod.deleted.is_none_or(|deleted| deleted.lo >= from);
        if lost == node && alive && down.intersect(case.span()).is_some() {
            found.push(Hypothesis::new(
                Cause::NodeLost,
                Some(index),
                Hop::Pod,
                3.0,
                Because::NodeLost,
            ));
        }
    }
}
