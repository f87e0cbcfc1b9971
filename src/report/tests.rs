use super::*;
use crate::attribution::{
    Attribution, Cause, ClockBound, Confidence, Evidence, Findings, Hop, NotUnderstood, PodFinding,
    RunnerUp, SidecarDrain, SidecarKind, Stance,
};
use crate::evidence::{
    Change, ClientInfo, Clock, Connection, ConnectionKind, ContainerLog, ErrorClass, Event,
    EventKind, FailedRequest, Interval, LogLine, Origin, Outcome, RequestCounts, RequestPhase,
    Resource, ResponseFacts, RunInfo, RunOffset, RunPhase, Source, Timeline,
};
use crate::scenario::Gates;
use crate::verdict::{Limits, judge};

/// A name that tries to be markup in each format.
const HOSTILE: &str = "demo-<b>|\"&'x";

fn event(seq: u64, millis: i64, kind: EventKind) -> Event {
    Event {
        seq,
        at: Interval::point(RunOffset::from_millis(millis)),
        clock: Clock::Harness,
        source: Source::Run,
        kind,
    }
}

fn counts(second: i64, ok: u64) -> EventKind {
    EventKind::Requests(RequestCounts {
        client: "local".into(),
        bucket: RunOffset::from_millis(second * 1000),
        width: 1_000_000_000,
        class: "fast".into(),
        connection: ConnectionKind::New,
        pod: None,
        ok,
        failed: 0,
        attempts_told: 0,
        retried: 0,
        latest_sent: None,
        earliest_end: None,
        latest_end: None,
    })
}

fn request() -> FailedRequest {
    FailedRequest {
        request_id: "5a6137c0-ff27-4c66-bd06-59ba1aa53ddc".into(),
        client: "local".into(),
        class: "fast".into(),
        method: "GET".into(),
        path: "/".into(),
        intended: RunOffset::from_millis(7300),
        sent: Some(RunOffset::from_millis(7301)),
        connected: None,
        written: None,
        first_byte: None,
        end: RunOffset::from_millis(7302),
        connection: Connection {
            kind: ConnectionKind::New,
            id: 4,
            age: 0,
            requests_before: 0,
            idle: 0,
        },
        local: None,
        remote: Some("10.96.0.10:80".into()),
        phase: RequestPhase::Connect,
        outcome: Outcome::Transport {
            class: ErrorClass::Refused,
            errno: Some(111),
            text: "Connection refused".into(),
        },
        response: ResponseFacts::default(),
    }
}

fn timeline(extra: Vec<EventKind>) -> Timeline {
    let mut events = vec![event(
        0,
        0,
        EventKind::Client(ClientInfo {
            name: "local".into(),
            meshed: false,
            pod: None,
            target: None,
            counted: true,
        }),
    )];
    for second in 0..12 {
        events.push(event(
            events.len() as u64,
            second * 1000,
            counts(second, 100),
        ));
    }
    events.push(event(
        events.len() as u64,
        5000,
        EventKind::Phase(RunPhase::Disruption),
    ));
    let deleted = serde_json::json!({
        "metadata": {"name": HOSTILE, "deletionTimestamp": "2026-01-01T00:00:36Z", "deletionGracePeriodSeconds": 30},
        "spec": {"nodeName": "node1"},
        "status": {"phase": "Running"},
    });
    events.push(event(
        events.len() as u64,
        6000,
        EventKind::Object {
            resource: Resource::Pods,
            change: Change::Modified,
            object: deleted,
        },
    ));
    // Its place in the list says nothing; failures are looked for at the end of it.
    let finished = EventKind::Phase(RunPhase::Finished);
    events.push(event(events.len() as u64, 12_000, finished));
    for kind in extra {
        events.push(event(events.len() as u64, 7302, kind));
    }
    Timeline {
        run: RunInfo {
            schema_version: 1,
            tool_version: "0.1.0".into(),
            id: "run-1".into(),
            origin: Origin::Live,
            argv: vec![],
            started_at: 1_767_225_600_000_000_000,
            cluster: "kind-demo".into(),
            namespace: "shop".into(),
            workload: Some("deployment/demo".into()),
            service: Some("demo".into()),
            plan: serde_json::json!({"name": "rolling-restart"}),
        },
        events,
        logs: vec![ContainerLog {
            pod: HOSTILE.into(),
            container: "app".into(),
            lines: vec![LogLine {
                stamp: Some(1_767_225_607_250_000_000),
                text: "received SIGTERM".into(),
            }],
        }],
    }
}

