mod control;
mod flood;
mod masked;
mod unseen;

use super::*;
use crate::attribution::{Attribution, Cause, Confidence, Hop, Missing, PodFinding, SidecarKind};
use crate::evidence::{
    Blindness, ClientInfo, Clock, Connection, ConnectionKind, ErrorClass, Event, EventKind,
    FailedRequest, Harness, Interval, Origin, Outcome as RequestOutcome, RequestCounts,
    RequestPhase, ResponseFacts, RunInfo, RunOffset, RunPhase, Source, StepEvent,
};

const SECOND: i64 = 1_000_000_000;

fn run() -> RunInfo {
    RunInfo {
        schema_version: 1,
        tool_version: "0".into(),
        id: "r".into(),
        origin: Origin::Live,
        argv: vec![],
        started_at: 0,
        cluster: "c".into(),
        namespace: "n".into(),
        workload: Some("deployment/demo".into()),
        service: Some("demo".into()),
        plan: serde_json::Value::Null,
    }
}

/// 100 requests a second for 20 s, disrupted from second 5 on.
struct Bed {
    timeline: Timeline,
    findings: Findings,
}

impl Bed {
    fn new() -> Self {
        let mut bed = Self {
            timeline: Timeline {
                run: run(),
                events: vec![],
                logs: vec![],
            },
            findings: Findings::default(),
        };
        bed.push(0, client("local"));
        for second in 0..20 {
            bed.push(second, counts(second, 100, 0));
        }
        bed.push(
            5,
            EventKind::Step(StepEvent {
                index: 0,
                step: "rollingRestart".into(),
                state: "started".into(),
                text: String::new(),
            }),
        );
        bed.push(20, EventKind::Phase(RunPhase::Finished));
        bed.findings.pods.push(pod("a"));
        bed
    }

    fn push(&mut self, second: i64, kind: EventKind) -> u64 {
        let seq = self.timeline.events.len() as u64;
        self.timeline.events.push(Event {
            seq,
            at: Interval::point(RunOffset(second * SECOND)),
            clock: Clock::Harness,
            source: Source::Run,
            kind,
        });
        seq
    }

    fn fail(&mut self, second: i64, cause: Cause) {
        let event = self.push(second, failure(second));
        self.findings.failures.push(Attribution {
            event,
            client: "local".into(),
            request_id: format!("id-{event}"),
            cause,
            confidence: Confidence::Consistent,
            hop: Hop::Pod,
            pod: None,
            runner_up: None,
            modifiers: vec![],
            evidence: vec![],
            as_in_control: false,
        });
    }

    /// A failure like those of the control, and no oftener.
    fn fail_as_in_control(&mut self, second: i64, cause: Cause) {
        self.fail(second, cause);
        let last = self.findings.failures.last_mut().expect("pushed above");
        last.as_in_control = true;
    }

    fn judge(&self, gates: &Gates) -> Verdict {
        judge(&self.timeline, &self.findings, gates, &Limits::default())
    }
}

/// A client that counts its successes.
fn client(name: &str) -> EventKind {
    EventKind::Client(ClientInfo {
        name: name.into(),
        meshed: false,
        pod: None,
        target: None,
        counted: true,
    })
}

fn counts(second: i64, ok: u64, failed: u64) -> EventKind {
    EventKind::Requests(RequestCounts {
        client: "local".into(),
        bucket: RunOffset(second * SECOND),
        width: SECOND,
        class: "fast".into(),
        connection: ConnectionKind::New,
        pod: None,
        ok,
        failed,
        attempts_told: 0,
        retried: 0,
        latest_sent: None,
        earliest_end: None,
        latest_end: None,
    })
}

