//! `endpoint-propagation`: the pod was going or gone and no longer accepted when the attempt began,
//! yet it was still in somebody's routes (C1, C21).
//!
//! Nobody listens any more (refused), nobody is there any more (no answer to the connect), or the
//! pod's proxy lives on and finds no app behind it. Competitors: a new pod that does not listen yet,
//! nobody ready, a crash; with a proxy in the pod, the proxy that left before its app.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene, still_routed};
use crate::attribution::Modifier;
use crate::attribution::case::{LinkKind, Shape};
use crate::attribution::scene::{Pod, SAME, nearness, overlap};
use crate::evidence::{Interval, RunOffset};

/// How long a sandbox outlives its last process at most before packets to it vanish: 0.22 s at most
/// were measured on a quiet node (facts 8.6), a busy one needs longer.
const SANDBOX: i64 = 500_000_000;

/// A relay finds nobody behind it within this time.
const RELAY_TIME: i64 = 150_000_000;

/// A relay that still has a pod so long after its withdrawal is none of the cluster's.
const RELAYED: i64 = 15_000_000_000;

pub(super) fn explain(
    scene: &Scene<'_>,
    case: &Case<'_>,
    index: usize,
    pod: &Pod,
    found: &mut Vec<Hypothesis>,
) {
    let Shape::Link(link) = case.shape else {
        match case.shape {
            Shape::NoAnswer if case.meshed => hung(scene, case, index, pod, found),
            Shape::ProxyTimeout if case.awaited(index) => sent_to_the_gone(case, index, pod, found),
            Shape::ProxyTimeout => hung(scene, case, index, pod, found),
            _ => {}
        }
        return;
    };
    let Some(deleted) = pod.deleted else {
        return;
    };
    // Until its signal the app accepts, whatever the deletion.
    let signalled = pod.signalled.unwrap_or(deleted);
    let (weight, because, tight) = match (link.hop, link.kind) {
        (Hop::ServerSidecar, LinkKind::Refused) => (
            2.0 * behind_living_proxy(scene, case, pod),
            Because::AppStopped,
            signalled.hi <= case.end,
        ),
        (_, LinkKind::Refused) => {
            if pod.sidecar.is_some() {
                (behind_proxy(case, pod), Because::ProxyGone, false)
            } else {
                (
                    refused(scene, case, pod),
                    Because::AppStopped,
                    signalled.hi <= case.sent(),
                )
            }
        }
        (_, LinkKind::Vanished) => (
            vanished(case, pod),
            Because::PodGone,
            deleted.hi <= case.end,
        ),
        (Hop::Pod, LinkKind::Cut) if pod.sidecar.is_some() => {
            (cut_after_app(case, pod), Because::ProxyGone, false)
        }
        (_, LinkKind::Cut) => (
            accept_queue(case, pod).max(relayed(scene, case, pod)),
            Because::AppStopped,
            false,
        ),
    };
    if weight <= 0.0 {
        return;
    }
    let routed = still_routed(scene, case, index, pod);
    let mut proposal = Hypothesis::new(
        Cause::EndpointPropagation,
        Some(index),
        link.hop,
        weight * routed,
        because,
    )
    .tight(tight);
    if pod
        .withdrawn
        .is_some_and(|withdrawn| withdrawn <= case.sent())
    {
        proposal.modifiers.push(Modifier::AfterEndpointRemoved);
    }
    found.push(proposal);
}

fn reaches(span: Interval, window: Interval) -> f64 {
    if span.intersect(window).is_some() {
        1.0
    } else {
        0.0
    }
}

/// Its proxy lived and found no app: from the closing of the app's listener until the proxy's end.
fn behind_living_proxy(scene: &Scene<'_>, case: &Case<'_>, pod: &Pod) -> f64 {
    let Some(stopped) = pod.stopped else {
        return 0.0;
    };
    let until = pod.proxy_end.map(|end| end.at.hi).or(pod.gone);
    let window = Interval {
        lo: RunOffset(stopped.lo.0.saturating_sub(SAME)),
        hi: until.map_or(RunOffset(i64::MAX), |at| {
            RunOffset(at.0.saturating_add(SAME)).max(stopped.lo)
        }),
    };
    reaches(case.span(), window) * told_before(scene, case, pod)
}

