//! Logs with a hole: what nobody saw is neither silence nor nought.

use super::stage::{AT, Ending, MILLI, SECOND, STAYS, Stage, stamp, transport};
use super::{Cause, Confidence, Findings, Missing, PodFinding, SidecarKind};
use crate::evidence::{
    Blindness, Change, ErrorClass, EventKind, RequestPhase, Resource, RunOffset,
};
use serde_json::json;

impl Stage {
    /// The log of a container was not seen in that span.
    fn hole(&mut self, pod: &str, container: &str, from: i64, to: Option<i64>) {
        let gap = Blindness {
            what: format!("logs/{pod}/{container}"),
            from: Some(RunOffset(from)),
            to: to.map(RunOffset),
            reason: "the stream broke".to_owned(),
            uids: None,
            resumed: false,
        };
        self.at(to.unwrap_or(40 * SECOND), EventKind::Blind(gap));
    }
}

fn pod(found: &Findings) -> &PodFinding {
    let mut pods = found.pods.iter();
    pods.find(|pod| pod.pod == "old-1").expect("it was deleted")
}

/// `old-1` is killed at the end of a grace of ten seconds without a word in its log, and what it had
/// is cut.
fn killed() -> Stage {
    let mut stage = Stage::new().with_old_pods();
    let killed = Ending {
        grace: 10 * SECOND,
        app: (10 * SECOND, 137),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, killed, STAYS);
    let closed = transport(ErrorClass::Closed);
    let cut = stage.fail(
        AT + 8 * SECOND,
        2 * SECOND,
        closed,
        RequestPhase::WaitHeaders,
    );
    cut.response.pod = Some("old-1".to_owned());
    stage
}

#[test]
fn an_app_whose_shutdown_line_may_lie_in_a_hole_is_not_called_deaf() {
    let whole = killed().explain();
    assert_eq!(whole.failures[0].cause, Cause::TermSignalUnhandled);
    let deaf = "term-signal-unhandled".to_owned();
    assert!(pod(&whole).hazards.contains(&deaf));
    assert_eq!(pod(&whole).missing, []);

    let holes = [
        (AT + SECOND, Some(AT + 2 * SECOND)),
        (AT - SECOND, Some(AT + MILLI)),
        (AT + 9 * SECOND, None),
    ];
    for (from, to) in holes {
        let mut stage = killed();
        stage.hole("old-1", "app", from, to);
        let found = stage.explain();
        assert_eq!(
            found.failures[0].confidence,
            Confidence::Ambiguous,
            "{from}"
        );
        assert!(!pod(&found).hazards.contains(&deaf), "{from}");
        assert_eq!(pod(&found).missing, [Missing::AppLogs], "{from}");
    }
}

#[test]
fn a_hole_elsewhere_takes_nothing_from_a_termination() {
    for (name, container, from, to) in [
        ("old-1", "app", SECOND, Some(AT - 2 * SECOND)),
        ("old-1", "app", AT + 15 * SECOND, None),
        ("old-2", "app", AT, None),
    ] {
        let mut stage = killed();
        stage.hole(name, container, from, to);
        let found = stage.explain();
        assert_eq!(found.failures[0].cause, Cause::TermSignalUnhandled);
        assert_eq!(pod(&found).missing, [], "{name}: {from}");
    }
}

#[test]
fn a_shutdown_line_that_was_seen_counts_whatever_else_was_not() {
    let mut stage = killed();
    stage.log("old-1", "app", AT + 30 * MILLI, "received SIGTERM");
    stage.hole("old-1", "app", AT + SECOND, None);
    assert_eq!(stage.causes(), [Cause::GraceExceeded]);
}

/// `old-1` serves on for seven seconds after its proxy, with so many lost calls in its log.
fn left_alone(calls: i64) -> Stage {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.end("old-1", AT, Ending::serves_on(), STAYS);
    for call in 0..calls {
        let at = AT + (7 + call) * SECOND;
        stage.log("old-1", "app", at, "notify: connect: connection refused");
    }
    stage
}

#[test]
fn a_hole_in_the_apps_log_leaves_at_most_a_lower_bound_of_its_lost_calls() {
    for (calls, hole, counted) in [
        (0, false, Some(0)),
        (2, false, Some(2)),
        (0, true, None),
        (2, true, Some(2)),
    ] {
        let mut stage = left_alone(calls);
        if hole {
            stage.hole("old-1", "app", AT + 9 * SECOND, Some(AT + 10 * SECOND));
        }
        let found = stage.explain();
        assert_eq!(pod(&found).outbound_failures, counted, "{calls}, {hole}");
        assert_eq!(pod(&found).missing.contains(&Missing::AppLogs), hole);
        let told = pod(&found).evidence.iter();
        let at_least = told.filter(|told| told.text.starts_with("at least 2 calls"));
        assert_eq!(at_least.count() == 1, hole && calls > 0);
    }
}

