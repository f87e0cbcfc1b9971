//! What failed before anything was disturbed, and how often?

use crate::evidence::{EventKind, FailedRequest, Outcome, RunOffset, Timeline};
use std::collections::HashMap;

/// Failures before the disruption by signature, and the exposure that they came from.
#[derive(Debug, Default)]
pub(in crate::attribution) struct Baseline {
    until: Option<RunOffset>,
    signatures: HashMap<Signature, u64>,
    during: HashMap<Signature, u64>,
    sent: u64,
    sent_during: u64,
}

/// What makes two failures alike: client, class, phase and outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Signature {
    client: String,
    class: String,
    phase: String,
    outcome: String,
}

fn signature(request: &FailedRequest) -> Signature {
    let outcome = match &request.outcome {
        Outcome::Transport { class, .. } => format!("{class:?}"),
        Outcome::Status { code, .. } => code.to_string(),
        Outcome::UnexpectedBody { code } => format!("body {code}"),
    };
    Signature {
        client: request.client.clone(),
        class: request.class.clone(),
        phase: format!("{:?}", request.phase),
        outcome,
    }
}

impl Baseline {
    pub(super) fn of(timeline: &Timeline) -> Self {
        let Some(until) = timeline.disrupted_at() else {
            return Self::default();
        };
        let mut baseline = Self {
            until: Some(until),
            ..Self::default()
        };
        for event in &timeline.events {
            match &event.kind {
                EventKind::RequestFailed(request) => {
                    let side = if request.intended < until && request.end < until {
                        &mut baseline.signatures
                    } else {
                        &mut baseline.during
                    };
                    *side.entry(signature(request)).or_default() += 1;
                }
                EventKind::Requests(counts) => {
                    let sent = counts.ok + counts.failed;
                    if counts.bucket.0 + counts.width <= until.0 {
                        baseline.sent += sent;
                    } else {
                        baseline.sent_during += sent;
                    }
                }
                _ => {}
            }
        }
        baseline
    }

    /// The request failed before anything was disturbed.
    pub(in crate::attribution) fn before_disruption(&self, request: &FailedRequest) -> bool {
        self.until
            .is_some_and(|until| request.end < until && request.intended < until)
    }

    /// Failures like this one are as frequent during the disruption as before it, or rarer.
    pub(in crate::attribution) fn explains(&self, request: &FailedRequest) -> bool {
        let signature = signature(request);
        let before = self.signatures.get(&signature).copied().unwrap_or(0);
        let during = self.during.get(&signature).copied().unwrap_or(0);
        if before == 0 {
            return false;
        }
        if self.sent == 0 || self.sent_during == 0 {
            return false;
        }
        // Three standard deviations of a count on top of the control's share: chance alone.
        let expected = before as f64 / self.sent as f64 * self.sent_during as f64;
        let spread = 3.0 * (expected + expected * expected / before as f64).sqrt();
        (during as f64) <= expected + spread
    }

    /// How many failures like this one came before the disruption.
    pub(in crate::attribution) fn count(&self, request: &FailedRequest) -> u64 {
        self.signatures
            .get(&signature(request))
            .copied()
            .unwrap_or(0)
    }
}
