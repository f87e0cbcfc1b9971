//! `load-balancer-deregistration`: an outer load balancer still sent to a pod that the cluster had
//! withdrawn (C16).
//!
//! Only a run that asks through a URL has one on its way. Routes inside the cluster follow within
//! seconds; a load balancer takes tens of seconds to minutes, so what fails that long after the
//! withdrawal is its. It tells by an answer of its own (502, 503, 504), or passes the pod's refusal,
//! silence or end on. Its registry is not seen, so nothing here is ever proved.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::Shape;
use crate::attribution::scene::{Pod, SAME};

/// Routes inside the cluster have followed by then (facts 9.13).
const INSIDE: i64 = 10_000_000_000;

/// The default deregistration delay of the usual ones.
const OUTSIDE: i64 = 300_000_000_000;

pub(super) fn explain(scene: &Scene<'_>, case: &Case<'_>, found: &mut Vec<Hypothesis>) {
    if !scene.outer {
        return;
    }
    let hop = match case.shape {
        Shape::Link(link) if link.hop == Hop::Pod => Hop::Routing,
        Shape::AppReply(502..=504) if case.request.response.pod.is_none() => Hop::Routing,
        Shape::ProxyTimeout => Hop::Routing,
        _ => return,
    };
    for (index, pod) in super::candidates(scene, case) {
        let weight = lagging(case, pod);
        if weight > 0.0 {
            found.push(Hypothesis::new(
                Cause::LoadBalancerDeregistration,
                Some(index),
                hop,
                weight,
                Because::Deregistration,
            ));
        }
    }
}

/// The pod had been withdrawn, and had stopped accepting, when the request went out.
fn lagging(case: &Case<'_>, pod: &Pod) -> f64 {
    let (Some(withdrawn), Some(stopped), Some(_)) = (pod.withdrawn, pod.stopped, pod.deleted)
    else {
        return 0.0;
    };
    let late = case.sent().0 - withdrawn.0;
    let closed = stopped.lo.0 <= case.end.0.saturating_add(SAME);
    match late {
        _ if !closed || late <= 0 => 0.0,
        late if late <= INSIDE => 0.5,
        late if late <= OUTSIDE => 2.0,
        _ => 0.05,
    }
}
