//! `client-side`: the client gave up or could not send (C19).
//!
//! A patience that ends while an answer is awaited is the client's, unless the time was lost on a
//! pod that was gone (that is `endpoint-propagation`, facts 9.13).

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::Shape;
use crate::evidence::Outcome;

pub(super) fn explain(scene: &Scene<'_>, case: &Case<'_>, found: &mut Vec<Hypothesis>) {
    match case.shape {
        Shape::NoAnswer | Shape::ProxyTimeout => {
            let unknown = case.meshed && case.shape == Shape::NoAnswer;
            let hop = if unknown { Hop::Unknown } else { Hop::App };
            found.push(Hypothesis::new(
                Cause::ClientSide,
                None,
                hop,
                0.3,
                Because::GaveUp,
            ));
            if scene.baseline.explains(case.request) {
                let proposal =
                    Hypothesis::new(Cause::ClientSide, None, hop, 4.0, Because::AsBaseline);
                found.push(proposal);
            }
        }
        // What a proxy says by itself is not the client's, known or not.
        Shape::Other if matches!(case.request.outcome, Outcome::Transport { .. }) => {
            found.push(Hypothesis::new(
                Cause::ClientSide,
                None,
                Hop::Client,
                0.05,
                Because::GaveUp,
            ));
        }
        _ => {}
    }
}
