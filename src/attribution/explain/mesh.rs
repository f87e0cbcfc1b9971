//! `proxy-overload`, `mesh-config`: what proxies on the way decide by themselves (C17, C18).

use super::{Because, Case, Cause, Hop, Hypothesis, Scene, no_ready_endpoint};
use crate::attribution::case::Shape;

pub(super) fn explain(scene: &Scene<'_>, case: &Case<'_>, found: &mut Vec<Hypothesis>) {
    let push = |found: &mut Vec<Hypothesis>, cause, hop, weight, because, tight| {
        found.push(Hypothesis::new(cause, None, hop, weight, because).tight(tight));
    };
    match case.shape {
        Shape::Overload => push(
            found,
            Cause::ProxyOverload,
            Hop::Routing,
            5.0,
            Because::ProxySays,
            true,
        ),
        Shape::Config => push(
            found,
            Cause::MeshConfig,
            Hop::Routing,
            5.0,
            Because::ProxySays,
            !case.lacks,
        ),
        Shape::NobodyChosen => {
            // Hosts are there, and none may be chosen: they were ejected.
            let ready = scene
                .endpoints
                .totals_at(case.sent())
                .is_some_and(|(ready, _)| ready > 0);
            let weight = match no_ready_endpoint::nobody_ready(scene, case) {
                _ if !ready => 0.01,
                lately if lately > 0.0 => 0.1,
                _ => 1.0,
            };
            push(
                found,
                Cause::ProxyOverload,
                Hop::Routing,
                weight,
                Because::ProxySays,
                false,
            );
        }
        _ => {}
    }
}