fn failure(second: i64) -> EventKind {
    let at = RunOffset(second * SECOND);
    EventKind::RequestFailed(Box::new(FailedRequest {
        request_id: String::new(),
        client: "local".into(),
        class: "fast".into(),
        method: "GET".into(),
        path: "/".into(),
        intended: at,
        sent: Some(at),
        connected: None,
        written: None,
        first_byte: None,
        end: at,
        connection: Connection {
            kind: ConnectionKind::New,
            id: 0,
            age: 0,
            requests_before: 0,
            idle: 0,
        },
        local: None,
        remote: None,
        phase: RequestPhase::Connect,
        outcome: RequestOutcome::Transport {
            class: ErrorClass::Refused,
            errno: Some(111),
            text: String::new(),
        },
        response: ResponseFacts::default(),
    }))
}

/// A pod that terminated from second 6 to second 10.
fn pod(name: &str) -> PodFinding {
    PodFinding {
        pod: name.into(),
        exit_codes: [("app".to_owned(), 0)].into(),
        window: Some(Interval::between(
            RunOffset(6 * SECOND),
            RunOffset(10 * SECOND),
        )),
        margin_ms: Some(1500),
        ..PodFinding::default()
    }
}

fn status(verdict: &Verdict, name: &str) -> Option<GateStatus> {
    verdict
        .gates
        .iter()
        .find(|gate| gate.name == name)
        .map(|gate| gate.status)
}

#[test]
fn a_clean_run_passes_with_its_exposure_and_bound() {
    let verdict = Bed::new().judge(&Gates::default());
    assert_eq!(verdict.outcome, Outcome::Pass, "{:?}", verdict.reasons);
    assert_eq!(verdict.exposure.requests, 400);
    assert_eq!(verdict.exposure.terminations, 1);
    let bound = verdict.bound.per_request.expect("requests were exposed");
    assert!((bound - 0.007_46).abs() < 1e-4, "{bound}");
    assert_eq!(status(&verdict, "maxOutboundFailures"), None, "no sidecar");
}

#[test]
fn a_record_that_was_cut_off_cannot_pass() {
    let mut bed = Bed::new();
    bed.timeline
        .events
        .retain(|event| !matches!(event.kind, EventKind::Phase(RunPhase::Finished)));
    let verdict = bed.judge(&Gates::default());
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(verdict.reasons, ["the record ends before the run did"]);
}

#[test]
fn one_dropped_request_fails_and_names_the_gate() {
    let mut bed = Bed::new();
    bed.fail(7, Cause::EndpointPropagation);
    let verdict = bed.judge(&Gates::default());
    assert_eq!(verdict.outcome, Outcome::Fail);
    assert_eq!(status(&verdict, "maxFailed"), Some(GateStatus::Broken));
    assert_eq!(verdict.exposure.failed, 1);
    assert_eq!(verdict.exposure.terminations_with_failures, 1);
    assert_eq!(verdict.reasons, ["maxFailed is broken: 1 request, limit 0"]);
}

#[test]
fn a_failure_without_an_attribution_counts() {
    let mut bed = Bed::new();
    bed.push(7, failure(7));
    assert_eq!(bed.judge(&Gates::default()).outcome, Outcome::Fail);
}

#[test]
fn what_the_control_explains_does_not_count() {
    for cause in [Cause::ApplicationError, Cause::ClientSide] {
        let mut bed = Bed::new();
        bed.fail_as_in_control(7, cause);
        let verdict = bed.judge(&Gates::default());
        assert_eq!(verdict.outcome, Outcome::Pass, "{cause}");
        assert_eq!(verdict.exposure.failed, 0, "{cause}");
    }
    let mut bed = Bed::new();
    bed.fail(2, Cause::StaleConnection);
    let verdict = bed.judge(&Gates::default());
    assert_eq!(verdict.outcome, Outcome::Pass, "it failed in the baseline");
}

#[test]
fn an_app_or_a_client_that_fails_only_during_the_rollout_counts() {
    for cause in [Cause::ApplicationError, Cause::ClientSide] {
        let mut bed = Bed::new();
        bed.fail(7, cause);
        let verdict = bed.judge(&Gates::default());
        assert_eq!(verdict.outcome, Outcome::Fail, "{cause}");
        assert_eq!(status(&verdict, "maxFailed"), Some(GateStatus::Broken));
        assert_eq!(verdict.exposure.failed, 1, "{cause}");
    }
}

