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
mod listener;
mod masking;
mod modifiers;
mod pods;
mod scene;
mod tell;

pub use cause::{Cause, Modifier};
pub use findings::{
    Attribution, ClockBound, Confidence, CutShort, Evidence, Findings, Hop, LEFT_FIRST_S, Missing,
    NotUnderstood, OutboundSummary, PodFinding, RunnerUp, SidecarDrain, SidecarKind, Stance,
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
    let masking = masking::of(&scene);
    let matches = log_matches(&scene);
    let mut logs_not_understood = scene.proxies.not_understood;
    logs_not_understood.sort_by(|a, b| (&a.pod, &a.container).cmp(&(&b.pod, &b.container)));
    Findings {
        failures,
        pods,
        clocks,
        outbound,
        masked: masking.masked.map(|masked| masked.after),
        masked_unsure: masking.masked.map_or(0, |masked| masked.unsure),
        masked_at_least: masking.at_least,
        doubled: masking.doubled,
        masked_hint: masking.hint,
        logs_not_understood,
        log_matches: matches.after,
        log_matches_unsure: matches.unsure,
    }
}

/// Lines of the logs, a client's own left out, since the disruption began that match one of the
/// patterns; one that is no regular expression matches nothing (a scenario that has one is refused
/// before it runs).
fn log_matches(scene: &scene::Scene<'_>) -> scene::Counted {
    let patterns = scene.observe.log_patterns.iter();
    let valid = patterns.filter(|pattern| regex::Regex::new(pattern).is_ok());
    let Ok(patterns) = regex::RegexSet::new(valid) else {
        return scene::Counted::default();
    };
    let client = |pod: &str| {
        let mut clients = scene.clients.values();
        clients.any(|client| client.pod.as_deref() == Some(pod))
    };
    let logs = scene.timeline.logs.iter().filter(|log| !client(&log.pod));
    let lines = logs.flat_map(|log| {
        let lines = log.lines.iter();
        lines.map(|line| (log.pod.as_str(), line))
    });
    let matching = lines.filter(|(_, line)| patterns.is_match(&line.text));
    scene.count_since_disrupted(matching.map(|(pod, line)| (pod, line.stamp)))
}

#[cfg(test)]
mod tests;
