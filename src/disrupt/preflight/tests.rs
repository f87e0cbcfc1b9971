//! Preflight against an API server in memory.

use super::*;
use crate::cluster::mock::MemoryApi;
use crate::disrupt::testing;
use crate::scenario::Plan;
use serde_json::{Value, json};

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/demo";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/lastwatch-deployment-demo";

fn plan(steps: Value) -> Plan {
    testing::plan(&json!({"service": "demo"}), &steps)
}

/// A server that denies what `denied` names as `verb resource`.
fn shop(denied: &'static [&'static str]) -> MemoryApi {
    let api = MemoryApi::start();
    api.put(
        DEPLOYMENT,
        json!({
            "metadata": {"name": "demo", "uid": "d1", "generation": 1},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "demo"}},
                "template": {
                    "metadata": {"labels": {"app": "demo"}},
                    "spec": {"containers": [{"name": "app", "image": "app:1"}]}
                }
            },
            "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2,
                       "availableReplicas": 2}
        }),
    );
    api.put(
        "/api/v1/namespaces/shop/services/demo",
        json!({
            "metadata": {"name": "demo"},
            "spec": {"selector": {"app": "demo"}, "clusterIP": "10.96.0.10", "ports": [{"port": 80}]}
        }),
    );
    api.review(move |attributes| {
        let resource = attributes["resource"].as_str().unwrap();
        let verb = attributes["verb"].as_str().unwrap();
        let wish = match attributes["subresource"].as_str() {
            Some("") | None => format!("{verb} {resource}"),
            Some(sub) => format!("{verb} {resource}/{sub}"),
        };
        !denied.contains(&wish.as_str())
    });
    api
}

#[tokio::test]
async fn everything_that_stands_in_the_way_is_told_at_once() {
    let api = shop(&["patch deployments/scale", "create pods/eviction"]);
    api.change(DEPLOYMENT, |demo| {
        demo["status"]["availableReplicas"] = json!(1)
    });
    api.put(
        LEASE,
        json!({
            "metadata": {"name": "lastwatch-deployment-demo"},
            "spec": {"holderIdentity": "other", "leaseDurationSeconds": 15,
                     "renewTime": jiff::Timestamp::now().to_string()}
        }),
    );
    let cluster = Cluster::new(api.cluster().client(), "acme-prod", "http://memory", "shop");
    let plan = plan(json!([
        {"scale": {"to": 1}},
        {"evict": {"pods": 2}},
        {"setImage": {"container": "web", "image": "app:2"}}
    ]));
    let error = preflight(&cluster, &plan, "mine", false, |_| {})
        .await
        .unwrap_err();
    let text = error.to_string();
    for expected in [
        "preflight found 6 things in the way:",
        "- context `acme-prod` looks like production (`prod`)\n  hint: if it is meant, say so with `--yes-production`",
        "- 2 rights are missing in namespace `shop`: patch deployments/scale.apps, create pods/eviction",
        "  - apiGroups: [\"apps\"]\n    resources: [\"deployments/scale\"]\n    verbs: [\"patch\"]",
        "- steps[1] (evict): 2 pods are to go, and there are 1 by then",
        "- steps[2] (setImage): there is no container `web`",
        "- deployment/demo is not at rest: 1 of 2 pods are available",
        "- run `other` is at work on this workload",
    ] {
        assert!(text.contains(expected), "`{expected}` is not in:\n{text}");
    }
    assert!(
        api.writes()
            .iter()
            .all(|write| write.contains("selfsubjectaccessreviews"))
    );
    assert!(!error.is_usage());
}

#[tokio::test]
async fn a_plan_that_fits_passes_and_the_missing_wish_is_a_note() {
    let api = shop(&["list nodes", "watch nodes", "delete pods"]);
    let plan = plan(json!([{"rollingRestart": {}}]));
    let ready = preflight(&api.cluster(), &plan, "mine", false, |_| {})
        .await
        .unwrap();
    assert_eq!(
        ready.notes,
        ["no right to watch nodes: a lost node is told less surely"]
    );
    let text = crate::disrupt::dry_run(&api.cluster(), &plan, &ready.target);
    assert!(text.contains(", within 300s\n"), "{text}");
    assert!(
        text.contains("1. rollingRestart: set the pod template's annotation"),
        "{text}"
    );
    assert!(
        text.contains("a Lease lastwatch-deployment-demo keeps other runs away"),
        "{text}"
    );
}

