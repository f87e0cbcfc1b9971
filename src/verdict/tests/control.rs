//! From the record to the verdict: what does the control excuse?

use super::*;
use crate::attribution::attribute;

/// Failures a second of a baseline of 5 s and of a disruption of 15 s, 100 requests a second.
fn verdict(outcome: &RequestOutcome, before: u64, during: u64) -> (Verdict, Findings) {
    let mut bed = Bed::new();
    bed.timeline
        .events
        .retain(|event| !matches!(event.kind, EventKind::Requests(_)));
    bed.push(5, EventKind::Phase(RunPhase::Disruption));
    for second in 0..20 {
        let failed = if second < 5 { before } else { during };
        bed.push(second, counts(second, 100 - failed, failed));
        for part in 0..failed {
            bed.push(second, failed_at(second * SECOND + part as i64, outcome));
        }
    }
    let findings = Findings {
        pods: bed.findings.pods,
        ..attribute(&bed.timeline)
    };
    let limits = Limits {
        max_baseline_failed: 0.1,
        ..Limits::default()
    };
    let gates = Gates::for_import();
    (judge(&bed.timeline, &findings, &gates, &limits), findings)
}

fn failed_at(at: i64, outcome: &RequestOutcome) -> EventKind {
    let EventKind::RequestFailed(mut request) = failure(0) else {
        unreachable!("a failure is a failed request");
    };
    request.intended = RunOffset(at);
    request.sent = Some(RunOffset(at));
    request.end = RunOffset(at + 10_000_000);
    request.phase = RequestPhase::WaitHeaders;
    request.outcome = outcome.clone();
    EventKind::RequestFailed(request)
}

/// What an app answers that nobody deletes, and a patience that ended.
fn own_failures() -> [(Cause, RequestOutcome); 2] {
    let errors = RequestOutcome::Status {
        code: 500,
        grpc: None,
    };
    let timeouts = RequestOutcome::Transport {
        class: ErrorClass::Timeout,
        errno: None,
        text: String::new(),
    };
    [
        (Cause::ApplicationError, errors),
        (Cause::ClientSide, timeouts),
    ]
}

#[test]
fn what_fails_only_since_the_rollout_is_the_rollouts() {
    for (cause, outcome) in own_failures() {
        let (verdict, findings) = verdict(&outcome, 0, 50);
        assert!(findings.failures.iter().all(|found| found.cause == cause));
        assert_eq!(verdict.outcome, Outcome::Fail, "{cause}");
        let gate = &verdict.gates[0];
        assert_eq!(gate.name, "maxFailed");
        assert_eq!(gate.observed, Some(750.0), "{cause}");
    }
}

#[test]
fn what_fails_as_often_as_in_the_baseline_is_not() {
    for (cause, outcome) in own_failures() {
        let (verdict, findings) = verdict(&outcome, 4, 4);
        assert!(findings.failures.iter().all(|found| found.cause == cause));
        let gate = &verdict.gates[0];
        assert_eq!(gate.status, GateStatus::Held, "{cause}: {gate:?}");
        assert_eq!(gate.observed, Some(0.0), "{cause}");
    }
}

#[test]
fn what_fails_much_oftener_than_in_the_baseline_is() {
    for (cause, outcome) in own_failures() {
        let (verdict, _) = verdict(&outcome, 4, 40);
        assert_eq!(verdict.outcome, Outcome::Fail, "{cause}");
        assert_eq!(verdict.gates[0].observed, Some(600.0), "{cause}");
    }
}
