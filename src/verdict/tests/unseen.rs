//! What a gate says whose evidence was seen in part.

use super::*;
use crate::evidence::{Change, LatencySummary, Resource};
use serde_json::json;

fn gate<'v>(verdict: &'v Verdict, name: &str) -> &'v Gate {
    let mut gates = verdict.gates.iter();
    gates
        .find(|gate| gate.name == name)
        .expect("the gate is on")
}

/// A pod with a classic sidecar that ended a second after its app.
fn meshed() -> Bed {
    let mut bed = Bed::new();
    let pod = &mut bed.findings.pods[0];
    pod.sidecar = Some(SidecarKind::Classic);
    pod.sidecar_lead_s = Some(-1.0);
    pod.outbound_failures = Some(0);
    bed
}

fn blind(bed: &mut Bed, what: &str, from: Option<i64>, to: Option<i64>) {
    let gap = Blindness {
        what: what.to_owned(),
        from: from.map(|second| RunOffset(second * SECOND)),
        to: to.map(|second| RunOffset(second * SECOND)),
        reason: "the stream broke".to_owned(),
        uids: None,
        resumed: false,
    };
    bed.push(to.unwrap_or(19), EventKind::Blind(gap));
}

#[test]
fn lost_calls_of_a_log_that_was_seen_in_part_are_a_lower_bound() {
    for (lost, limit, status) in [
        (Some(2), 0, GateStatus::Broken),
        (Some(2), 5, GateStatus::Inconclusive),
        (None, 0, GateStatus::Inconclusive),
    ] {
        let mut bed = meshed();
        bed.findings.pods[0].outbound_failures = lost;
        bed.findings.pods[0].missing = vec![Missing::AppLogs];
        let gates = Gates {
            max_outbound_failures: Some(limit),
            ..Gates::default()
        };
        let verdict = bed.judge(&gates);
        let gate = gate(&verdict, "maxOutboundFailures");
        assert_eq!(gate.status, status, "{lost:?} of {limit}");
        assert_eq!(gate.missing, [Missing::AppLogs]);
    }
}

#[test]
fn stamps_that_allow_a_sidecar_to_have_left_its_app_hold_nothing() {
    let (held, doubtful) = (GateStatus::Held, GateStatus::Inconclusive);
    for (between, missing, status) in [
        ((-2.4, 0.4), vec![], held),
        ((-0.3, 0.5), vec![], held),
        ((-0.4, 1.3), vec![], doubtful),
        ((0.1, 0.9), vec![], doubtful),
        ((-2.4, 0.4), vec![Missing::AgentLogs], held),
        ((-1.1, 1.7), vec![Missing::AgentLogs], doubtful),
    ] {
        let mut bed = meshed();
        let pod = &mut bed.findings.pods[0];
        pod.sidecar_lead_s = Some(f64::midpoint(between.0, between.1));
        pod.sidecar_lead_between_s = Some(between);
        pod.missing.clone_from(&missing);
        let verdict = bed.judge(&Gates::default());
        let gate = gate(&verdict, "sidecarOutlivesApp");
        assert_eq!(gate.status, status, "{between:?}, {missing:?}");
        let unseen = match (status, missing.is_empty()) {
            (GateStatus::Held, _) => vec![],
            (_, true) => vec![Missing::AppLogs],
            (_, false) => missing,
        };
        assert_eq!(gate.missing, unseen, "{between:?}");
    }
}

#[test]
fn a_sidecar_that_surely_left_first_breaks_its_gate_however_roughly_it_is_known() {
    let mut bed = meshed();
    let pod = &mut bed.findings.pods[0];
    pod.hazards = vec!["sidecar-exited-first".to_owned()];
    pod.sidecar_lead_s = Some(1.0);
    pod.sidecar_lead_between_s = Some((0.1, 1.9));
    let verdict = bed.judge(&Gates::default());
    let gate = gate(&verdict, "sidecarOutlivesApp");
    assert_eq!(gate.status, GateStatus::Broken);
    assert!(gate.missing.is_empty());
}

