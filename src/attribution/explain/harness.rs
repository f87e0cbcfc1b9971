//! `harness`: the client could not do its own part (C20).
//!
//! What proves it: a local limit (ports, file handles), a name that does not resolve, a fault that
//! the harness recorded about itself. It is excluded before anybody else is blamed.

use super::{Because, Case, Cause, Hop, Hypothesis, Scene};
use crate::attribution::case::Shape;

pub(super) fn explain(scene: &Scene<'_>, case: &Case<'_>, found: &mut Vec<Hypothesis>) {
    let weight = match case.shape {
        Shape::Local => 10.0,
        Shape::Resolve => 5.0,
        _ => 0.0,
    };
    if weight > 0.0 {
        let proposal = Hypothesis::new(
            Cause::Harness,
            None,
            Hop::Client,
            weight,
            Because::HarnessFault,
        );
        found.push(proposal.tight(case.shape == Shape::Local));
    } else if scene.harness.iter().any(|harness| {
        harness
            .faults
            .iter()
            .any(|fault| fault.starts_with("clock-step"))
    }) {
        let proposal = Hypothesis::new(
            Cause::Harness,
            None,
            Hop::Client,
            0.02,
            Because::HarnessFault,
        );
        found.push(proposal);
    }
}
