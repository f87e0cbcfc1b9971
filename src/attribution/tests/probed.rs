//! What the probes of a pod's own address, and a client's own patience, tell of a refusal.

use super::stage::{AT, MILLI, SECOND, STAYS, Stage, stamp, transport};
use super::{Cause, Confidence};
use crate::evidence::{
    Change, ConnectionKind, ErrorClass, EventKind, PodProbe, ProbeOutcome, RequestPhase, Resource,
    RunOffset,
};
use serde_json::json;

pub(super) fn probe(stage: &mut Stage, at: i64, outcome: ProbeOutcome) {
    let probe = PodProbe {
        pod: "old-1".to_owned(),
        uid: "old-1".to_owned(),
        address: "10.244.0.1:8080".to_owned(),
        sent: RunOffset(at),
        outcome,
    };
    stage.at(at, EventKind::Probe(probe));
}

/// A pod without a readiness probe is in the routes 40 ms before it listens, while another that was
/// deleted at [`AT`] goes on serving for 3 s; both logs have stamps of a node whose clock is known
/// badly.
fn late_listener(probes: &[(i64, ProbeOutcome)]) -> Stage {
    let mut stage = Stage::new();
    stage.probe = false;
    let mut stage = stage.with_old_pods();
    stage.delete("old-1", AT, 3 * SECOND, STAYS);
    let running = json!({"running": {"startedAt": stamp(AT)}});
    let new = stage.pod("new-1", running, None, true);
    stage.object(AT + 2 * SECOND, Resource::Pods, Change::Added, new);
    stage.slice(
        AT + 2 * SECOND + 40 * MILLI,
        &[
            ("old-2", true, true, false),
            ("new-1", true, true, false),
            ("old-1", false, true, true),
        ],
    );
    for (at, outcome) in probes {
        probe(&mut stage, *at, *outcome);
    }
    stage.refused(AT + 2_500 * MILLI);
    stage
}

#[test]
fn a_pod_that_accepts_probes_refused_nobody() {
    let stage = late_listener(&[
        (AT + 10 * MILLI, ProbeOutcome::Accepted),
        (AT + 2_900 * MILLI, ProbeOutcome::Accepted),
        (AT + 3_050 * MILLI, ProbeOutcome::Refused),
    ]);
    assert_eq!(stage.causes(), [Cause::NewPodNotReady]);
}

#[test]
fn a_refusal_after_the_first_refused_probe_is_a_late_route() {
    let mut stage = Stage::new().with_old_pods();
    stage.delete("old-1", AT, 3 * SECOND, STAYS);
    probe(&mut stage, AT + 10 * MILLI, ProbeOutcome::Accepted);
    probe(&mut stage, AT + 2_950 * MILLI, ProbeOutcome::Accepted);
    probe(&mut stage, AT + 3_000 * MILLI, ProbeOutcome::Refused);
    stage.refused(AT + 3_020 * MILLI);
    let found = stage.explain();
    let failure = &found.failures[0];
    assert_eq!(failure.cause, Cause::EndpointPropagation);
    assert_eq!(failure.confidence, Confidence::Proved);
    let texts: Vec<&str> = failure.evidence.iter().map(|e| e.text.as_str()).collect();
    assert!(
        texts.contains(&"the address of `old-1` stopped accepting"),
        "{texts:?}"
    );
}

#[test]
fn an_address_that_was_never_reached_tells_nothing() {
    let mut stage = Stage::new().with_old_pods();
    stage.delete("old-1", AT, 3 * SECOND, STAYS);
    probe(&mut stage, AT + 10 * MILLI, ProbeOutcome::Timeout);
    stage.refused(AT + 3_020 * MILLI);
    assert_eq!(stage.causes(), [Cause::EndpointPropagation]);
}

/// The first packet went to a pod that was gone; when it was sent again, nobody was left to choose.
#[test]
fn a_refusal_of_a_second_packet_is_a_late_route_although_nobody_is_ready() {
    let mut stage = Stage::new().with_old_pods();
    stage.delete("old-1", AT, 20 * MILLI, &[]);
    stage.delete("old-2", AT, 20 * MILLI, &[]);
    let refused = transport(ErrorClass::Refused);
    stage.fail(
        AT + 400 * MILLI,
        1_010 * MILLI,
        refused,
        RequestPhase::Connect,
    );
    stage.refused(AT + 4 * SECOND);
    assert_eq!(
        stage.causes(),
        [Cause::EndpointPropagation, Cause::NoReadyEndpoint]
    );
}

#[test]
fn a_busy_peer_closes_an_idle_connection_late() {
    let mut stage = Stage::new().with_old_pods();
    for idle in [500 * MILLI, 20 * MILLI] {
        let request = stage.fail(
            5 * SECOND,
            95 * MILLI,
            transport(ErrorClass::Closed),
            RequestPhase::WaitHeaders,
        );
        request.connection.kind = ConnectionKind::Reused;
        request.connection.requests_before = 7;
        request.connection.idle = idle;
    }
    assert_eq!(
        stage.causes(),
        [Cause::StaleConnection, Cause::Unexplained],
        "one that had been idle for less than it then waited was in use"
    );
}