fn findings() -> Findings {
    Findings {
        pods: vec![PodFinding {
            pod: HOSTILE.into(),
            exit_codes: [("app".to_owned(), 0)].into(),
            window: Some(Interval::between(
                RunOffset::from_millis(6000),
                RunOffset::from_millis(9000),
            )),
            margin_ms: Some(-1051),
            exposed: 300,
            ..PodFinding::default()
        }],
        clocks: vec![ClockBound {
            clock: Clock::Node("node1".into()),
            lo: Some(-1_000_000),
            hi: Some(4_000_000),
            method: "lease and causality".into(),
            unreliable: false,
        }],
        ..Findings::default()
    }
}

fn attributed(event: u64) -> Attribution {
    Attribution {
        event,
        client: "local".into(),
        request_id: request().request_id,
        cause: Cause::EndpointPropagation,
        confidence: Confidence::Proved,
        hop: Hop::Pod,
        pod: Some(HOSTILE.into()),
        runner_up: Some(RunnerUp {
            cause: Cause::NoReadyEndpoint,
            against: "2 endpoints were ready".into(),
        }),
        modifiers: vec![crate::attribution::Modifier::DuringGrace],
        evidence: vec![Evidence {
            stance: Stance::For,
            at: Some(Interval::point(RunOffset::from_millis(7250))),
            text: "its listener had closed".into(),
            events: vec![14],
            line: Some("app: received SIGTERM".into()),
        }],
        as_in_control: false,
    }
}

fn failed() -> (Timeline, Findings) {
    let timeline = timeline(vec![EventKind::RequestFailed(Box::new(request()))]);
    let mut findings = findings();
    findings
        .failures
        .push(attributed(timeline.events.len() as u64 - 1));
    (timeline, findings)
}

fn report(timeline: &Timeline, findings: Findings) -> Report {
    let verdict = judge(timeline, &findings, &Gates::default(), &Limits::default());
    Report::new(timeline, findings, verdict)
}

fn fail() -> Report {
    let (timeline, findings) = failed();
    report(&timeline, findings)
}

fn pass() -> Report {
    report(&timeline(vec![]), findings())
}

fn inconclusive() -> Report {
    let mut findings = findings();
    findings.pods[0].missing = vec![crate::attribution::Missing::ExitCodes];
    report(&timeline(vec![]), findings)
}

fn interrupted() -> Report {
    let timeline = timeline(vec![EventKind::Phase(RunPhase::Interrupted)]);
    report(&timeline, findings())
}

/// No request failed, and the pod lost calls of its own.
fn lost_calls() -> Report {
    let mut findings = findings();
    findings.outbound.lost = 17;
    let pod = &mut findings.pods[0];
    pod.outbound_failures = Some(17);
    pod.sidecar = Some(SidecarKind::Classic);
    pod.sidecar_lead_s = Some(7.0);
    pod.drain = Some(SidecarDrain {
        period_s: Some(5.0),
        needed_s: 12.1,
        grace_s: 30.0,
        spec_grace_s: 30.0,
        ..SidecarDrain::default()
    });
    pod.hazards = vec!["sidecar-exited-first".to_owned()];
    report(&timeline(vec![]), findings)
}