#[test]
fn a_pods_end_is_blamed_however_often_the_baseline_failed_alike() {
    let mut bed = Bed::new();
    bed.fail_as_in_control(7, Cause::EndpointPropagation);
    assert_eq!(bed.judge(&Gates::default()).outcome, Outcome::Fail);
}

#[test]
fn an_attribution_of_an_older_record_is_excused_by_no_control() {
    let mut bed = Bed::new();
    bed.fail_as_in_control(7, Cause::ApplicationError);
    let mut older = serde_json::to_value(&bed.findings.failures[0]).expect("it is data");
    let fields = older.as_object_mut().expect("an object");
    assert!(fields.remove("as_in_control").is_some());
    let read: Attribution = serde_json::from_value(older).expect("an older one reads back");
    assert!(read.counts_against_rollout());
}

#[test]
fn a_noisy_baseline_blames_nobody() {
    let mut bed = Bed::new();
    bed.push(1, counts(1, 0, 30));
    bed.fail(7, Cause::EndpointPropagation);
    let verdict = bed.judge(&Gates::default());
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert!(verdict.control.noisy);
}

#[test]
fn what_the_disruption_cut_is_not_the_controls() {
    let mut bed = Bed::new();
    bed.push(4, counts(4, 0, 30));
    for _ in 0..30 {
        let EventKind::RequestFailed(mut request) = failure(4) else {
            unreachable!("a failure is a failed request");
        };
        request.end = RunOffset(7 * SECOND);
        bed.push(7, EventKind::RequestFailed(request));
    }
    let verdict = bed.judge(&Gates::default());
    assert_eq!(verdict.control.failed, 0);
    assert_eq!(verdict.outcome, Outcome::Fail, "{:?}", verdict.reasons);
}

#[test]
fn a_bound_that_was_asked_for_and_not_reached_is_inconclusive() {
    // 400 exposed requests support 0.75 %.
    let reason = |wanted, reached| {
        format!("the upper bound of {wanted} % was not reached: the exposure supports {reached}")
    };
    for (wanted, counted, outcome, told) in [
        (0.01, true, Outcome::Pass, None),
        (
            0.005,
            true,
            Outcome::Inconclusive,
            Some(reason("0.5", "0.7461 %")),
        ),
        (
            0.005,
            false,
            Outcome::Inconclusive,
            Some(reason("0.5", "none")),
        ),
    ] {
        let mut bed = Bed::new();
        if !counted {
            bed.findings.pods[0].window = None;
        }
        let limits = Limits {
            until_upper_bound: Some(wanted),
            ..Limits::default()
        };
        let gates = Gates {
            min_exposure: None,
            ..Gates::default()
        };
        let judged = |bed: &Bed| judge(&bed.timeline, &bed.findings, &gates, &limits);
        let verdict = judged(&bed);
        assert_eq!(verdict.outcome, outcome, "{wanted}");
        assert_eq!(verdict.reasons, Vec::from_iter(told), "{wanted}");
        bed.fail(7, Cause::EndpointPropagation);
        let verdict = judged(&bed);
        assert_eq!(verdict.outcome, Outcome::Fail, "{wanted}");
        assert_eq!(verdict.reasons.len(), 1, "{:?}", verdict.reasons);
    }
}

#[test]
fn too_little_exposure_is_inconclusive() {
    let gates = Gates {
        min_exposure: Some(401),
        ..Gates::default()
    };
    let verdict = Bed::new().judge(&gates);
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(
        status(&verdict, "minExposure"),
        Some(GateStatus::Inconclusive)
    );
}

