//! Modifiers, and causes outside the target: budgets, autoscalers, load balancers, gateways.

use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage, address, stamp, transport};
use super::{Cause, Confidence, Modifier};
use crate::evidence::{
    Blindness, Change, ErrorClass, EventKind, Origin, Outcome, RequestPhase, Resource,
};
use serde_json::{Value, json};

fn modifiers(stage: Stage) -> Vec<Modifier> {
    stage.explain().failures[0].modifiers.clone()
}

fn evicted(origin: Origin, budget: Option<Value>) -> Vec<Modifier> {
    let mut stage = Stage::new().with_old_pods();
    stage.origin = origin;
    if let Some(selector) = budget {
        let budget = json!({"metadata": {"name": "demo"}, "spec": {"selector": selector}});
        stage.object(0, Resource::PodDisruptionBudgets, Change::Added, budget);
    }
    let mut going = stage.pod(
        "old-1",
        json!({"running": {"startedAt": stamp(-60 * SECOND)}}),
        Some((AT, 30)),
        true,
    );
    let target =
        json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"});
    let conditions = going["status"]["conditions"].as_array_mut();
    conditions.expect("a pod has conditions").push(target);
    stage.object(AT, Resource::Pods, Change::Modified, going);
    stage.end("old-1", AT, Ending::at_once(), STAYS);
    stage.refused(AT + 100 * MILLI);
    modifiers(stage)
}

#[test]
fn an_eviction_is_without_a_budget_only_where_budgets_were_seen_and_none_covered_the_pod() {
    let without = |found: Vec<Modifier>| found.contains(&Modifier::EvictedWithoutBudget);
    assert!(without(evicted(Origin::Live, None)));
    assert!(without(evicted(
        Origin::Live,
        Some(json!({"matchLabels": {"app": "other"}}))
    )));
    assert!(!without(evicted(
        Origin::Live,
        Some(json!({"matchLabels": {"app": "demo"}}))
    )));
    assert!(
        !without(evicted(Origin::Import, None)),
        "nobody saw whether there is one"
    );
}

#[test]
fn a_workload_that_an_autoscaler_shrank_says_so() {
    for told in [true, false] {
        let mut stage = Stage::new().with_old_pods();
        let size =
            |replicas: u64| json!({"metadata": {"name": "demo"}, "spec": {"replicas": replicas}});
        stage.object(0, Resource::Deployments, Change::Added, size(2));
        stage.object(
            AT - 100 * MILLI,
            Resource::Deployments,
            Change::Modified,
            size(1),
        );
        let size = if told { 1 } else { 5 };
        let rescale = json!({"involvedObject": {"kind": "HorizontalPodAutoscaler", "name": "demo"},
            "reason": "SuccessfulRescale", "message": format!("New size: {size}; reason: All metrics below target")});
        stage.object(AT, Resource::Events, Change::Added, rescale);
        stage.end("old-1", AT, Ending::at_once(), STAYS);
        stage.refused(AT + 100 * MILLI);
        assert_eq!(modifiers(stage).contains(&Modifier::Autoscaler), told);
    }
}

#[test]
fn readiness_that_goes_and_comes_without_an_end_flaps() {
    let mut stage = Stage::new().with_old_pods();
    let both = |ready| {
        [
            ("old-1", ready, ready, false),
            ("old-2", ready, ready, false),
        ]
    };
    stage.slice(AT, &both(false));
    stage.slice(AT + 4 * SECOND, &both(true));
    stage.refused(AT + 2 * SECOND);
    let found = stage.explain();
    assert_eq!(found.failures[0].cause, Cause::NoReadyEndpoint);
    assert!(
        found.failures[0]
            .modifiers
            .contains(&Modifier::ReadinessFlapping)
    );
}

#[test]
fn an_attempt_that_hung_and_was_tried_elsewhere_was_masked() {
    let mut stage = Stage::new().with_old_pods();
    stage.client("mesh", true);
    stage.end("old-1", AT, Ending::at_once(), STAYS);
    let timeout = || transport(ErrorClass::Timeout);
    // A plain client shows that the routes still led there.
    stage.fail(AT + SECOND, 5 * SECOND, timeout(), RequestPhase::Connect);
    let request = stage.fail(
        AT + SECOND,
        12 * SECOND,
        timeout(),
        RequestPhase::WaitHeaders,
    );
    request.client = "mesh".to_owned();
    request.request_id = "h".to_owned();
    let line = Line {
        local: "10.0.2.9:40112",
        ..Line::HUNG
    };
    let host = format!("{}:8080", address("old-2"));
    stage.client_line("h", AT + SECOND, 12 * SECOND, &host, line);
    let found = stage.explain();
    let hung = &found.failures[1];
    assert_eq!(hung.cause, Cause::EndpointPropagation);
    assert!(hung.modifiers.contains(&Modifier::MaskedByRetry));
    assert_eq!(hung.pod, None, "the pod that it ended on is innocent");
}

/// A run whose scenario says more.
fn with_plan(target: &str, more: &str) -> Stage {
    let text = format!(
        "
apiVersion: lastwatch.dev/v1alpha1
kind: Scenario
metadata: {{name: outer}}
spec:
  target: {{workload: deployment/demo, service: demo{target}}}
  load: {{rate: 10/s, requests: [{{path: /}}]}}
  steps: [{{rollingRestart: {{}}}}]
{more}"
    );
    let folder = std::path::Path::new(".");
    let plan = crate::scenario::read_str("outer", &text, folder, &|_| None).expect("a plan");
    let mut stage = Stage::new().with_old_pods();
    stage.plan = serde_json::to_value(plan).expect("a plan is data");
    stage
}

