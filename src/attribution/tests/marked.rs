//! What the lines of marked requests tell of a node's clock.

use super::stage::{MILLI, SECOND, Stage, fine_stamp};
use super::{ClockBound, SidecarKind};
use crate::evidence::{Clock, EventKind, MarkedRequest, RunOffset};
use serde_json::json;

/// The node's clock is ahead by this, so that no other evidence bounds it as well.
const AHEAD: i64 = 5 * SECOND;

/// When the request was sent, by the harness.
const SENT: i64 = 2 * SECOND;

/// What the clocks may part by from then to the end of the stage.
const DRIFT: i64 = 8 * SECOND / 10_000;

struct Case {
    what: &'static str,
    answered: Option<i64>,
    /// The pod that the answer names.
    named: Option<&'static str>,
    /// The pod whose proxy wrote the line.
    writer: &'static str,
    cluster: &'static str,
    path: &'static str,
    flags: &'static str,
    digits: usize,
    /// What bounds the offset, less `AHEAD`.
    lo: Option<i64>,
    hi: Option<i64>,
}

/// Answered after 10 ms; its proxy began 3 ms after the sending and took 4 ms.
const WHOLE: Case = Case {
    what: "its own pod's line bounds both sides, to its own duration",
    answered: Some(10 * MILLI),
    named: Some("old-1"),
    writer: "old-1",
    cluster: "inbound|8080||",
    path: "/?lastwatch-id=id-1",
    flags: "-",
    digits: 3,
    lo: Some(-3 * MILLI - DRIFT),
    hi: Some(4 * MILLI + DRIFT),
};

fn bound(case: &Case) -> ClockBound {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.meshed_client();
    let marked = MarkedRequest {
        request_id: "id-1".to_owned(),
        client: "mesh".to_owned(),
        sent: RunOffset(SENT),
        answered: case.answered.map(|took| RunOffset(SENT + took)),
        status: case.answered.map(|_| 200),
        pod: case.named.map(str::to_owned),
    };
    stage.at(SENT, EventKind::RequestMarked(marked));
    let start = SENT + 3 * MILLI + AHEAD;
    let line = json!({
        "start_time": fine_stamp(start, case.digits), "duration": 4, "method": "GET",
        "path": case.path, "response_code": 200, "response_flags": case.flags,
        "request_id": "id-1", "upstream_cluster": case.cluster, "upstream_service_time": "3",
    });
    stage.log(case.writer, "istio-proxy", start, &line.to_string());
    let node = Clock::Node("node1".to_owned());
    let clocks = stage.explain().clocks;
    let found = clocks.into_iter().find(|bound| bound.clock == node);
    found.expect("its pods' states are stamped by it")
}

#[test]
fn a_marked_request_alone_bounds_its_node_to_its_own_duration() {
    let cases = [
        WHOLE,
        Case {
            what: "any pod's line, where the answer names none",
            named: None,
            ..WHOLE
        },
        Case {
            what: "the line of the sidecar that the client sends through",
            writer: "loadgen",
            cluster: "outbound|80||demo.n.svc.cluster.local",
            ..WHOLE
        },
        Case {
            what: "whoever gave up may have begun after the answer",
            flags: "DC",
            lo: None,
            ..WHOLE
        },
        Case {
            what: "a line that tells of longer than it took counts in another unit",
            answered: Some(3 * MILLI),
            lo: None,
            hi: None,
            ..WHOLE
        },
        Case {
            what: "without an answer nobody knows by when it had begun",
            answered: None,
            lo: None,
            ..WHOLE
        },
        Case {
            what: "a start in tenths of a second is an interval of one",
            digits: 1,
            lo: Some(-6 * MILLI - DRIFT),
            hi: Some(100 * MILLI + DRIFT),
            ..WHOLE
        },
        Case {
            what: "another pod than the one that answered got a copy",
            named: Some("old-2"),
            lo: None,
            hi: None,
            ..WHOLE
        },
        Case {
            what: "a call of the app's own, with the id handed on",
            path: "/peer",
            lo: None,
            hi: None,
            ..WHOLE
        },
        Case {
            what: "what a pod sends that is not the client's",
            cluster: "outbound|80||demo.n.svc.cluster.local",
            lo: None,
            hi: None,
            ..WHOLE
        },
    ];
    let wrong = cases.iter().filter(|case| {
        let found = bound(case);
        // The pods' own states say that the clock is not behind.
        let lo = case.lo.map_or(0, |lo| AHEAD + lo);
        let hi = case.hi.map(|hi| AHEAD + hi);
        (found.lo, found.hi, found.unreliable) != (Some(lo), hi, false)
    });
    let wrong: Vec<&str> = wrong.map(|case| case.what).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
