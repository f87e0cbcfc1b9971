//! What is to be said of each pod that was deleted, restarted or ended badly?
//!
//! Hazards need no failed request: a container killed by SIGKILL, a deaf app, a sidecar that left
//! before its app or never ends, a preStop hook that failed, a thin margin.

mod drain;
mod ends;
mod hazards;
mod margin;
mod missing;
mod outbound;
mod sidecar;

use super::scene::{Pod, Scene};
use super::{Evidence, OutboundSummary, PodFinding};
use crate::evidence::{EventKind, Interval, RunOffset};
use std::collections::BTreeMap;

/// The findings of all pods, by name, and the sum of their lost calls.
pub(super) fn find(scene: &Scene<'_>) -> (Vec<PodFinding>, OutboundSummary) {
    let patterns = outbound::patterns(&scene.observe.outbound_patterns);
    let mut outbound = OutboundSummary::default();
    let mut found: Vec<PodFinding> = Vec::new();
    for pod in &scene.pods {
        let mut evidence = Vec::new();
        let lead = sidecar::lead(scene, pod);
        let hazards = hazards::of(scene, pod, lead, &mut evidence);
        let lost = outbound::of(scene, pod, lead, &patterns);
        outbound.lost += lost.as_ref().map_or(0, |lost| lost.lost);
        outbound.elsewhere += lost.as_ref().map_or(0, |lost| lost.elsewhere);
        let crashed = !pod.crashes.is_empty();
        if pod.deleted.is_none() && !crashed && hazards.is_empty() {
            continue;
        }
        if let Some(lost) = &lost {
            evidence.extend(lost.evidence.clone());
        }
        let window = window(pod);
        found.push(PodFinding {
            pod: pod.life.name.clone(),
            exit_codes: exit_codes(pod),
            hazards,
            outbound_failures: lost.map(|lost| lost.lost),
            sidecar_lead_s: lead.map(|lead| lead.seconds()),
            sidecar_lead_between_s: lead.map(|lead| lead.between()),
            drain: lead.and_then(|lead| drain::drain(pod, lead)),
            margin_ms: margin::of(scene, pod),
            window,
            exposed: window.map_or(0, |window| exposed(scene, window)),
            evidence,
            sidecar: pod.sidecar,
            missing: missing::of(scene, pod, window),
        });
    }
    found.sort_by(|a, b| a.pod.cmp(&b.pod));
    (found, outbound)
}

/// From the deletion request until the last process is gone and nobody can route to it any more.
fn window(pod: &Pod) -> Option<Interval> {
    let deleted = pod.deleted?;
    let ends = [
        pod.app_end.map(|end| end.at.hi),
        pod.proxy_end.map(|end| end.at.hi),
        pod.withdrawn,
        pod.gone,
    ];
    let hi = ends.into_iter().flatten().max().unwrap_or(deleted.hi);
    Some(Interval {
        lo: deleted.lo.max(RunOffset(0)),
        hi: hi.max(deleted.hi),
    })
}

/// Requests that were started inside the window, by counts per bucket; a bucket that the window
/// covers in part counts for that part, rounded down.
fn exposed(scene: &Scene<'_>, window: Interval) -> u64 {
    let mut count = 0.0_f64;
    for event in &scene.timeline.events {
        let EventKind::Requests(counts) = &event.kind else {
            continue;
        };
        let bucket = Interval {
            lo: counts.bucket,
            hi: RunOffset(counts.bucket.0 + counts.width.max(1)),
        };
        if let Some(common) = bucket.intersect(window) {
            let share = common.width() as f64 / bucket.width() as f64;
            count += share * (counts.ok + counts.failed) as f64;
        }
    }
    count.floor() as u64
}

/// The exit code of the last instance of each container that ended in the run: an init container that
/// was over long before says nothing of the pod's end.
fn exit_codes(pod: &Pod) -> BTreeMap<String, i32> {
    let ends = pod.life.ends.iter().filter(|end| !end.before_run);
    ends.map(|end| (end.container.clone(), end.code)).collect()
}

/// A line of a log as evidence names it.
fn line(pod: &str, container: &str, text: &str) -> Option<String> {
    Some(format!("{pod}/{container}: {text}"))
}

/// A piece of evidence for a hazard.
fn shows(at: Option<Interval>, text: String, events: Vec<u64>) -> Evidence {
    super::explain::says(at, text, events)
}