#[test]
fn a_pod_whose_containers_nobody_saw_may_have_had_a_sidecar_as_the_others() {
    let mut bed = meshed();
    let mut unseen = pod("b");
    unseen.exit_codes.clear();
    unseen.missing = vec![Missing::Pods, Missing::ExitCodes];
    bed.findings.pods.push(unseen);
    let verdict = bed.judge(&Gates::default());
    for name in ["maxSigkills", "maxOutboundFailures", "sidecarOutlivesApp"] {
        let gate = gate(&verdict, name);
        assert_eq!(gate.status, GateStatus::Inconclusive, "{name}");
        assert!(gate.missing.contains(&Missing::Pods), "{name}");
    }
}

#[test]
fn a_margin_without_the_apps_log_is_an_upper_bound_and_without_slices_none() {
    for (missing, limit, status) in [
        (vec![], 1, GateStatus::Held),
        (vec![], 2, GateStatus::Broken),
        (vec![Missing::AppLogs], 1, GateStatus::Inconclusive),
        (vec![Missing::AppLogs], 2, GateStatus::Broken),
        (vec![Missing::Slices], 2, GateStatus::Inconclusive),
    ] {
        let mut bed = Bed::new();
        bed.findings.pods[0].missing.clone_from(&missing);
        let gates = Gates {
            min_drain_margin: Some(std::time::Duration::from_secs(limit)),
            ..Gates::default()
        };
        let verdict = bed.judge(&gates);
        let gate = gate(&verdict, "minDrainMargin");
        assert_eq!(gate.status, status, "{missing:?} {limit}");
        assert_eq!(gate.missing, missing);
    }
}

#[test]
fn a_margin_that_was_not_measured_lacks_the_endpoint() {
    let mut bed = Bed::new();
    bed.findings.pods[0].margin_ms = None;
    let gates = Gates {
        min_drain_margin: Some(std::time::Duration::from_secs(1)),
        ..Gates::default()
    };
    let verdict = bed.judge(&gates);
    let gate = gate(&verdict, "minDrainMargin");
    assert_eq!(gate.status, GateStatus::Inconclusive);
    assert_eq!(gate.missing, [Missing::Slices]);
}

#[test]
fn a_cut_log_of_any_pod_takes_the_gates_on_lines_their_evidence() {
    let gates = Gates {
        max_log_matches: Some(1),
        max_masked: Some(1),
        ..Gates::default()
    };
    let held = [GateStatus::Held, GateStatus::Held];
    let unseen = GateStatus::Inconclusive;
    for (what, from, to, expected) in [
        ("logs/new-7/app", Some(9), None, [unseen, GateStatus::Held]),
        (
            "logs/new-7/istio-proxy",
            Some(9),
            Some(10),
            [unseen, unseen],
        ),
        ("logs", None, None, [unseen, unseen]),
        ("logs/new-7/app", Some(1), Some(3), held),
        ("probes/new-7", Some(9), None, held),
    ] {
        for matches in [1, 2] {
            let mut bed = meshed();
            bed.timeline.logs.push(crate::evidence::ContainerLog {
                pod: "a".into(),
                container: "app".into(),
                lines: vec![],
            });
            bed.findings.masked = Some(matches);
            bed.findings.log_matches = matches;
            blind(&mut bed, what, from, to);
            let verdict = bed.judge(&gates);
            let broken = [GateStatus::Broken; 2];
            let expected = if matches > 1 { broken } else { expected };
            let got = ["maxLogMatches", "maxMasked"].map(|name| gate(&verdict, name).status);
            assert_eq!(got, expected, "{what} from {from:?}, {matches}");
        }
    }
}

#[test]
fn lines_that_no_clock_places_break_nothing_and_hold_nothing() {
    let gates = Gates {
        max_log_matches: Some(2),
        max_masked: Some(2),
        ..Gates::default()
    };
    for (after, unsure, status) in [
        (1, 1, GateStatus::Held),
        (1, 2, GateStatus::Inconclusive),
        (0, 9, GateStatus::Inconclusive),
        (3, 0, GateStatus::Broken),
    ] {
        let mut bed = meshed();
        bed.timeline.logs.push(crate::evidence::ContainerLog {
            pod: "a".into(),
            container: "app".into(),
            lines: vec![],
        });
        bed.findings.log_matches = after;
        bed.findings.log_matches_unsure = unsure;
        bed.findings.masked = Some(after);
        bed.findings.masked_unsure = unsure;
        let verdict = bed.judge(&gates);
        for name in ["maxLogMatches", "maxMasked"] {
            assert_eq!(
                gate(&verdict, name).status,
                status,
                "{name}: {after}, {unsure}"
            );
        }
    }
}

