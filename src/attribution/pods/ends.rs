//! When did a pod's app and its proxy end, by the clock of their node?
//!
//! `finishedAt` is floored to a second. What else is known of an end narrows it: the last words of a
//! process, signs of life and the arrival of its state, and the grace period of one that was killed.

use crate::attribution::SidecarKind;
use crate::attribution::scene::{End, How, MOMENTS, Pod, Scene};
use crate::evidence::{Clock, ContainerSpec, FLOOR, Interval, STAMP_WIDTH};

/// Not before, not after; epoch nanoseconds.
pub(super) type Span = (i64, i64);

/// A floored second, and some more for a stamp that was moved and floored again.
const WIDTH: i64 = 1_400_000_000;

/// All containers of a pod are told to stop within this time.
const TOLD_APART: i64 = 150_000_000;

/// The runtime kills a container within this time of its deadline.
const KILL_LATE: i64 = 300_000_000;

/// A container whose hook leaves it less than this gets it nevertheless (facts 1.3).
const EXTENSION: i64 = 2 * FLOOR;

/// The end of the app.
pub(super) fn app(scene: &Scene<'_>, pod: &Pod) -> Option<Span> {
    let spec = pod.life.app()?;
    let mut ended = finished(pod, spec)?;
    if let Some(end) = pod.app_end {
        ended = within(ended, by_its_node(scene, pod, end.at));
        ended = killed(scene, pod, spec, end, ended);
    }
    let ended = narrowed_by_log(ended, pod.log.last);
    Some(pod.log.farewell.map_or(ended, |word| soon(ended, word)))
}

/// The end of the proxy.
pub(super) fn proxy(scene: &Scene<'_>, pod: &Pod) -> Option<Span> {
    let spec = pod.life.sidecar()?;
    let mut ended = finished(pod, spec)?;
    if let Some(end) = pod.proxy_end {
        ended = killed(scene, pod, spec, end, ended);
    }
    Some(pod.proxy.aborted.map_or(ended, |word| soon(ended, word.at)))
}

/// `finishedAt` as an interval.
fn finished(pod: &Pod, spec: &ContainerSpec) -> Option<Span> {
    let finished = pod.life.end_of(&spec.name)?.finished?;
    Some((finished, finished + WIDTH))
}

/// What both allow; where they contradict each other, the first.
pub(super) fn within(ended: Span, other: Option<Span>) -> Span {
    let Some((lo, hi)) = other else {
        return ended;
    };
    let both = (ended.0.max(lo), ended.1.min(hi));
    if both.0 <= both.1 { both } else { ended }
}

/// An interval of the harness's clock by that of the pod's node.
fn by_its_node(scene: &Scene<'_>, pod: &Pod, at: Interval) -> Option<Span> {
    let bound = scene.offsets.bound(&Clock::Node(pod.life.node.clone()?));
    let started = scene.timeline.run.started_at;
    let (least, most) = (bound.at_least()?, bound.at_most()?);
    (!bound.unreliable).then(|| {
        let lo = at.lo.0.saturating_add(started).saturating_add(least);
        let hi = at.hi.0.saturating_add(started).saturating_add(most);
        (lo, hi)
    })
}

/// The kubelet kills no container before its grace period is over, counted from the moment at which
/// all were told; and soon after it, where what its hook left of it is known.
fn killed(scene: &Scene<'_>, pod: &Pod, spec: &ContainerSpec, end: End, ended: Span) -> Span {
    if end.how != How::Killed {
        return ended;
    }
    let grace = pod.grace();
    let asked = pod.deleted.and_then(|at| by_its_node(scene, pod, at));
    let ended = within(ended, asked.map(|asked| (asked.0 + grace, i64::MAX)));
    let Some(told) = told(pod) else {
        return ended;
    };
    let (least, most) = match slept(pod, spec) {
        // When a kubelet took a shorter grace period up is not known.
        Some(hook) if !shortened(pod) => {
            let hook = hook.min(grace);
            let extended = hook + EXTENSION;
            let most = extended.max(grace + hook % FLOOR);
            (extended.max(grace), told + most + KILL_LATE)
        }
        _ => (grace, i64::MAX),
    };
    within(ended, Some((told + least - TOLD_APART, most)))
}

fn shortened(pod: &Pod) -> bool {
    let deletion = pod.life.deletion.as_ref();
    deletion.is_some_and(|deletion| deletion.shortened.is_some())
}

/// The end of the grace period took the app and its classic sidecar at once, wherever it fell: how
/// far apart, at most. A hook may keep back a signal, and with it the end.
pub(super) fn killed_apart(pod: &Pod) -> Option<Span> {
    let killed = |end: Option<End>| end.is_some_and(|end| end.how == How::Killed);
    let unhooked = |spec: Option<&ContainerSpec>| spec.is_some_and(|spec| !spec.prestop);
    let both = killed(pod.app_end) && killed(pod.proxy_end);
    let at_once = unhooked(pod.life.app()) && unhooked(pod.life.sidecar());
    let apart = TOLD_APART + KILL_LATE;
    let told = pod.sidecar == Some(SidecarKind::Classic) && pod.proxy.told.is_some();
    (both && at_once && told).then_some((-apart, apart))
}

/// How long its hook kept its signal back, where that is known: of the grace period whole seconds
/// are taken (facts 1.3).
fn slept(pod: &Pod, spec: &ContainerSpec) -> Option<i64> {
    let unknown = spec.hook_of_unknown_length() || pod.hook_failed(spec);
    (!unknown).then_some(spec.prestop_sleep)
}

/// When the kubelet told all containers of the pod to stop, by the agent's first word. That comes
/// after the agent's own hook, whose length must be known; of a native sidecar it is the hook's own
/// word (facts 9.6), since its signal comes after the app's end.
fn told(pod: &Pod) -> Option<i64> {
    let spec = pod.life.sidecar()?;
    let word = pod.proxy.told?.at;
    let told_by_hook = spec.hook_of_unknown_length();
    if pod.sidecar == Some(SidecarKind::Native) {
        return told_by_hook.then_some(word);
    }
    (!told_by_hook).then_some(word - spec.prestop_sleep)
}

/// An app that logs to its end ended soon after its last line.
fn narrowed_by_log(ended: Span, last: Option<i64>) -> Span {
    match last {
        Some(last) if last >= ended.0 && last < ended.0 + STAMP_WIDTH => (last, last.max(ended.1)),
        _ => ended,
    }
}

fn soon(ended: Span, announced: i64) -> Span {
    if announced >= ended.0 - MOMENTS && announced < ended.0 + STAMP_WIDTH {
        (announced, announced + MOMENTS)
    } else {
        ended
    }
}
