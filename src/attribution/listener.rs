//! Had a sidecar stopped accepting by itself, it and its app alive, when a request was refused?
//!
//! A draining Envoy accepts for `drainDuration` (facts 3.5, 4.5). Its settings tell when that was over,
//! but no line does, and a mesh may have set it without the pod's showing it: this names no cause.

use super::case::{Case, Link, LinkKind, Shape};
use super::explain::context;
use super::scene::{Pod, Scene};
use super::{Evidence, Hop, SidecarKind};
use crate::evidence::{Clock, DRAIN_DURATION, Interval};

/// What was seen of it; the pod is the one that the request was sent to, or one that it may have been.
pub(super) fn closed(scene: &Scene<'_>, case: &Case<'_>) -> Option<Evidence> {
    let Shape::Link(Link {
        hop: Hop::Pod,
        kind: LinkKind::Refused,
        ..
    }) = case.shape
    else {
        return None;
    };
    let known = case.pod.as_ref().map(|known| known.pod);
    let meant = |index: usize| match (known, &case.among) {
        (Some(known), _) => known == index,
        (None, Some(among)) => among.contains(&index),
        (None, None) => true,
    };
    let mut pods = scene.pods.iter().enumerate();
    pods.find_map(|(index, pod)| meant(index).then(|| of_pod(scene, case, pod))?)
}

fn of_pod(scene: &Scene<'_>, case: &Case<'_>, pod: &Pod) -> Option<Evidence> {
    // The hook of a native one drains with `skip_exit`: it never stops (facts 3.4).
    if pod.sidecar != Some(SidecarKind::Classic) || pod.life.going_before_run {
        return None;
    }
    let told = told(scene, pod)?;
    let accepting = pod.life.drain.accepting.unwrap_or(DRAIN_DURATION);
    let ends = [pod.proxy_end, pod.app_end].into_iter().flatten();
    let alive = ends.into_iter().all(|end| end.at.lo > case.end);
    if told.hi.0.saturating_add(accepting) > case.end.0 || !alive {
        return None;
    }
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    let name = &pod.life.name;
    let sent = if case.pod.is_some() {
        format!("`{name}`")
    } else {
        format!("the request may have been sent to `{name}`, which")
    };
    let text = format!(
        "{sent} was being deleted, its app and its sidecar still ran, but a sidecar that drains \
         accepts for `drainDuration` ({} s{}): the request failed {:.2} s after it was told",
        seconds(accepting),
        if pod.life.drain.accepting.is_some() {
            ""
        } else {
            " unless set"
        },
        seconds(case.end.0 - told.hi.0)
    );
    Some(Evidence {
        line: scene.agent_line(pod, pod.proxy.told.map(|word| word.line)),
        ..context(Some(told), text, pod.deleted_event.into_iter().collect())
    })
}

/// When the sidecar was told to stop: by its own word, else after the deletion and its own hook.
pub(super) fn told(scene: &Scene<'_>, pod: &Pod) -> Option<Interval> {
    let deleted = pod.deleted?;
    let said = pod.proxy.told.and_then(|word| {
        let clock = Clock::Node(pod.life.node.clone()?);
        scene.offsets.place(&clock, word.at, 0)
    });
    let hook = pod.life.sidecar()?.prestop_sleep;
    Some(said.unwrap_or_else(|| deleted.shift(hook)))
}
