//! When did a terminating pod stop listening, by the probes of its own address?
//!
//! A probe that was accepted shows that somebody listened after it was sent; a refusal, that nobody
//! did before it was answered. No answer, or no way there, shows it only where an earlier probe got
//! through: the address may not be reachable from here at all.

use crate::evidence::{EventKind, ProbeOutcome, RunOffset, Timeline};
use std::collections::HashMap;

/// What the probes of one pod showed.
#[derive(Clone, Debug, Default)]
pub(in crate::attribution) struct Probed {
    /// Somebody listened after this instant: the sending of the last probe that was accepted.
    pub(in crate::attribution) accepted: Option<RunOffset>,
    /// Nobody listened before this instant: the answer of the first one after it that was not.
    pub(in crate::attribution) shut: Option<RunOffset>,
    /// That answer was a refusal: the address was there, and nobody listened.
    pub(in crate::attribution) refused: bool,
    /// The events of both.
    pub(in crate::attribution) events: Vec<u64>,
}

/// What the probes showed, by the pod's uid.
pub(super) fn all(timeline: &Timeline) -> HashMap<String, Probed> {
    let mut probes: Vec<_> = timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Probe(probe) => Some((probe, event)),
            _ => None,
        })
        .collect();
    probes.sort_by_key(|(probe, _)| probe.sent);
    let mut found: HashMap<String, Probed> = HashMap::new();
    for (probe, event) in probes {
        let probed = found.entry(probe.uid.clone()).or_default();
        let shut = match probe.outcome {
            ProbeOutcome::Accepted => {
                *probed = Probed {
                    accepted: Some(probe.sent),
                    shut: None,
                    refused: false,
                    events: vec![event.seq],
                };
                false
            }
            ProbeOutcome::Refused | ProbeOutcome::Reset => true,
            ProbeOutcome::Timeout | ProbeOutcome::Unreachable => probed.accepted.is_some(),
            ProbeOutcome::Failed => false,
        };
        if shut && probed.shut.is_none() {
            probed.shut = Some(event.at.hi);
            probed.refused = probe.outcome == ProbeOutcome::Refused;
            probed.events.push(event.seq);
        }
    }
    found
}