/// An app that told of its shutdown listened until then.
fn told_before(scene: &Scene<'_>, case: &Case<'_>, pod: &Pod) -> f64 {
    let early = pod
        .reacted_at(&scene.offsets)
        .is_some_and(|reacted| case.end.0 + SAME / 2 < reacted.lo.0);
    if early { 0.3 } else { 1.0 }
}

/// Refused by a pod without a proxy: from the closing of its listener until its sandbox is gone, which
/// the removal of its object follows (facts 1.1) unless that was taken away by force.
fn refused(scene: &Scene<'_>, case: &Case<'_>, pod: &Pod) -> f64 {
    let Some(stopped) = pod.stopped else {
        return 0.0;
    };
    let over = pod.app_end.map(|app| app.at.hi).max(last_of_others(pod));
    let until = over.or(pod.gone).map_or(RunOffset(i64::MAX), |at| {
        RunOffset(at.0.saturating_add(SANDBOX))
    });
    let removed = pod
        .life
        .removed
        .filter(|_| pod.life.forced().is_none())
        .map(|removed| removed.hi);
    let until = removed.map_or(until, |removed| until.min(removed));
    let window = Interval {
        lo: RunOffset(stopped.lo.0 - SAME / 4),
        hi: until.max(stopped.lo),
    };
    if case.span().intersect(window).is_none() {
        return 0.0;
    }
    told_before(scene, case, pod)
}

/// The last end of its containers beside the app was seen then: one sandbox is theirs.
fn last_of_others(pod: &Pod) -> Option<RunOffset> {
    let app = pod.life.app().map(|app| app.name.as_str());
    let ends = pod.life.ends.iter();
    ends.filter(|end| !end.before_run && Some(end.container.as_str()) != app)
        .map(|end| end.seen)
        .max()
}

/// No answer to the connect: the pod's sandbox was gone before the attempt ended.
fn vanished(case: &Case<'_>, pod: &Pod) -> f64 {
    let ended = [
        pod.app_end.map(|end| end.at.lo),
        pod.proxy_end.map(|end| end.at.lo),
    ]
    .into_iter()
    .flatten()
    .max()
    .or_else(|| pod.stopped.map(|stopped| stopped.lo));
    match ended {
        Some(ended) if ended <= case.end => 2.0,
        _ => 0.0,
    }
}

/// Refused at the pod's address although the pod has a proxy: both must have ended, and the sandbox
/// not be gone yet, after which attempts vanish.
fn behind_proxy(case: &Case<'_>, pod: &Pod) -> f64 {
    let (Some(proxy), Some(app)) = (pod.proxy_end, pod.app_end) else {
        return 0.0;
    };
    let empty = Interval {
        lo: proxy.at.lo.max(app.at.lo),
        hi: RunOffset(proxy.at.hi.max(app.at.hi).0.saturating_add(SANDBOX)),
    };
    if case.span().intersect(empty).is_none() {
        return 0.0;
    }
    // The later end must be over; how surely it is, is how much of it lies before the attempt.
    let later = if proxy.at.hi > app.at.hi {
        proxy.at
    } else {
        app.at
    };
    overlap(
        later,
        Interval {
            lo: RunOffset(i64::MIN),
            hi: RunOffset(case.end.0 + SAME / 4),
        },
    )
}

/// The proxy ended under the request, and its app had ended before the request was sent.
fn cut_after_app(case: &Case<'_>, pod: &Pod) -> f64 {
    let (Some(proxy), Some(app)) = (pod.proxy_end, pod.app_end) else {
        return 0.0;
    };
    let before = Interval {
        lo: RunOffset(i64::MIN),
        hi: RunOffset(case.sent().0 + SAME / 2),
    };
    1.5 * nearness(proxy.at, case.end) * overlap(app.at, before)
}

