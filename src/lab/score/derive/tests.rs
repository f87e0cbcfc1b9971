use super::*;
use crate::evidence::{Connection, ResponseFacts};
use crate::lab::score::testing::{POD, START, born, deleting, end, listen, signal, told};
use crate::lab::truth::{Fact, Record};

mod meshed;

/// A pod that listens from 0 and to which two connections were sent: one from port 40000 at 100 ms,
/// one from port 40001 at 1,000 ms.
fn story(more: Vec<Record>) -> History {
    let address = |text: &str| text.parse().expect("an address");
    let mut records = vec![born(-500), listen(0, 1)];
    for (t, from) in [(100, "172.18.0.2:40000"), (1_000, "172.18.0.2:40001")] {
        records.push(told(
            t,
            Fact::Connection {
                from: address(from),
                to: address("10.96.0.10:80"),
                chosen: address("10.244.0.3:8080"),
            },
        ));
    }
    records.extend(more);
    History::new(records)
}

/// A request over a connection made for it, sent at 1,000 ms.
fn new(phase: RequestPhase, outcome: Outcome, ended: i64) -> FailedRequest {
    let sent = RunOffset::from_millis(1_000);
    FailedRequest {
        request_id: "r".to_owned(),
        client: "local".to_owned(),
        class: "fast".to_owned(),
        method: "GET".to_owned(),
        path: "/".to_owned(),
        intended: sent,
        sent: Some(sent),
        connected: None,
        written: (phase != RequestPhase::Connect).then_some(sent),
        first_byte: None,
        end: RunOffset::from_millis(ended),
        connection: Connection {
            kind: ConnectionKind::New,
            id: 1,
            age: 0,
            requests_before: 0,
            idle: 0,
        },
        local: Some(":40001".to_owned()),
        remote: Some("10.96.0.10:80".to_owned()),
        phase,
        outcome,
        response: ResponseFacts::default(),
    }
}

/// The same over one kept since 100 ms and idle for 50 ms.
fn kept(outcome: Outcome, ended: i64) -> FailedRequest {
    FailedRequest {
        connection: Connection {
            kind: ConnectionKind::Reused,
            id: 0,
            age: 900_000_000,
            requests_before: 9,
            idle: 50_000_000,
        },
        local: Some("172.18.0.2:40000".to_owned()),
        ..new(RequestPhase::WaitHeaders, outcome, ended)
    }
}

fn error(class: ErrorClass) -> Outcome {
    Outcome::Transport {
        class,
        errno: None,
        text: String::new(),
    }
}

fn status(code: u16) -> Outcome {
    Outcome::Status { code, grpc: None }
}

fn cause(failure: &FailedRequest, more: Vec<Record>) -> Option<&'static str> {
    true_cause(failure, START, &story(more)).cause
}

