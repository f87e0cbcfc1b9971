//! `sidecar-exited-first`: the pod was being deleted, its app alive, its proxy ended (C2).
//!
//! Inbound requests are then refused at the pod's address or cut by the proxy's end, which looks
//! like `endpoint-propagation` or `in-flight-cut` until the app's end is compared.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene, still_routed};
use crate::attribution::SidecarKind;
use crate::attribution::case::{LinkKind, Shape};
use crate::attribution::scene::{End, How, Pod, SAME, nearness, overlap};
use crate::evidence::{Interval, RunOffset};

pub(super) fn explain(
    scene: &Scene<'_>,
    case: &Case<'_>,
    index: usize,
    pod: &Pod,
    found: &mut Vec<Hypothesis>,
) {
    let Shape::Link(link) = case.shape else {
        if case.awaited(index) {
            unanswered(case, index, pod, found);
        }
        return;
    };
    let Some(proxy) = pod.proxy_end.filter(|proxy| can_have_left(pod, *proxy)) else {
        return;
    };
    if link.hop != Hop::Pod {
        return;
    }
    let end = case.end;
    let alive = alive_at(pod, end);
    if alive <= 0.0 {
        return;
    }
    let (fits, because) = match link.kind {
        LinkKind::Refused => {
            let from = Interval {
                lo: RunOffset(proxy.at.lo.0 - SAME / 4),
                hi: RunOffset(i64::MAX),
            };
            let fits = from.intersect(case.span()).is_some();
            (f64::from(u8::from(fits)), Because::ProxyGone)
        }
        LinkKind::Vanished => return,
        LinkKind::Cut if link.fast && link.reused == Some(true) => return,
        LinkKind::Cut => (nearness(proxy.at, end), Because::ProxyEnded),
    };
    if fits <= 0.0 {
        return;
    }
    let weight = 2.0 * fits * alive * still_routed(scene, case, index, pod);
    if weight > 0.0 {
        let tight = alive >= 1.0 && (link.kind == LinkKind::Cut || proxy.at.hi <= end);
        found.push(
            Hypothesis::new(
                Cause::SidecarExitedFirst,
                Some(index),
                Hop::Pod,
                weight,
                because,
            )
            .tight(tight),
        );
    }
}

/// A proxy waited for an answer of this pod, and the pod's own proxy had ended meanwhile, its app
/// being alive.
fn unanswered(case: &Case<'_>, index: usize, pod: &Pod, found: &mut Vec<Hypothesis>) {
    let Some(proxy) = pod.proxy_end.filter(|proxy| can_have_left(pod, *proxy)) else {
        return;
    };
    let weight = 2.0 * overlap(proxy.at, case.span()) * alive_at(pod, proxy.at.hi);
    found.push(Hypothesis::new(
        Cause::SidecarExitedFirst,
        Some(index),
        Hop::Pod,
        weight,
        Because::ProxyEnded,
    ));
}

/// Its proxy may have left before its app. One that the grace period ended mostly went with its app,
/// and a native one is signalled after its app's end; but an app whose preStop hook uses the grace
/// period up has two seconds more than they (facts 1.3, 1.4): then the instants must tell.
fn can_have_left(pod: &Pod, proxy: End) -> bool {
    match pod.sidecar {
        None => false,
        Some(SidecarKind::Classic) if proxy.how != How::Killed => true,
        Some(_) => pod.surely_left_alone(),
    }
}

/// How surely the app was alive at an instant.
fn alive_at(pod: &Pod, at: RunOffset) -> f64 {
    match pod.app_end {
        Some(end) => overlap(
            end.at,
            Interval {
                lo: RunOffset(at.0 + SAME / 2),
                hi: RunOffset(i64::MAX),
            },
        ),
        None => 1.0,
    }
}