#[test]
fn a_hole_in_the_proxys_log_hides_what_its_agent_said() {
    let mut stage = left_alone(0);
    stage.hole(
        "old-1",
        "istio-proxy",
        AT + 4 * SECOND,
        Some(AT + 6 * SECOND),
    );
    let found = stage.explain();
    assert!(pod(&found).missing.contains(&Missing::AgentLogs));
    assert_eq!(pod(&found).outbound_failures, Some(0));
}

#[test]
fn calls_of_a_pod_whose_proxys_end_nobody_saw_are_not_called_held() {
    for (calls, counted) in [(0, Some(0)), (1, None)] {
        let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
        stage.delete("old-1", AT, 12 * SECOND, STAYS);
        for _ in 0..calls {
            let text = "notify: connect: connection refused";
            stage.log("old-1", "app", AT + 8 * SECOND, text);
        }
        let found = stage.explain();
        assert_eq!(pod(&found).sidecar_lead_s, None);
        assert_eq!(pod(&found).outbound_failures, counted);
        assert!(pod(&found).missing.contains(&Missing::ExitCodes));
    }
}

#[test]
fn a_pod_that_is_still_ending_when_the_record_does_has_not_shown_how_it_ends() {
    let kinds = [None, Some(SidecarKind::Classic), Some(SidecarKind::Native)];
    for (kind, crashed) in kinds
        .into_iter()
        .flat_map(|kind| [(kind, false), (kind, true)])
    {
        let mut stage = Stage::with_sidecar(kind).with_old_pods();
        if crashed {
            // An end that is followed by another start is not the pod's.
            stage.crash("old-1", AT - 6 * SECOND, 1, "Error");
        }
        let running = json!({"running": {"startedAt": stamp(-60 * SECOND)}});
        let going = stage.pod("old-1", running, Some((AT, 30)), true);
        stage.object(AT + 5 * MILLI, Resource::Pods, Change::Modified, going);
        stage.log("old-1", "app", AT + 6 * SECOND, "still at work");
        let found = stage.explain();
        let pod = pod(&found);
        assert!(
            pod.missing.contains(&Missing::ExitCodes),
            "{kind:?}, {crashed}"
        );
        let lost = kind.is_none().then_some(0);
        assert_eq!(pod.outbound_failures, lost, "{kind:?}, {crashed}");
    }
}

#[test]
fn a_pod_that_the_kubelet_stops_while_its_watch_is_lost_counts_as_deleted() {
    for (reason, message, lost, known) in [
        ("Killing", "Stopping container app", Some(SECOND), true),
        ("Killing", "Stopping container app", None, false),
        // Its watch was only being renewed as the record ended.
        ("Killing", "Stopping container app", Some(60 * MILLI), false),
        (
            "Killing",
            "Container app failed liveness probe, will be restarted",
            Some(SECOND),
            false,
        ),
        ("Unhealthy", "Readiness probe failed: ", Some(SECOND), false),
    ] {
        let mut stage = Stage::new().with_old_pods();
        if let Some(before) = lost {
            let gap = Blindness {
                what: "pods".to_owned(),
                from: Some(RunOffset(AT - before)),
                to: None,
                reason: "silent".to_owned(),
                uids: None,
                resumed: false,
            };
            stage.at(AT - before, EventKind::Blind(gap));
        }
        let event = json!({"metadata": {"name": "e"}, "reason": reason, "message": message,
            "involvedObject": {"kind": "Pod", "name": "old-1", "uid": "old-1"}});
        stage.object(AT, Resource::Events, Change::Added, event);
        let found = stage.explain();
        let own = found.pods.iter().find(|pod| pod.pod == "old-1");
        assert_eq!(own.is_some(), known, "{message}, {lost:?}");
        if let Some(pod) = own {
            assert_eq!(pod.missing, [Missing::Pods, Missing::ExitCodes]);
        }
    }
}

#[test]
fn a_watch_that_went_on_where_it_stopped_hides_only_the_ends_that_it_delivered_late() {
    for (from, to, resumed, missing) in [
        (AT - 4 * SECOND, AT - 2 * SECOND, false, true),
        (AT - 4 * SECOND, AT - 2 * SECOND, true, false),
        // The deletion arrives with what the watch missed: it may have been before.
        (AT - 4 * SECOND, AT - SECOND / 2, true, true),
    ] {
        let mut stage = killed();
        let gap = Blindness {
            what: "pods".to_owned(),
            from: Some(RunOffset(from)),
            to: Some(RunOffset(to)),
            reason: "the watch was away".to_owned(),
            uids: None,
            resumed,
        };
        stage.at(to, EventKind::Blind(gap));
        let found = stage.explain();
        let told = pod(&found).missing.contains(&Missing::Pods);
        assert_eq!(told, missing, "{to} {resumed} {:?}", pod(&found).missing);
    }
}
