//! More failures than are stored.

use super::*;

/// In each second from 5 on so many requests failed, and so many of them were stored.
fn flood(failed: u64, stored: u64, cause: Cause) -> Bed {
    let mut bed = Bed::new();
    let events = &mut bed.timeline.events;
    events.retain(|event| !matches!(event.kind, EventKind::Requests(_)));
    for second in 0..20 {
        let failed = if second < 5 { 0 } else { failed };
        bed.push(second, counts(second, 100 - failed, failed));
        for _ in 0..stored.min(failed) {
            bed.fail_as_in_control(second, cause);
        }
    }
    let total = Harness {
        scope: "total".into(),
        unstored_failures: 15 * (failed - stored),
        ..Harness::default()
    };
    bed.push(20, EventKind::Harness(total));
    bed
}

#[test]
fn failures_that_were_only_counted_are_in_the_exposure_and_its_bound() {
    // The pod terminates from second 6 to second 10.
    let stored = flood(1, 1, Cause::EndpointPropagation).judge(&Gates::default());
    assert_eq!(stored.exposure.failed, 5);
    let bed = flood(50, 1, Cause::EndpointPropagation);
    let verdict = bed.judge(&Gates::default());
    assert_eq!(verdict.exposure.requests, 400);
    assert_eq!(verdict.exposure.failed, 200);
    let bound = verdict.bound.per_request.expect("requests were counted");
    assert!(bound > 0.5, "{bound}");
    assert_eq!(verdict.gates[0].observed, Some(750.0));
    assert_eq!(verdict.outcome, Outcome::Fail);
}

#[test]
fn a_termination_of_which_no_failure_was_stored_dropped_some_all_the_same() {
    let mut bed = flood(50, 0, Cause::EndpointPropagation);
    bed.findings.pods.push(PodFinding {
        window: Some(Interval::between(RunOffset(SECOND), RunOffset(2 * SECOND))),
        ..pod("b")
    });
    let exposure = bed.judge(&Gates::default()).exposure;
    assert_eq!(exposure.terminations, 2);
    assert_eq!(exposure.terminations_with_failures, 1);
}

#[test]
fn what_was_only_counted_breaks_nothing_where_the_control_explains_the_rest() {
    let verdict = flood(50, 1, Cause::ApplicationError).judge(&Gates::default());
    assert_eq!(
        status(&verdict, "maxFailed"),
        Some(GateStatus::Inconclusive)
    );
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
}

/// In these seconds so many requests failed, as the clients counted; none is stored.
fn only_counted(failed: &[(i64, u64)]) -> Bed {
    let mut bed = Bed::new();
    for (second, failed) in failed {
        bed.push(*second, counts(*second, 0, *failed));
    }
    bed
}

#[test]
fn failures_that_the_counts_have_and_the_record_lacks_hold_nothing() {
    // The disruption begins at second 5; a baseline of 500 requests is noisy beyond 5 failures.
    for (failed, limit, status, observed) in [
        (vec![(7, 3)], 0, GateStatus::Broken, 3.0),
        (vec![(7, 3)], 10, GateStatus::Inconclusive, 3.0),
        // Those of the baseline may have been cut later, and tell how often it fails anyway.
        (vec![(2, 3)], 0, GateStatus::Inconclusive, 0.0),
        (vec![(2, 3), (7, 3)], 0, GateStatus::Inconclusive, 3.0),
    ] {
        let gates = Gates {
            max_failed: Some(limit),
            ..Gates::default()
        };
        let verdict = only_counted(&failed).judge(&gates);
        let gate = &verdict.gates[0];
        assert_eq!(gate.status, status, "{failed:?} of {limit}");
        assert_eq!(gate.observed, Some(observed), "{failed:?}");
        assert_eq!(gate.missing, [Missing::Requests], "{failed:?}");
        assert_ne!(verdict.outcome, Outcome::Pass, "{failed:?}");
    }
}

#[test]
fn stored_failures_of_one_client_do_not_stand_for_those_of_another() {
    let mut bed = only_counted(&[(7, 1)]);
    let EventKind::RequestFailed(mut request) = failure(7) else {
        unreachable!("a failure is a failed request");
    };
    request.client = "other".into();
    bed.push(7, EventKind::RequestFailed(request));
    let verdict = bed.judge(&Gates::default());
    assert_eq!(verdict.gates[0].observed, Some(2.0));
    assert_eq!(verdict.gates[0].missing, [Missing::Requests]);
}