#[test]
fn a_gate_whose_evidence_is_gone_is_inconclusive() {
    let mut bed = Bed::new();
    bed.findings.pods[0].missing = vec![Missing::Pods, Missing::ExitCodes];
    let verdict = bed.judge(&Gates::default());
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    let gate = &verdict.gates[2];
    assert_eq!(gate.name, "maxSigkills");
    assert_eq!(gate.missing, [Missing::Pods, Missing::ExitCodes]);

    let mut bed = Bed::new();
    bed.findings.pods[0].sidecar = Some(SidecarKind::Classic);
    bed.findings.pods[0].sidecar_lead_s = Some(-1.0);
    bed.findings.pods[0].missing = vec![Missing::AppLogs];
    let verdict = bed.judge(&Gates::default());
    assert_eq!(
        status(&verdict, "maxOutboundFailures"),
        Some(GateStatus::Inconclusive)
    );
    assert_eq!(
        status(&verdict, "sidecarOutlivesApp"),
        Some(GateStatus::Held)
    );
}

#[test]
fn a_watch_that_never_delivered_cannot_pass() {
    let mut bed = Bed::new();
    bed.findings.pods.clear();
    bed.push(
        0,
        EventKind::Blind(Blindness {
            what: "pods".into(),
            from: None,
            to: None,
            reason: "not recorded".into(),
            uids: None,
            resumed: false,
        }),
    );
    let verdict = bed.judge(&Gates::for_import());
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(
        status(&verdict, "maxSigkills"),
        Some(GateStatus::Inconclusive)
    );
}

#[test]
fn uncounted_requests_cannot_pass_but_can_fail() {
    let mut bed = Bed::new();
    bed.timeline
        .events
        .retain(|event| !matches!(event.kind, EventKind::Requests(_) | EventKind::Client(_)));
    let verdict = bed.judge(&Gates::for_import());
    assert_eq!(
        status(&verdict, "maxFailed"),
        Some(GateStatus::Inconclusive)
    );
    bed.fail(7, Cause::InFlightCut);
    assert_eq!(bed.judge(&Gates::for_import()).outcome, Outcome::Fail);
}

#[test]
fn a_broken_hazard_gate_fails_without_a_failed_request() {
    for (hazard, gate) in [
        ("sigkill:app", "maxSigkills"),
        ("sidecar-exited-first", "sidecarOutlivesApp"),
        ("sidecar-never-ended", "sidecarOutlivesApp"),
    ] {
        let mut bed = Bed::new();
        bed.findings.pods[0].sidecar = Some(SidecarKind::Classic);
        bed.findings.pods[0].outbound_failures = Some(0);
        bed.findings.pods[0].hazards = vec![hazard.to_owned()];
        let verdict = bed.judge(&Gates::default());
        assert_eq!(verdict.outcome, Outcome::Fail, "{hazard}");
        assert_eq!(status(&verdict, gate), Some(GateStatus::Broken));
    }
}

#[test]
fn a_thin_margin_breaks_its_gate() {
    let gates = Gates {
        min_drain_margin: Some(std::time::Duration::from_secs(2)),
        ..Gates::default()
    };
    let verdict = Bed::new().judge(&gates);
    assert_eq!(status(&verdict, "minDrainMargin"), Some(GateStatus::Broken));
}

#[test]
fn a_harness_that_failed_proves_nothing() {
    let healths = [
        Harness {
            scope: "total".into(),
            slip_p99: Some(9_000_000),
            ..Harness::default()
        },
        Harness {
            scope: "total".into(),
            dropped_arrivals: 3,
            ..Harness::default()
        },
        Harness {
            scope: "total".into(),
            dropped_arrivals: 3,
            overdue_arrivals: 3,
            ..Harness::default()
        },
        Harness {
            scope: "proof".into(),
            faults: vec!["refused-probe: a closed port was not seen as refused".into()],
            ..Harness::default()
        },
    ];
    for health in healths {
        let mut bed = Bed::new();
        bed.push(19, EventKind::Harness(health));
        let verdict = bed.judge(&Gates::default());
        assert_eq!(verdict.outcome, Outcome::Inconclusive);
        assert_eq!(verdict.reasons.len(), 1, "{:?}", verdict.reasons);
    }
}