#[test]
fn a_client_whose_failures_were_not_recorded_cannot_pass() {
    let mut bed = Bed::new();
    blind(&mut bed, "failures/local", None, None);
    let verdict = bed.judge(&Gates::for_import());
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    let gate = gate(&verdict, "maxFailed");
    assert_eq!(gate.status, GateStatus::Inconclusive);
    assert_eq!(gate.missing, [Missing::Requests]);
}

#[test]
fn a_watch_of_pods_that_did_not_come_back_holds_no_gate_that_needs_every_pod() {
    for (from, to, status) in [
        (Some(9), None, GateStatus::Inconclusive),
        (None, None, GateStatus::Inconclusive),
        // What a gap hid that was closed by a list is told of each pod.
        (Some(9), Some(10), GateStatus::Held),
    ] {
        let mut bed = Bed::new();
        blind(&mut bed, "pods", from, to);
        let verdict = bed.judge(&Gates::for_import());
        let gate = gate(&verdict, "maxSigkills");
        assert_eq!(gate.status, status, "{from:?} to {to:?}");
    }
}

#[test]
fn where_no_pod_was_ever_seen_no_gate_on_pods_holds() {
    let gates = Gates {
        min_exposure: Some(0),
        ..Gates::for_import()
    };
    let (held, unseen) = (GateStatus::Held, GateStatus::Inconclusive);
    // The disruption begins at second 5: whoever records may have stopped before.
    for (origin, shown, status) in [
        (Origin::Live, None, unseen),
        (Origin::Live, Some(0), held),
        (Origin::Import, None, unseen),
        (Origin::Import, Some(4), unseen),
        (Origin::Import, Some(6), held),
    ] {
        let mut bed = Bed::new();
        bed.timeline.run.origin = origin;
        bed.findings.pods.clear();
        if let Some(second) = shown {
            let pod = EventKind::Object {
                resource: Resource::Pods,
                change: Change::Added,
                object: json!({"metadata": {"name": "demo-1"}}),
            };
            bed.push(second, pod);
        }
        let verdict = bed.judge(&gates);
        for name in ["minExposure", "maxSigkills"] {
            let gate = gate(&verdict, name);
            assert_eq!(gate.status, status, "{name}, {origin:?}, {shown:?}");
            let missing = if status == held {
                vec![]
            } else {
                vec![Missing::Pods]
            };
            assert_eq!(gate.missing, missing, "{name}, {origin:?}, {shown:?}");
        }
    }
}

#[test]
fn a_client_that_sent_nothing_since_the_first_deletion_saw_nothing_of_the_rollout() {
    let (held, unseen) = (GateStatus::Held, GateStatus::Inconclusive);
    // The disruption begins at second 5, the pod is deleted at second 6.
    for (deleted, clients, status) in [
        (true, vec![20], held),
        (true, vec![7], held),
        (true, vec![6], unseen),
        (true, vec![0], unseen),
        (true, vec![20, 5], unseen),
        (true, vec![20, 20], held),
        (false, vec![6], held),
        (false, vec![5], unseen),
    ] {
        let mut bed = Bed::new();
        if !deleted {
            bed.findings.pods[0].window = None;
        }
        let ours = |kind: &EventKind| matches!(kind, EventKind::Requests(_) | EventKind::Client(_));
        bed.timeline.events.retain(|event| !ours(&event.kind));
        for (index, until) in clients.iter().enumerate() {
            let name = format!("client {index}");
            bed.push(0, client(&name));
            for second in 0..*until {
                let EventKind::Requests(mut counts) = counts(second, 100, 0) else {
                    unreachable!("counts are counts");
                };
                counts.client.clone_from(&name);
                bed.push(second, EventKind::Requests(counts));
            }
        }
        let verdict = bed.judge(&Gates::for_import());
        let gate = gate(&verdict, "maxFailed");
        assert_eq!(gate.status, status, "{deleted} {clients:?}");
        assert_eq!(gate.missing.is_empty(), status == held);
    }
}

