//! `no-ready-endpoint`: no pod was chosen, because nobody was ready (C10).
//!
//! A proxy says so (`no healthy upstream`); a service proxy rejects the connection, which looks
//! like a refusal by a pod (facts 1.9, 9.10). The slices tell whether anybody was left.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::{LinkKind, Shape};
use crate::evidence::{Interval, RunOffset};

/// Routes follow the slices within this time in a quiet cluster (facts 8.15).
const USUAL_DELAY: i64 = 1_100_000_000;

pub(super) fn explain(scene: &Scene<'_>, case: &Case<'_>, found: &mut Vec<Hypothesis>) {
    let direct = match case.shape {
        Shape::NobodyChosen => true,
        Shape::Link(link)
            if link.hop == Hop::Pod && link.kind == LinkKind::Refused && !case.meshed =>
        {
            false
        }
        _ => return,
    };
    if case.pod.is_some() {
        return;
    }
    let sent = case.sent();
    let nobody = nobody_ready(
        scene,
        Interval {
            lo: RunOffset(sent.0 - USUAL_DELAY),
            hi: case.end,
        },
    );
    if direct {
        let proposal = Hypothesis::new(
            Cause::NoReadyEndpoint,
            None,
            Hop::Routing,
            5.0 * nobody.max(0.05),
            Because::NobodyReady,
        );
        found.push(proposal.tight(nobody >= 1.0));
        return;
    }
    if nobody <= 0.0 {
        return;
    }
    // A connect that nobody answers, sent after this one, shows that the routes still led to a pod.
    let still = if scene.routes.dead_after(sent) {
        0.1
    } else {
        1.0
    };
    let proposal = Hypothesis::new(
        Cause::NoReadyEndpoint,
        None,
        Hop::Routing,
        3.0 * nobody * still,
        Because::NobodyReady,
    );
    found.push(proposal.tight(nobody >= 1.0 && still >= 1.0));
}

/// 1.0: nobody was ready all the time; between: only at some time of it, or somebody could still
/// serve as a fallback; 0.0: somebody was ready all the time, or the slices were not seen.
fn nobody_ready(scene: &Scene<'_>, span: Interval) -> f64 {
    let endpoints = &scene.endpoints;
    if !endpoints.seen || scene.blind("endpointslices", span) {
        return 0.0;
    }
    let Some((ready_before, fallback_before)) = endpoints.totals_at(span.lo) else {
        return 0.0;
    };
    let within = || {
        endpoints
            .totals
            .iter()
            .filter(|(seen, _, _)| *seen > span.lo && *seen <= span.hi)
    };
    let states = || {
        std::iter::once((ready_before, fallback_before))
            .chain(within().map(|(_, ready, fallback)| (*ready, *fallback)))
    };
    let empty = |(ready, fallback): (usize, usize)| ready == 0 && fallback == 0;
    if states().all(empty) {
        1.0
    } else if states().any(empty) {
        0.6
    } else {
        0.0
    }
}
