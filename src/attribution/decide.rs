//! Which of the competing explanations wins, and how surely (design 6)?
//!
//! Explanations of one cause are added over the pods that it can mean: a client behind a Service
//! does not see which pod refused it, and need not, to know why. The cause with most weight wins.
//! It is *proved* when its instants fit entirely, every competitor is refuted, and nothing that it
//! rests on went unseen; *consistent* when competitors are weaker; else *ambiguous*.

use super::case::Case;
use super::explain::{self, Hypothesis};
use super::listener;
use super::modifiers;
use super::scene::Scene;
use super::tell;
use super::{Attribution, Cause, Confidence, Hop, Modifier, RunnerUp};
use crate::evidence::{Interval, RunOffset, gateways_in};
use std::collections::BTreeMap;

/// From this share of all weight on, no competitor is left worth the name: what still weighs is
/// refuted, save for what says of itself that it is open.
const ALONE: f64 = 0.93;

/// From this share on, the competitors are weaker.
const STRONGER: f64 = 0.6;

/// A cause with all that speaks for it.
struct Candidate<'h> {
    cause: Cause,
    weight: f64,
    best: &'h Hypothesis,
    pods: usize,
}

/// Names the cause of one failure.
pub(super) fn decide(scene: &Scene<'_>, case: &Case<'_>) -> Attribution {
    let hypotheses = explain::all(scene, case);
    let candidates = by_cause(&hypotheses);
    let Some(winner) = candidates.first() else {
        return unexplained(scene, case);
    };
    let total: f64 = candidates.iter().map(|candidate| candidate.weight).sum();
    let share = winner.weight / total;
    let refuted = !hypotheses
        .iter()
        .any(|other| other.open && other.cause != winner.cause);
    let confidence = confidence(scene, case, winner, share, refuted);
    let runner_up = candidates.get(1).map(|second| RunnerUp {
        cause: second.cause,
        against: tell::against(scene, case, second.best, winner.best),
    });
    let runner_up = runner_up.or_else(|| tell::refuted(scene, case, winner.best));
    let mut evidence = tell::case(scene, case);
    evidence.extend(tell::hypothesis(scene, case, winner.best, winner.pods));
    evidence.extend(runner_up.as_ref().map(tell::as_evidence));
    Attribution {
        event: case.event,
        client: case.request.client.clone(),
        request_id: case.request.request_id.clone(),
        cause: winner.cause,
        confidence,
        hop: winner.best.hop,
        pod: named(scene, case, winner),
        runner_up,
        modifiers: modifiers::of(scene, case, winner.best),
        evidence,
        as_in_control: as_in_control(scene, case),
    }
}

fn by_cause(hypotheses: &[Hypothesis]) -> Vec<Candidate<'_>> {
    let mut causes: BTreeMap<Cause, Candidate<'_>> = BTreeMap::new();
    for hypothesis in hypotheses {
        let candidate = causes.entry(hypothesis.cause).or_insert(Candidate {
            cause: hypothesis.cause,
            weight: 0.0,
            best: hypothesis,
            pods: 0,
        });
        // Several pods that fit make a cause likelier, but not several times as likely.
        candidate.weight =
            candidate.weight.max(hypothesis.weight) + 0.1 * candidate.weight.min(hypothesis.weight);
        candidate.pods += usize::from(hypothesis.pod.is_some());
        if hypothesis.weight > candidate.best.weight {
            candidate.best = hypothesis;
        }
    }
    let mut candidates: Vec<_> = causes.into_values().collect();
    candidates.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.cause.cmp(&b.cause)));
    candidates
}

/// It failed before anything was disturbed, or what is like it did as often.
fn as_in_control(scene: &Scene<'_>, case: &Case<'_>) -> bool {
    scene.baseline.before_disruption(case.request) || scene.baseline.explains(case.request)
}

fn unexplained(scene: &Scene<'_>, case: &Case<'_>) -> Attribution {
    let closed = listener::closed(scene, case);
    let modifiers = closed.iter().map(|_| Modifier::AfterDrainDuration);
    Attribution {
        event: case.event,
        client: case.request.client.clone(),
        request_id: case.request.request_id.clone(),
        cause: Cause::Unexplained,
        confidence: Confidence::None,
        hop: Hop::Unknown,
        pod: None,
        runner_up: None,
        modifiers: modifiers.collect(),
        evidence: closed.into_iter().collect(),
        as_in_control: as_in_control(scene, case),
    }
}

/// A pod is named only where something proves it, never because it weighs most.
fn named(scene: &Scene<'_>, case: &Case<'_>, winner: &Candidate<'_>) -> Option<String> {
    let known = case.pod.as_ref()?;
    let pod = winner.best.pod?;
    (pod == known.pod).then(|| scene.pods[pod].life.name.clone())
}

fn confidence(
    scene: &Scene<'_>,
    case: &Case<'_>,
    winner: &Candidate<'_>,
    share: f64,
    refuted: bool,
) -> Confidence {
    let seen = everything_seen(scene, case, winner);
    let fits = share >= ALONE && winner.best.tight;
    if fits && refuted && seen && !case.doubtful {
        Confidence::Proved
    } else if share >= STRONGER && (seen || share >= ALONE) {
        Confidence::Consistent
    } else {
        Confidence::Ambiguous
    }
}

/// Nothing that could hold a competitor went unseen around the failure.
fn everything_seen(scene: &Scene<'_>, case: &Case<'_>, winner: &Candidate<'_>) -> bool {
    let around = Interval {
        lo: RunOffset(case.silence().lo.0 - 15_000_000_000),
        hi: RunOffset(case.end.0 + 3_000_000_000),
    };
    let watched = ["pods", "endpointslices", "capture"]
        .iter()
        .all(|what| !scene.blind(what, around));
    // Whoever says that gateways stand on the way must have seen them, and whether one of them ended.
    let mut gateways = scene.observe.gateways.iter();
    let gateways =
        scene.gateways_known && gateways.all(|place| !scene.blind(&gateways_in(place), around));
    let pod = winner.best.pod.map(|pod| &scene.pods[pod]);
    // Of which container the signal, the log and the end are told must be clear as well.
    let ended = pod.is_none_or(|pod| !pod.life.unseen && pod.life.app().is_some());
    watched && gateways && ended && !scene.pods.is_empty()
}
