//! `in-flight-cut`, `grace-exceeded`, `term-signal-unhandled`: the app ended under the request.
//!
//! Who ended it tells them apart (C4, C3, C5): the app by itself; SIGKILL at the end of the grace
//! period, the app having begun to shut down; SIGKILL, the app never having reacted to SIGTERM.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::Modifier;
use crate::attribution::case::{LinkKind, Shape};
use crate::attribution::scene::{End, How, Pod, Reaction, SAME, nearness, overlap};
use crate::evidence::{Interval, RunOffset};

pub(super) fn explain(
    _scene: &Scene<'_>,
    case: &Case<'_>,
    index: usize,
    pod: &Pod,
    found: &mut Vec<Hypothesis>,
) {
    let Some(app) = pod.app_end else {
        return;
    };
    let Shape::Link(link) = case.shape else {
        if case.awaited(index) {
            unanswered(case, index, pod, app, found);
        }
        return;
    };
    if link.kind != LinkKind::Cut {
        return;
    }
    if link.hop == Hop::Pod && pod.sidecar.is_some() && !together(pod) {
        under_proxy(case, index, pod, app, found);
        return;
    }
    let near = Interval {
        lo: RunOffset(app.at.lo.0 - SAME),
        hi: RunOffset(app.at.hi.0 + SAME),
    };
    let weight = if link.fast {
        // Within moments of the sending: in flight, or found dead; the shape alone cannot say.
        let fits = near.intersect(case.span()).is_some();
        let weight = match link.reused {
            Some(true) => 0.4,
            _ => 1.0,
        };
        f64::from(u8::from(fits)) * weight
    } else {
        // A narrow interval that holds the instant says more than a wide one.
        nearness(app.at, case.end) * (2.0 + density(app.at))
    };
    propose(case, index, pod, app, link.hop, weight, found);
}

/// A proxy waited for an answer of this app, and the app had ended meanwhile, before its own proxy.
fn unanswered(case: &Case<'_>, index: usize, pod: &Pod, app: End, found: &mut Vec<Hypothesis>) {
    if pod.proxy_end.is_some_and(|proxy| proxy.at.hi < app.at.lo) {
        return;
    }
    let weight = 2.0 * overlap(app.at, case.span());
    propose(case, index, pod, app, Hop::Pod, weight, found);
}

/// Between 0 and 1: the narrower the interval, the more.
fn density(at: Interval) -> f64 {
    1.0 / (1.0 + at.width() as f64 / 5e8)
}

/// SIGKILL ended the app and its proxy within moments, as far as is known.
fn together(pod: &Pod) -> bool {
    match (pod.app_end, pod.proxy_end) {
        (Some(app), Some(proxy)) => {
            app.how == How::Killed && proxy.how == How::Killed && !pod.surely_left_alone()
        }
        _ => false,
    }
}

/// The proxy's end cut the request, and the app had ended while it was under way.
fn under_proxy(case: &Case<'_>, index: usize, pod: &Pod, app: End, found: &mut Vec<Hypothesis>) {
    let Some(proxy) = pod.proxy_end else {
        return;
    };
    let weight = 1.2 * nearness(proxy.at, case.end) * overlap(app.at, case.span());
    propose(case, index, pod, app, Hop::Pod, weight, found);
}

fn propose(
    case: &Case<'_>,
    index: usize,
    pod: &Pod,
    app: End,
    hop: Hop,
    weight: f64,
    found: &mut Vec<Hypothesis>,
) {
    if weight <= 0.0 {
        return;
    }
    let mut push = |cause, share: f64, tight| {
        let because = Because::AppEnded;
        let mut proposal =
            Hypothesis::new(cause, Some(index), hop, weight * share, because).tight(tight);
        if pod.deleted.is_some_and(|deleted| deleted.hi <= case.end) {
            proposal.modifiers.push(Modifier::DuringGrace);
        }
        found.push(proposal);
    };
    let held = nearness(app.at, case.end) >= 1.0;
    match (app.how, pod.reaction) {
        (How::Exited(_) | How::KilledEarly, _) => push(Cause::InFlightCut, 1.0, held),
        (How::Killed, Reaction::Logged(_) | Reaction::Closed) => {
            push(Cause::GraceExceeded, 1.0, held)
        }
        (How::Killed, Reaction::Silent) => {
            push(Cause::TermSignalUnhandled, 1.0, held);
            push(Cause::GraceExceeded, 0.15, false);
        }
        (How::Killed, Reaction::Unknown) => {
            let deaf = served_in_grace(pod);
            push(
                Cause::TermSignalUnhandled,
                if deaf { 0.55 } else { 0.45 },
                false,
            );
            push(Cause::GraceExceeded, if deaf { 0.45 } else { 0.55 }, false);
        }
        (How::Unknown, reaction) => unknown_end(case, pod, app, reaction, &mut push),
    }
}

/// The exit code was not seen: how long the pod lived after its deletion tells what it can have been.
/// It did not outlive the request that its end cut.
fn unknown_end(
    case: &Case<'_>,
    pod: &Pod,
    app: End,
    reaction: Reaction,
    push: &mut impl FnMut(Cause, f64, bool),
) {
    let until = app.at.hi.0.min(case.end.0 + SAME);
    let lived = pod.deleted.map_or(0, |deleted| until - deleted.lo.0);
    if lived < pod.grace() - SAME {
        push(Cause::InFlightCut, 1.0, false);
        return;
    }
    push(Cause::InFlightCut, 0.5, false);
    if !matches!(reaction, Reaction::Silent) {
        push(Cause::GraceExceeded, 0.4, false);
    }
    if !matches!(reaction, Reaction::Logged(_) | Reaction::Closed) {
        push(Cause::TermSignalUnhandled, 0.4, false);
    }
}

/// It took new connections after its deletion, close to the end of its grace period.
fn served_in_grace(pod: &Pod) -> bool {
    match (pod.deleted, pod.answers.latest_sent_new) {
        (Some(deleted), Some(sent)) => sent.0 > deleted.hi.0 + pod.grace() / 2,
        _ => false,
    }
}
