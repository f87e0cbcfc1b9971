//! Preflight against an API server in memory.

use super::*;
use crate::cluster::mock::MemoryApi;
use crate::scenario::{Plan, read_str};
use serde_json::{Value, json};
use std::path::Path;

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/demo";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/lastwatch-deployment-demo";

fn plan(steps: Value) -> Plan {
    let scenario = json!({
        "apiVersion": "lastwatch.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "x"},
        "spec": {
            "target": {"workload": "deployment/demo", "service": "demo"},
            "load": {"rate": "10/s", "requests": [{"name": "all", "path": "/"}]},
            "steps": steps
        }
    });
    read_str("x.yaml", &scenario.to_string(), Path::new(""), &|_| None).unwrap()
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
    let error = preflight(&cluster, &plan, "mine", false).await.unwrap_err();
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
    let ready = preflight(&api.cluster(), &plan, "mine", false)
        .await
        .unwrap();
    assert_eq!(
        ready.notes,
        ["no right to watch nodes: a lost node is told less surely"]
    );
    let text = crate::disrupt::dry_run(&api.cluster(), &plan, &ready.target);
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
    let error = preflight(&api.cluster(), &plan, "mine", false)
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
    let error = preflight(&api.cluster(), &plan, "mine", false)
        .await
        .unwrap_err();
    assert!(error.is_usage());
    assert!(
        error.to_string().contains("did you mean `demo`?"),
        "{error}"
    );
}
