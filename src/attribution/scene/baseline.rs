//! What failed before anything was disturbed, and how often?
//!
//! What fails as often later is not the rollout's ([`Baseline::explains`], design 6), unless it keeps to
//! the ends of pods: what only those answer that were told to end is their refusal, whatever one
//! answered in the baseline (facts C9, "uncorrelated with pod lifecycle").

mod share;

use super::Pod;
use crate::evidence::{
    ClockOffsets, EventKind, FailedRequest, Interval, Outcome, RequestCounts, RunOffset, Timeline,
};
use share::Share;
use std::collections::HashMap;

/// Failures by signature before the disruption and since, and the requests that they came from.
#[derive(Debug, Default)]
pub(in crate::attribution) struct Baseline {
    until: Option<RunOffset>,
    alike: HashMap<Signature, Alike>,
    /// By client and class.
    sent: HashMap<String, HashMap<String, Sent>>,
    told: Told,
}

/// Failures of one signature.
#[derive(Clone, Copy, Debug, Default)]
struct Alike {
    before: u64,
    /// Since the disruption, of pods that had been told to end.
    told: u64,
    /// Since the disruption, of any other, or of nobody knows whom.
    others: u64,
}

/// Requests of one class of a client.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    before: u64,
    since: u64,
    /// Since the disruption, of the answered ones: by pods that had been told to end.
    told: u64,
}

/// When the pods of each name had been told to end and were alive.
#[derive(Debug, Default)]
struct Told(HashMap<String, Vec<Interval>>);

impl Told {
    fn of(pods: &[Pod], offsets: &ClockOffsets) -> Self {
        let mut told: HashMap<String, Vec<Interval>> = HashMap::new();
        for pod in pods {
            if let Some(span) = pod.told(offsets) {
                told.entry(pod.life.name.clone()).or_default().push(span);
            }
        }
        Self(told)
    }

    fn had(&self, pod: Option<&str>, span: Interval) -> bool {
        pod.and_then(|pod| self.0.get(pod))
            .is_some_and(|spans| spans.iter().any(|told| told.intersect(span).is_some()))
    }

    fn answered(&self, request: &FailedRequest) -> bool {
        let sent = request.sent.unwrap_or(request.intended);
        let pod = request.response.pod.as_deref();
        self.had(pod, Interval::between(sent, request.end))
    }

    fn counted(&self, counts: &RequestCounts) -> bool {
        let end = RunOffset(counts.bucket.0 + counts.width);
        self.had(counts.pod.as_deref(), Interval::between(counts.bucket, end))
    }
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
    pub(super) fn of(timeline: &Timeline, pods: &[Pod], offsets: &ClockOffsets) -> Self {
        let Some(until) = timeline.disrupted_at() else {
            return Self::default();
        };
        let mut baseline = Self {
            until: Some(until),
            told: Told::of(pods, offsets),
            ..Self::default()
        };
        for event in &timeline.events {
            match &event.kind {
                EventKind::RequestFailed(request) => baseline.add_failure(request),
                EventKind::Requests(counts) => baseline.add_counts(counts, until),
                _ => {}
            }
        }
        baseline
    }

    fn add_failure(&mut self, request: &FailedRequest) {
        let before = self.before_disruption(request);
        let told = self.told.answered(request);
        let alike = self.alike.entry(signature(request)).or_default();
        *match (before, told) {
            (true, _) => &mut alike.before,
            (false, true) => &mut alike.told,
            (false, false) => &mut alike.others,
        } += 1;
    }

    fn add_counts(&mut self, counts: &RequestCounts, until: RunOffset) {
        let told = self.told.counted(counts);
        let of_client = self.sent.entry(counts.client.clone()).or_default();
        let sent = of_client.entry(counts.class.clone()).or_default();
        if counts.bucket.0 + counts.width <= until.0 {
            sent.before += counts.ok + counts.failed;
        } else {
            sent.since += counts.ok + counts.failed;
            sent.told += if told { counts.ok } else { 0 };
        }
    }

    /// The request failed before anything was disturbed.
    pub(in crate::attribution) fn before_disruption(&self, request: &FailedRequest) -> bool {
        self.until
            .is_some_and(|until| request.end < until && request.intended < until)
    }

    /// Failures like this one are as frequent during the disruption as before it, or rarer. Those of
    /// pods that had been told to end are compared with all others, the later ones too.
    pub(in crate::attribution) fn explains(&self, request: &FailedRequest) -> bool {
        let (before, others, told) = self.shares(request);
        let steady = before.allows(others);
        if self.told.answered(request) {
            steady && others.failed > 0 && before.and(others).allows(told)
        } else {
            steady
        }
    }

    /// The part of the failures like this one that would have come without a disruption.
    pub(in crate::attribution) fn part(&self, request: &FailedRequest) -> f64 {
        let (before, others, told) = self.shares(request);
        if self.told.answered(request) {
            before.and(others).part_of(told)
        } else {
            before.part_of(others)
        }
    }

    /// How often it failed like this before the disruption and since: of others than pods that had
    /// been told to end, and of these.
    fn shares(&self, request: &FailedRequest) -> (Share, Share, Share) {
        let signature = signature(request);
        let alike = self.alike.get(&signature).copied().unwrap_or_default();
        let sent = self.sent(&signature);
        let of_told = sent.told + alike.told;
        let share = |failed, sent| Share { failed, sent };
        (
            share(alike.before, sent.before),
            share(alike.others, sent.since.saturating_sub(of_told)),
            share(alike.told, of_told),
        )
    }

    /// What the client sent of this class; of all classes where it did not count by them.
    fn sent(&self, of: &Signature) -> Sent {
        let Some(classes) = self.sent.get(&of.client) else {
            return Sent::default();
        };
        let all = || {
            let sum = |a: Sent, b: &Sent| Sent {
                before: a.before + b.before,
                since: a.since + b.since,
                told: a.told + b.told,
            };
            classes.values().fold(Sent::default(), sum)
        };
        classes.get(&of.class).copied().unwrap_or_else(all)
    }

    /// How many failures like this one came before the disruption.
    pub(in crate::attribution) fn count(&self, request: &FailedRequest) -> u64 {
        self.alike
            .get(&signature(request))
            .map_or(0, |alike| alike.before)
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
