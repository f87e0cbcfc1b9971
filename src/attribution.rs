//! Which cause explains each failure, and how surely?
//!
//! [`attribute`] is a pure function of the frozen [`Timeline`]: it names, for each failed request,
//! a [`Cause`] with a [`Confidence`], the hop that broke, the pod only where it is proved, the best
//! competitor and what speaks against it; and for each pod the hazards that need no failed request.
//! The order of decision is that of design 6 and facts 5.4.

mod case;
mod cause;
mod decide;
mod explain;
mod findings;
mod join;
mod masking;
mod modifiers;
mod pods;
mod scene;
mod tell;

pub use cause::{Cause, Modifier};
pub use findings::{
    Attribution, ClockBound, Confidence, Evidence, Findings, Hop, Missing, OutboundSummary,
    PodFinding, RunnerUp, SidecarKind, Stance,
};

use crate::evidence::Timeline;

/// Explains every failed request of a run and finds the hazards of its pods.
pub fn attribute(timeline: &Timeline) -> Findings {
    let scene = scene::Scene::new(timeline);
    let failures = timeline
        .failed_requests()
        .map(|(event, request)| decide::decide(&scene, &case::Case::of(&scene, event, request)))
        .collect();
    let clocks = scene
        .offsets
        .iter()
        .map(|(clock, bound)| ClockBound {
            clock: clock.clone(),
            lo: bound.at_least(),
            hi: bound.at_most(),
            method: bound.method.clone(),
            unreliable: bound.unreliable,
        })
        .collect();
    let (pods, outbound) = pods::find(&scene);
    let (masked, masked_hint) = masking::of(&scene);
    Findings {
        failures,
        pods,
        clocks,
        outbound,
        masked,
        masked_hint,
        log_matches: log_matches(timeline, &scene.observe.log_patterns),
    }
}

/// Lines of all logs that match one of the patterns; one that is no regular expression matches
/// nothing (a scenario that has one is refused before it runs).
fn log_matches(timeline: &Timeline, patterns: &[String]) -> u64 {
    let valid = patterns
        .iter()
        .filter(|pattern| regex::Regex::new(pattern).is_ok());
    let Ok(patterns) = regex::RegexSet::new(valid) else {
        return 0;
    };
    let lines = timeline.logs.iter().flat_map(|log| &log.lines);
    lines.filter(|line| patterns.is_match(&line.text)).count() as u64
}

#[cfg(test)]
mod tests;