/// A run that asks through a URL.
fn outer() -> Stage {
    let mut stage = with_plan(", url: \"http://shop.example/\"", "");
    stage.end("old-1", AT, Ending::at_once(), STAYS);
    stage
}

fn bad_gateway(stage: &mut Stage, at: i64) {
    let status = Outcome::Status {
        code: 502,
        grpc: None,
    };
    let request = stage.fail(at, 5 * MILLI, status, RequestPhase::Body);
    request.response.server = Some("awselb/2.0".to_owned());
    request.response.body = Some("<html>502 Bad Gateway</html>".to_owned());
}

#[test]
fn what_fails_long_after_the_withdrawal_behind_a_url_is_the_load_balancer_s() {
    let mut stage = outer();
    bad_gateway(&mut stage, AT + 40 * SECOND);
    stage.fail(
        AT + 30 * SECOND,
        5 * SECOND,
        transport(ErrorClass::Timeout),
        RequestPhase::Connect,
    );
    assert_eq!(stage.causes(), [Cause::LoadBalancerDeregistration; 2]);

    // Where the same is asked inside the cluster, no load balancer is on the way.
    let mut stage = outer();
    stage.plan = Value::Null;
    bad_gateway(&mut stage, AT + 40 * SECOND);
    assert_eq!(stage.causes(), [Cause::ApplicationError]);

    // Before anything is withdrawn nobody lags.
    let mut stage = outer();
    bad_gateway(&mut stage, AT - SECOND);
    assert_eq!(stage.causes(), [Cause::ApplicationError]);
}

#[test]
fn a_gateway_that_ends_while_the_target_stays_was_restarted() {
    for labels in [
        json!({"gateway.networking.k8s.io/gateway-name": "edge"}),
        json!({"gateway.istio.io/managed": "istio.io-mesh-controller"}),
        json!({"app": "ztunnel"}),
    ] {
        let mut stage = Stage::new().with_old_pods();
        let state = |state: Value| {
            json!({"metadata": {"name": "edge-1", "namespace": "n", "uid": "edge-1", "labels": labels,
                    "ownerReferences": [{"kind": "ReplicaSet", "name": "edge-x", "controller": true}]},
                "spec": {"nodeName": "node1", "containers": [{"name": "istio-proxy"}]},
                "status": {"phase": "Running", "containerStatuses": [{"name": "istio-proxy", "state": state}]}})
        };
        let running = state(json!({"running": {"startedAt": stamp(-60 * SECOND)}}));
        stage.object(0, Resource::Pods, Change::Added, running);
        let ended = state(json!({"terminated": {"exitCode": 0, "reason": "Completed",
            "startedAt": stamp(-60 * SECOND), "finishedAt": stamp(AT)}}));
        stage.object(AT + 300 * MILLI, Resource::Pods, Change::Modified, ended);
        stage.fail(
            AT - 3 * SECOND,
            3 * SECOND,
            transport(ErrorClass::Reset),
            RequestPhase::WaitHeaders,
        );
        stage.refused(AT + SECOND);
        assert_eq!(
            stage.causes(),
            [Cause::IntermediaryRestarted; 2],
            "{labels}"
        );
    }
}

/// A run whose scenario says that gateways elsewhere are on the way, with a request that met a late route.
/// A pod of a proxy alone lives in this namespace.
fn behind_gateways(place: &str) -> Stage {
    let mut stage = with_plan("", "  observe: {gateways: [istio-system]}");
    let gateway = json!({
        "metadata": {"name": "gateway-1", "namespace": place, "uid": "gateway-1"},
        "spec": {"containers": [{"name": "istio-proxy"}]},
    });
    stage.object(0, Resource::Pods, Change::Added, gateway);
    stage.end("old-1", AT, Ending::at_once(), STAYS);
    stage.refused(AT + 300 * MILLI);
    stage
}

#[test]
fn what_gateways_did_must_have_been_seen_where_they_are_said_to_be_on_the_way() {
    for (place, expected) in [
        ("istio-system", Confidence::Proved),
        // Nothing in the namespace was one.
        ("elsewhere", Confidence::Consistent),
    ] {
        let found = behind_gateways(place).explain();
        let (cause, confidence) = (found.failures[0].cause, found.failures[0].confidence);
        assert_eq!(
            (cause, confidence),
            (Cause::EndpointPropagation, expected),
            "{place}"
        );
    }

    let mut stage = behind_gateways("istio-system");
    let gap = Blindness {
        what: "gateways in istio-system".to_owned(),
        from: None,
        to: None,
        reason: "forbidden".to_owned(),
        uids: None,
        resumed: false,
    };
    stage.at(0, EventKind::Blind(gap));
    let found = stage.explain();
    let (cause, confidence) = (found.failures[0].cause, found.failures[0].confidence);
    assert_eq!(
        (cause, confidence),
        (Cause::EndpointPropagation, Confidence::Consistent)
    );
}

#[test]
fn a_workload_of_the_same_name_elsewhere_is_not_the_target() {
    let mut stage = Stage::new().with_old_pods();
    let killed = json!({"metadata": {"name": "demo-77-x", "namespace": "istio-system", "uid": "x",
            "ownerReferences": [{"kind": "ReplicaSet", "name": "demo-77", "controller": true}]},
        "spec": {"nodeName": "node1", "containers": [{"name": "istio-proxy"}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "istio-proxy",
            "state": {"terminated": {"exitCode": 137, "reason": "Error",
                "startedAt": stamp(-60 * SECOND), "finishedAt": stamp(AT)}}}]}});
    stage.object(AT, Resource::Pods, Change::Modified, killed);
    let found = stage.explain();
    let pods: Vec<&str> = found.pods.iter().map(|pod| pod.pod.as_str()).collect();
    assert_eq!(pods, [""; 0]);
}
