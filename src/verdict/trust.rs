//! Can the run itself be trusted (self-proof, interruption, steps)?

use super::control::Control;
use crate::attribution::{Cause, Findings};
use crate::evidence::{EventKind, Harness, Origin, RunPhase, Timeline};

/// The slip of a whole run, in words, where it is beyond the limit: then what was measured in it is
/// not to be built upon either.
pub fn broken_slip(health: &Harness) -> Option<String> {
    let slip = health.slip_p99.filter(|_| health.scope == "total")?;
    (slip >= Harness::MAX_SLIP_P99).then(|| {
        format!(
            "slip p99 {:.1} ms, limit {} ms",
            slip as f64 / 1e6,
            Harness::MAX_SLIP_P99 / 1_000_000
        )
    })
}

/// Why a run that breaks no gate still proves nothing, one sentence each.
pub(super) fn reasons(timeline: &Timeline, findings: &Findings, control: &Control) -> Vec<String> {
    let mut reasons = Vec::new();
    if control.noisy {
        reasons.push(format!(
            "{} of {} requests of the baseline failed: the target was not well before the disruption",
            control.failed, control.requests
        ));
    }
    reasons.extend(own_failures(findings));
    for event in &timeline.events {
        match &event.kind {
            EventKind::Harness(health) => reasons.extend(harness(health)),
            EventKind::Phase(RunPhase::Interrupted) => {
                reasons.push("the run was interrupted".to_owned());
            }
            EventKind::Step(step) if step.state == "failed" => reasons.push(format!(
                "step {} ({}) failed: {}",
                step.index + 1,
                step.step,
                step.text
            )),
            _ => {}
        }
    }
    if timeline.run.origin == Origin::Live && !ended(timeline) {
        reasons.push("the record ends before the run did".to_owned());
    }
    reasons.dedup();
    reasons
}

/// A run that was to be repeated until its exposure supports a bound, and ended before: too little was
/// asked, as with an exposure below `minExposure` (design 6).
pub(super) fn short_of_bound(reached: Option<f64>, wanted: Option<f64>) -> Option<String> {
    let wanted = wanted?;
    if reached.is_some_and(|reached| reached <= wanted) {
        return None;
    }
    let percent = |share: f64| format!("{:.4}", share * 100.0);
    let plain = |share: f64| {
        let digits = percent(share);
        digits
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    };
    let reached = reached.map_or("none".to_owned(), |reached| format!("{} %", plain(reached)));
    Some(format!(
        "the upper bound of {} % was not reached: the exposure supports {reached}",
        plain(wanted)
    ))
}

/// What this machine broke counts against nobody else, and shows nothing of the target either.
fn own_failures(findings: &Findings) -> Option<String> {
    let failures = findings.failures.iter();
    let own = failures.filter(|failure| failure.cause == Cause::Harness);
    let requests = match own.count() {
        0 => return None,
        1 => "1 request".to_owned(),
        own => format!("{own} requests"),
    };
    Some(format!(
        "{requests} failed at this machine and tell nothing of the target"
    ))
}

/// A run that we drove says at its end that it ended; a crash or a full disk cuts that off.
fn ended(timeline: &Timeline) -> bool {
    let last = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::Phase(RunPhase::Finished | RunPhase::Interrupted)
        )
    };
    timeline.events.iter().any(|event| last(&event.kind))
}

fn harness(health: &Harness) -> Vec<String> {
    let mut reasons: Vec<String> = health
        .faults
        .iter()
        .map(|fault| format!("the harness was at fault: {fault}"))
        .collect();
    if health.scope != "total" {
        return reasons;
    }
    if let Some(slip) = broken_slip(health) {
        reasons.push(format!("the harness sent too late: {slip}"));
    }
    if health.overdue_arrivals > 0 {
        reasons.push(format!(
            "the harness stood still: {} arrivals were due before the load ended and were not sent",
            health.overdue_arrivals
        ));
    }
    let unconnected = health
        .dropped_arrivals
        .saturating_sub(health.overdue_arrivals);
    if unconnected > 0 {
        reasons.push(format!(
            "{unconnected} arrivals found no connection and were not sent; \
             raise `spec.load.connections.pool`"
        ));
    }
    if health.lost_events > 0 {
        reasons.push(format!(
            "the recorder had no room for {} events",
            health.lost_events
        ));
    }
    reasons
}
