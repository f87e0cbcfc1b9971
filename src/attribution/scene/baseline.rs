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

/// What makes two failures alike: client, class, phase, outcome, and what the answer says. One app
/// may answer 503 because it is busy and because it shuts down, and says so (facts C9).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Signature {
    client: String,
    class: String,
    phase: String,
    outcome: String,
    says: String,
}

/// So much of an answer's beginning tells what kind of answer it is; the rest is about the request.
const BEGINNING: usize = 40;

/// The beginning of an answer, without what differs from one to the next: words with a digit in them
/// (ids, times, addresses, pods' names), and how it is spaced and written.
fn beginning(body: &str) -> String {
    let part_of_a_word = |c: char| c.is_alphanumeric() || "-_.:/".contains(c);
    let mut found = String::new();
    for word in body.split(|c| !part_of_a_word(c)) {
        if word.is_empty() {
            continue;
        }
        if !found.is_empty() {
            found.push(' ');
        }
        if word.contains(|c: char| c.is_ascii_digit()) {
            found.push('#');
        } else {
            found.extend(word.chars().flat_map(char::to_lowercase));
        }
        if found.len() >= BEGINNING {
            break;
        }
    }
    found.chars().take(BEGINNING).collect()
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
        says: beginning(request.response.body.as_deref().unwrap_or_default()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_one_kind_begin_alike_and_of_two_kinds_do_not() {
        for (one, other) in [
            ("busy", " Busy\n"),
            ("busy (17 in line)", "busy (3 in line)"),
            (
                r#"{"error":"busy","trace":"7f3a91c0-1b2d-4c3e-8f90-aabbccddeeff"}"#,
                r#"{"error":"busy","trace":"0badc0de-1111-4222-9333-444455556666"}"#,
            ),
            (
                "demo-7c48b85cd9-7xjg5: out of memory",
                "demo-7c48b85cd9-bdnfg: out of memory",
            ),
        ] {
            assert_eq!(beginning(one), beginning(other), "{one}");
        }
        for (one, other) in [
            ("busy", "shutting down"),
            ("", "shutting down"),
            (r#"{"error":"busy"}"#, r#"{"error":"draining"}"#),
        ] {
            assert_ne!(beginning(one), beginning(other), "{one}");
        }
        assert!(beginning(&"ü".repeat(200)).chars().count() <= BEGINNING);
    }
}