#[test]
fn the_table_of_causes_is_followed() {
    use ErrorClass::{Closed, Refused, Reset, Timeout};
    use RequestPhase::{Connect, WaitHeaders};
    let gone = || {
        vec![
            deleting(700),
            signal(701, "SIGTERM", true),
            listen(800, 0),
            end(800, 0),
        ]
    };
    let cut = || {
        vec![
            deleting(900),
            signal(901, "SIGTERM", true),
            end(1_500, 0),
            listen(1_500, 0),
        ]
    };
    let killed = |handled| {
        vec![
            deleting(500),
            signal(501, "SIGTERM", handled),
            signal(1_499, "SIGKILL", false),
            end(1_500, 137),
            listen(1_500, 0),
        ]
    };
    let stale = || vec![deleting(700), end(800, 0), listen(800, 0)];
    for (expected, failure, more) in [
        (
            "endpoint-propagation",
            new(Connect, error(Refused), 1_001),
            gone(),
        ),
        // The news of the connection, of 1,000 ms, came after its end.
        (
            "endpoint-propagation",
            FailedRequest {
                sent: Some(RunOffset::from_millis(990)),
                ..new(Connect, error(Refused), 995)
            },
            gone(),
        ),
        (
            "endpoint-propagation",
            new(Connect, error(Timeout), 9_000),
            gone(),
        ),
        (
            "endpoint-propagation",
            new(WaitHeaders, error(Reset), 1_002),
            gone(),
        ),
        (
            "in-flight-cut",
            new(WaitHeaders, error(Reset), 1_500),
            cut(),
        ),
        ("in-flight-cut", kept(error(Closed), 1_500), cut()),
        (
            "grace-exceeded",
            new(WaitHeaders, error(Closed), 1_501),
            killed(true),
        ),
        (
            "term-signal-unhandled",
            kept(error(Closed), 1_501),
            killed(false),
        ),
        ("stale-connection", kept(error(Closed), 1_001), stale()),
        ("stale-connection", kept(error(Closed), 1_001), vec![]),
        (
            "container-crashed",
            kept(error(Closed), 1_001),
            vec![end(800, 3), listen(800, 0)],
        ),
        (
            "container-crashed",
            new(Connect, error(Refused), 1_001),
            vec![end(800, 3), listen(800, 0)],
        ),
        (
            "container-crashed",
            new(WaitHeaders, error(Reset), 1_200),
            vec![end(1_200, 3), listen(1_200, 0)],
        ),
        (
            "shutdown-refusal",
            new(WaitHeaders, status(503), 1_002),
            vec![deleting(700), signal(701, "SIGTERM", true)],
        ),
        (
            "application-error",
            new(WaitHeaders, status(500), 1_002),
            vec![],
        ),
        (
            "application-error",
            new(WaitHeaders, status(503), 1_002),
            vec![],
        ),
        (
            "client-side",
            new(WaitHeaders, error(Timeout), 9_000),
            vec![],
        ),
        (
            "harness",
            new(Connect, error(ErrorClass::LocalLimit), 1_000),
            vec![],
        ),
    ] {
        assert_eq!(
            cause(&failure, more),
            Some(expected),
            "{:?} {:?}",
            failure.phase,
            failure.outcome
        );
    }
}

#[test]
fn a_refusal_that_no_connection_stands_for_was_nobodys() {
    let mut refused = new(RequestPhase::Connect, error(ErrorClass::Refused), 1_001);
    refused.local = Some(":40999".to_owned());
    assert_eq!(cause(&refused, vec![]), Some("no-ready-endpoint"));
}

#[test]
fn a_pod_that_has_never_listened_is_new() {
    let records = vec![
        born(-500),
        told(
            1_000,
            Fact::Connection {
                from: "172.18.0.2:40001".parse().expect("an address"),
                to: "10.96.0.10:80".parse().expect("an address"),
                chosen: "10.244.0.3:8080".parse().expect("an address"),
            },
        ),
        listen(1_700, 1),
    ];
    let refused = new(RequestPhase::Connect, error(ErrorClass::Refused), 1_001);
    let truth = true_cause(&refused, START, &History::new(records));
    assert_eq!(truth.cause, Some("new-pod-not-ready"));
    assert_eq!(truth.pod.as_deref(), Some(POD));
}

#[test]
fn a_port_used_again_after_a_long_request_says_nothing_of_it() {
    let again = told(
        9_100,
        Fact::Connection {
            from: "172.18.0.2:40001".parse().expect("an address"),
            to: "10.96.0.10:80".parse().expect("an address"),
            chosen: "10.244.0.9:8080".parse().expect("an address"),
        },
    );
    let other = Fact::Pod {
        pod: "demo-2-a".to_owned(),
        uid: "v".to_owned(),
        address: "10.244.0.9".to_owned(),
    };
    let history = story(vec![
        deleting(4_000),
        signal(7_000, "SIGTERM", true),
        told(8_000, other),
        signal(9_000, "SIGKILL", false),
        end(9_000, 137),
        again,
    ]);
    let long = FailedRequest {
        connected: Some(RunOffset::from_millis(1_001)),
        ..new(RequestPhase::WaitHeaders, error(ErrorClass::Closed), 9_000)
    };
    let truth = true_cause(&long, START, &history);
    assert_eq!(truth.cause, Some("grace-exceeded"));
    assert_eq!(truth.pod.as_deref(), Some(POD));
}

#[test]
fn what_lies_within_the_resolution_is_as_good() {
    let more = vec![deleting(700), end(995, 0), listen(1_005, 0)];
    let truth = true_cause(&kept(error(ErrorClass::Closed), 1_001), START, &story(more));
    assert_eq!(truth.cause, Some("stale-connection"));
    assert_eq!(truth.also, ["in-flight-cut"]);
}