/// The fates of a run.
fn fates() -> [(&'static str, Report); 5] {
    [
        ("fail", fail()),
        ("lost_calls", lost_calls()),
        ("pass", pass()),
        ("inconclusive", inconclusive()),
        ("interrupted", interrupted()),
    ]
}

#[test]
fn terminal_tells_the_verdict_first() {
    for (name, report) in fates() {
        insta::assert_snapshot!(format!("terminal_{name}"), terminal(&report));
    }
}

#[test]
fn markdown_escapes_what_a_cluster_names() {
    for (name, report) in fates() {
        insta::assert_snapshot!(format!("markdown_{name}"), markdown(&report));
    }
    assert!(!markdown(&fail()).contains("<b>"));
}

#[test]
fn junit_has_a_case_for_each_gate() {
    for (name, report) in fates() {
        insta::assert_snapshot!(format!("junit_{name}"), junit(&report));
    }
    assert!(!junit(&fail()).contains("<b>"));
}

#[test]
fn json_reads_back_as_the_same_report() {
    for (name, report) in fates() {
        let text = json(&report);
        let read: Report = serde_json::from_str(&text).expect("our own report reads back");
        assert_eq!(read, report, "{name}");
    }
    insta::assert_snapshot!("json_fail", json(&fail()));
}

#[test]
fn explain_tells_the_chain_of_one_request() {
    let (timeline, findings) = failed();
    let told = explain(&timeline, &findings, "5a6137c0").expect("the request is there");
    insta::assert_snapshot!("explain", told.text());
    insta::assert_snapshot!("explain_svg", told.svg());
    assert!(!told.svg().contains("<b>"));
    let told = explain(&timeline, &findings, HOSTILE).expect("the pod is there");
    insta::assert_snapshot!("explain_pod", told.text());
    let Err(error) = explain(&timeline, &findings, "nope") else {
        panic!("no such request");
    };
    insta::assert_snapshot!("explain_unknown", error.to_string());
}

#[test]
fn a_harness_that_was_too_slow_advises_nothing_and_says_so() {
    let (mut timeline, findings) = failed();
    assert!(fail().advice[0].manifest.is_some(), "otherwise it would");
    let slow = EventKind::Harness(crate::evidence::Harness {
        scope: "total".into(),
        slip_p99: Some(9_100_000),
        ..Default::default()
    });
    timeline
        .events
        .push(event(timeline.events.len() as u64, 12_000, slow));
    let report = report(&timeline, findings);
    let [only] = report.advice.as_slice() else {
        panic!("{:?}", report.advice);
    };
    assert_eq!((only.cures.as_str(), &only.manifest), ("harness", &None));
    assert!(
        only.text.contains("slip p99 9.1 ms, limit 5 ms"),
        "{}",
        only.text
    );
}

#[test]
fn the_terminal_tells_what_retries_hid_as_far_as_it_is_known() {
    let hint = || Some("set it up".to_owned());
    for (masked, at_least, hint, told) in [
        (
            Some(3),
            3,
            None,
            "masked    3 requests saved by a proxy's retry\n",
        ),
        (
            None,
            1,
            hint(),
            "masked    at least 1 request saved by a proxy's retry; not all are seen: set it up\n",
        ),
        (None, 0, hint(), "masked    not measured: set it up\n"),
    ] {
        let report = Report {
            masked,
            masked_at_least: at_least,
            masked_hint: hint,
            doubled: 2,
            ..pass()
        };
        let text = terminal(&report);
        assert!(text.contains(told), "{told}: {text}");
        let doubled = "doubled   2 requests reached the apps of two pods\n";
        assert!(text.contains(doubled), "{text}");
    }
}

#[test]
fn a_log_of_which_much_was_not_understood_is_told() {
    let log = |container: &str, lines| NotUnderstood {
        pod: "demo-1".into(),
        container: container.into(),
        lines,
        of_lines: 1_240,
    };
    let report = Report {
        logs_not_understood: vec![log("istio-proxy", 125), log("gateway", 124)],
        ..pass()
    };
    let text = terminal(&report);
    assert!(
        text.contains("unread    demo-1/istio-proxy: 125 of 1,240 lines were in no known format"),
        "{text}"
    );
    assert!(!text.contains("demo-1/gateway"), "{text}");
    assert!(json(&report).contains("\"container\": \"gateway\""));
    assert!(!json(&pass()).contains("logs_not_understood"));
}

#[test]
fn a_format_that_is_not_known_names_those_that_are() {
    let error = "html5".parse::<Format>().expect_err("not a format");
    assert_eq!(
        error,
        "unknown format `html5`; one of terminal, json, junit, markdown"
    );
}

#[test]
fn whatever_the_mesh_s_own_parts_drop_is_advised_upon() {
    for cause in [
        Cause::ProxyOverload,
        Cause::MeshConfig,
        Cause::IntermediaryRestarted,
    ] {
        let (timeline, mut findings) = failed();
        findings.failures[0].cause = cause;
        let advice = report(&timeline, findings).advice;
        let texts: Vec<&str> = advice
            .iter()
            .filter(|advice| advice.cures == cause.id())
            .map(|advice| advice.text.as_str())
            .collect();
        insta::assert_snapshot!(format!("advice_{cause}"), texts.join("\n"));
        assert_eq!(texts.len(), 1, "{cause}");
    }
}

#[test]
fn failures_that_were_only_counted_are_told() {
    let told = |unstored: u64| {
        let (mut timeline, findings) = failed();
        let total = EventKind::Harness(crate::evidence::Harness {
            scope: "total".into(),
            unstored_failures: unstored,
            ..Default::default()
        });
        let seq = timeline.events.len() as u64;
        timeline.events.push(event(seq, 12_000, total));
        report(&timeline, findings)
    };
    let line =
        "9,900 further failures were only counted: of those beyond the limit every 100th was kept";
    for text in [terminal(&told(9_900)), markdown(&told(9_900))] {
        assert_eq!(text.matches(line).count(), 1, "{text}");
    }
    assert!(terminal(&told(9_900)).contains(": 9,901 of "));
    for text in [terminal(&told(0)), markdown(&told(0))] {
        assert!(!text.contains("only counted"), "{text}");
    }
    let mut of_capture = told(73);
    of_capture.run.origin = "import".into();
    let line = "73 further failures were only counted: the capture does not hold them";
    assert!(terminal(&of_capture).contains(line));
}
