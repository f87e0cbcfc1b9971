//! In which shapes do requests fail, and how often in each?

use std::collections::{BTreeMap, BTreeSet};

/// What an app had not answered when it died: while it waited for headers (facts 8.6), or for a machine
/// that is busy, before the client even learned of its connection.
const CUT: &str = "reset on a new connection";

/// Failed requests by their shape.
#[derive(Clone, Debug, Default)]
pub(super) struct Shapes(BTreeMap<String, u32>);

impl Shapes {
    /// Counts a failure, as a client tells it.
    pub(super) fn count(&mut self, connection: &str, phase: &str, error: &str) {
        let shape = match (connection, phase, error) {
            (_, "connect", "refused") => "refused".into(),
            (_, "connect", "timeout") => "timed out in connect".into(),
            ("reused", _, "closed" | "reset") => "closed or reset on a kept connection".into(),
            ("new", "connect" | "wait-headers", "reset") => CUT.into(),
            _ => format!("{error} in {phase} on a {connection} connection"),
        };
        *self.0.entry(shape).or_default() += 1;
    }

    pub(super) fn add(&mut self, more: &Self) {
        for (shape, count) in &more.0 {
            *self.0.entry(shape.clone()).or_default() += count;
        }
    }

    fn share(&self, shape: &str) -> f64 {
        f64::from(self.0.get(shape).copied().unwrap_or(0)) / f64::from(self.all())
    }

    fn all(&self) -> u32 {
        self.0.values().sum::<u32>().max(1)
    }

    /// The shapes whose share is not within a factor of 3 of the recorded one, and those that were
    /// never recorded. One is so rare without load that a recording need not have it: what it has none
    /// of in `n` failures has a share of at most `3 / n` (at 95 %).
    pub(super) fn unlike(&self, recorded: &Self) -> Vec<String> {
        let shapes: BTreeSet<_> = self.0.keys().chain(recorded.0.keys()).collect();
        let wrong = shapes.into_iter().filter_map(|shape| {
            let (own, other) = (self.share(shape), recorded.share(shape));
            let like = if shape == CUT {
                own <= 3.0 / f64::from(recorded.all())
            } else {
                own <= other * 3.0 && own >= other / 3.0
            };
            (!like).then(|| format!("{shape}: {own:.2} of all, recorded {other:.2}"))
        });
        wrong.collect()
    }
}
