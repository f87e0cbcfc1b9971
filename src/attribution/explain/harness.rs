//! `harness`: the client could not do its own part (C20).
//!
//! What proves it: a local limit (ports, file handles), a name that does not resolve, a request that
//! the harness sent so late that its patience was spent before it was out, a fault that the harness
//! recorded about itself. It is excluded before anybody else is blamed.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::Shape;
use crate::evidence::{ErrorClass, FailedRequest, Outcome};

pub(super) fn explain(scene: &Scene<'_>, case: &Case<'_>, found: &mut Vec<Hypothesis>) {
    let sent_late = spent_before_sending(case.request);
    let clock_stepped = scene.harness.iter().any(|harness| {
        let mut faults = harness.faults.iter();
        faults.any(|fault| fault.starts_with("clock-step"))
    });
    let (weight, because) = match case.shape {
        Shape::Local => (10.0, Because::HarnessFault),
        _ if sent_late => (10.0, Because::SentTooLate),
        Shape::Resolve => (5.0, Because::HarnessFault),
        _ if clock_stepped => (0.02, Because::HarnessFault),
        _ => return,
    };
    let proposal = Hypothesis::new(Cause::Harness, None, Hop::Client, weight, because);
    found.push(proposal.tight(case.shape == Shape::Local || sent_late));
}

/// The patience runs from the intended send time. Where most of it was gone before the request was
/// out, the timeout is the harness's own.
fn spent_before_sending(request: &FailedRequest) -> bool {
    let timed_out = matches!(
        request.outcome,
        Outcome::Transport {
            class: ErrorClass::Timeout,
            ..
        }
    );
    let late = request.sent.map_or(0, |sent| sent.0 - request.intended.0);
    timed_out && late.saturating_mul(2) > request.end.0 - request.intended.0
}