/// A new connection that waited to be accepted when its listener closed.
fn accept_queue(case: &Case<'_>, pod: &Pod) -> f64 {
    let Shape::Link(link) = case.shape else {
        return 0.0;
    };
    let Some(stopped) = pod.stopped else {
        return 0.0;
    };
    if link.hop != Hop::Pod || link.reused != Some(false) || !link.fast {
        return 0.0;
    }
    0.5 * reaches(
        case.span(),
        Interval {
            lo: RunOffset(stopped.lo.0 - SAME),
            hi: stopped.hi,
        },
    )
}

/// A new connection that somebody took and ended at once, when the pod had stopped accepting: a
/// service proxy or load balancer that relays takes it first and finds nobody behind (a kernel's
/// routes would have refused). It is another's refusal, at second hand.
fn relayed(scene: &Scene<'_>, case: &Case<'_>, pod: &Pod) -> f64 {
    let (Shape::Link(link), Some(stopped), Some(withdrawn)) =
        (case.shape, pod.stopped, pod.withdrawn)
    else {
        return 0.0;
    };
    let late = case.sent().0 - withdrawn.0;
    // Where it is known that connections are relayed, the relay's own time may be longer.
    let relay = scene.routes.relayed(case.client);
    let at_once = link.fast || relay && case.span().width() <= RELAY_TIME;
    let new = link.hop == Hop::Pod && link.reused == Some(false) && at_once;
    if !new || late > RELAYED {
        return 0.0;
    }
    let over = Interval {
        lo: stopped.lo,
        hi: RunOffset(i64::MAX),
    };
    let before = Interval {
        lo: RunOffset(i64::MIN),
        hi: case.end,
    };
    let usual = if relay { 4.0 } else { 0.4 };
    usual * overlap(stopped, before) * reaches(case.span(), over)
}

/// For how long an attempt hangs at least. A client's patience is long; a proxy's may be short, and
/// where its line says that it never connected, all of it was spent in the connect. A proxy's
/// connect timeout is 10 s.
fn hangs_for(case: &Case<'_>) -> i64 {
    match (case.shape, case.connected) {
        (Shape::ProxyTimeout, Some(false)) => 0,
        (Shape::ProxyTimeout, _) => 900_000_000,
        _ => 3_000_000_000,
    }
}

/// A proxy waited on a kept connection to a pod that was gone before the request was sent, and
/// nobody was there to end the connection.
fn sent_to_the_gone(case: &Case<'_>, index: usize, pod: &Pod, found: &mut Vec<Hypothesis>) {
    let Some(app) = pod.app_end.filter(|_| pod.deleted.is_some()) else {
        return;
    };
    let before = Interval {
        lo: RunOffset(i64::MIN),
        hi: case.sent(),
    };
    // Rare: a process that ends takes its connections with it, where packets still arrive.
    let weight = 0.8 * overlap(app.at, before);
    let proposal = Hypothesis::new(
        Cause::EndpointPropagation,
        Some(index),
        Hop::Pod,
        weight,
        Because::PodGone,
    );
    found.push(proposal.tight(app.at.hi <= case.sent()));
}

/// Behind the client's own proxy an attempt hangs on an address that is gone, until the client's
/// patience ends (facts 9.13). The pod is named only where the proxy's line names it: it lacks an
/// address of its own because it never connected. An attempt that did connect, late, is innocent.
fn hung(
    scene: &Scene<'_>,
    case: &Case<'_>,
    candidate: usize,
    pod: &Pod,
    found: &mut Vec<Hypothesis>,
) {
    let Some(deleted) = pod.deleted else {
        return;
    };
    let ended = pod.app_end.map_or(deleted.lo, |end| end.at.lo);
    if case.end.0 - case.sent().0 < hangs_for(case)
        || ended > case.end
        || still_routed(scene, case, candidate, pod) <= 0.1
    {
        return;
    }
    let weight = match case.connected {
        Some(false) => 2.0,
        Some(true) if scene.routes.dead_around(case.sent()) => 0.4,
        Some(true) => 0.1,
        None => 0.5,
    };
    let index = case
        .pod
        .as_ref()
        .filter(|_| case.connected == Some(false))
        .map(|known| known.pod);
    let proposal = Hypothesis::new(
        Cause::EndpointPropagation,
        index,
        Hop::Pod,
        weight,
        Because::HungAttempt,
    );
    found.push(proposal.tight(index.is_some() && deleted.hi <= case.end));
}