#[tokio::test]
async fn a_missing_right_to_read_is_told_as_such_and_not_twice() {
    let api = shop(&["get deployments"]);
    api.answer(|verb, path| {
        (verb == "GET" && path == DEPLOYMENT)
            .then(|| crate::cluster::mock::status(403, "Forbidden", "no"))
    });
    let plan = plan(json!([{"rollingRestart": {}}]));
    let error = preflight(&api.cluster(), &plan, "mine", false, |_| {})
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("preflight found one thing in the way:\n- a right is missing"),
        "{text}"
    );
}

#[tokio::test]
async fn a_target_that_does_not_exist_is_the_scenarios_fault() {
    let api = shop(&[]);
    let mut plan = plan(json!([{"rollingRestart": {}}]));
    plan.target.service = Some("dmeo".to_owned());
    let error = preflight(&api.cluster(), &plan, "mine", false, |_| {})
        .await
        .unwrap_err();
    assert!(error.is_usage());
    assert!(
        error.to_string().contains("did you mean `demo`?"),
        "{error}"
    );
}

const PODS: &str = "/api/v1/namespaces/shop/pods";

/// A pod of an earlier rollout that still ends, or one with a finalizer that nobody takes away.
fn leave_a_pod(api: &MemoryApi) {
    let ends_by = jiff::Timestamp::now() + std::time::Duration::from_secs(20);
    api.put(
        &format!("{PODS}/demo-old"),
        json!({
            "metadata": {
                "name": "demo-old", "uid": "p0", "deletionTimestamp": ends_by.to_string(),
                "deletionGracePeriodSeconds": 30,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment",
                                     "name": "demo", "uid": "d1", "controller": true}]
            },
            "spec": {"containers": [{"name": "app"}]},
            "status": {"phase": "Running"}
        }),
    );
}

#[tokio::test(start_paused = true)]
async fn pods_that_still_end_are_waited_for_and_told() {
    let api = shop(&[]);
    leave_a_pod(&api);
    let ended = api.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(12)).await;
        ended.remove(&format!("{PODS}/demo-old"));
    });
    let plan = plan(json!([{"rollingRestart": {}}]));
    let told = std::sync::Mutex::new(Vec::new());
    let tell = |line: &str| told.lock().unwrap().push(line.to_owned());
    let ready = preflight(&api.cluster(), &plan, "mine", false, tell).await;
    assert!(ready.unwrap().target.pods.is_empty(), "as it is by now");
    let told = told.into_inner().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].ends_with(
            "pods of an earlier rollout of deployment/demo that are still terminating: demo-old"
        ),
        "{told:?}"
    );
}

/// Why a restart is refused, and after how long.
async fn refused_restart(api: &MemoryApi) -> (PreflightError, std::time::Duration) {
    let plan = plan(json!([{"rollingRestart": {}}]));
    let began = tokio::time::Instant::now();
    let refused = preflight(&api.cluster(), &plan, "mine", false, |_| {}).await;
    (refused.unwrap_err(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_end_stands_in_the_way_when_its_grace_is_over() {
    let api = shop(&[]);
    leave_a_pod(&api);
    let (error, waited) = refused_restart(&api).await;
    let text = error.to_string();
    assert!(
        text.contains("pods of an earlier rollout are still terminating: demo-old"),
        "{text}"
    );
    assert!(!error.is_usage());
    let waited = waited.as_secs();
    assert!((45..=52).contains(&waited), "20 s and the slack: {waited}");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_under_way_is_not_waited_for() {
    let api = shop(&[]);
    leave_a_pod(&api);
    api.change(DEPLOYMENT, |demo| {
        demo["status"]["updatedReplicas"] = json!(1)
    });
    let (error, waited) = refused_restart(&api).await;
    let text = error.to_string();
    assert!(
        text.contains("1 of 2 pods are of the newest template"),
        "{text}"
    );
    assert!(waited.is_zero(), "at once");
}