#[test]
fn the_latency_of_clients_that_were_not_all_counted_may_break_its_gate_and_not_hold_it() {
    let (held, broken, unseen) = (
        GateStatus::Held,
        GateStatus::Broken,
        GateStatus::Inconclusive,
    );
    for (hole, limit, status) in [
        (None, 50, held),
        (None, 30, broken),
        (Some("requests/mesh"), 50, unseen),
        (Some("requests/mesh"), 30, broken),
        (Some("not counted"), 50, unseen),
        (Some("not counted"), 30, broken),
    ] {
        let mut bed = Bed::new();
        let latency = LatencySummary {
            client: "local".into(),
            class: "fast".into(),
            connection: ConnectionKind::New,
            count: 2_000,
            p50: 9_000_000,
            p90: 20_000_000,
            p99: 40_000_000,
            p999: 50_000_000,
            max: 60_000_000,
        };
        bed.push(20, EventKind::Latency(latency));
        match hole {
            Some("not counted") => {
                let EventKind::Client(mut other) = client("mesh") else {
                    unreachable!("a client is a client");
                };
                other.counted = false;
                bed.push(0, EventKind::Client(other));
            }
            Some(what) => blind(&mut bed, what, None, None),
            None => {}
        }
        let gates = Gates {
            max_p99: Some(std::time::Duration::from_millis(limit)),
            ..Gates::default()
        };
        let verdict = bed.judge(&gates);
        let p99 = gate(&verdict, "maxP99");
        assert_eq!(p99.status, status, "{hole:?} {limit}");
        assert_eq!(p99.missing.is_empty(), hole.is_none());
        let failed = gate(&verdict, "maxFailed");
        assert_eq!(failed.missing.is_empty(), hole.is_none());
    }
}

#[test]
fn a_pod_whose_end_lies_beyond_the_record_takes_its_gates_their_evidence() {
    for kind in [SidecarKind::Classic, SidecarKind::Native] {
        let mut bed = meshed();
        let pod = &mut bed.findings.pods[0];
        pod.sidecar = Some(kind);
        pod.exit_codes.clear();
        (pod.sidecar_lead_s, pod.outbound_failures) = (None, None);
        pod.missing = vec![Missing::ExitCodes];
        let verdict = bed.judge(&Gates::default());
        for name in ["maxSigkills", "maxOutboundFailures", "sidecarOutlivesApp"] {
            let gate = gate(&verdict, name);
            assert_eq!(gate.status, GateStatus::Inconclusive, "{kind:?}: {name}");
            assert_eq!(gate.missing, [Missing::ExitCodes], "{kind:?}: {name}");
        }
    }
}

#[test]
fn a_native_sidecar_outlives_its_app_by_construction_unless_the_grace_ran_out() {
    let (held, doubtful) = (GateStatus::Held, GateStatus::Inconclusive);
    let (rough, after) = ((-1.1, 1.7), (-2.4, 0.4));
    let lost = || vec![Missing::AgentLogs];
    for (hazard, between, missing, status) in [
        (None, Some(rough), lost(), held),
        (None, None, lost(), held),
        (Some("sigkill:app"), None, lost(), doubtful),
        (Some("sigkill:app"), Some(rough), lost(), doubtful),
        (Some("prestop-failed:app"), Some(rough), lost(), doubtful),
        (Some("sigkill:app"), Some(after), lost(), held),
        (Some("sigkill:app"), Some((-0.45, 0.45)), vec![], held),
    ] {
        let mut bed = meshed();
        let pod = &mut bed.findings.pods[0];
        pod.sidecar = Some(SidecarKind::Native);
        pod.sidecar_lead_s = between.map(|(least, most)| f64::midpoint(least, most));
        pod.sidecar_lead_between_s = between;
        pod.hazards = hazard.into_iter().map(str::to_owned).collect();
        pod.missing.clone_from(&missing);
        let verdict = bed.judge(&Gates::default());
        let gate = gate(&verdict, "sidecarOutlivesApp");
        assert_eq!(gate.status, status, "{hazard:?}, {between:?}, {missing:?}");
        assert_eq!(gate.missing, if status == held { vec![] } else { missing });
    }
}
