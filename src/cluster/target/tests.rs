//! Targets against an API server in memory.

use super::*;
use crate::cluster::mock::{MemoryApi, status};
use crate::error::Chain;
use crate::scenario::WorkloadKind;
use serde_json::{Value, json};

const NAMESPACE: &str = "/api/v1/namespaces/shop";
const APPS: &str = "/apis/apps/v1/namespaces/shop";

fn target(name: &str, service: &str) -> Target {
    Target {
        workload: Workload {
            kind: WorkloadKind::Deployment,
            name: name.to_owned(),
        },
        namespace: None,
        service: Some(service.to_owned()),
        port: None,
        url: None,
    }
}

fn pod(name: &str, owner: &str, containers: &[&str]) -> Value {
    let containers: Vec<Value> = containers
        .iter()
        .map(|name| json!({"name": name}))
        .collect();
    json!({
        "metadata": {
            "name": name, "uid": format!("uid-{name}"), "labels": {"app": "demo"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs",
                                 "uid": owner, "controller": true}]
        },
        "spec": {"containers": containers},
        "status": {"phase": "Running", "podIP": "10.244.0.2",
                   "conditions": [{"type": "Ready", "status": "True"}]}
    })
}

fn shop() -> MemoryApi {
    let api = MemoryApi::start();
    api.put(
        &format!("{APPS}/deployments/demo"),
        json!({
            "metadata": {"name": "demo", "uid": "d1"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "demo"}},
                "template": {
                    "metadata": {"labels": {"app": "demo"}},
                    "spec": {
                        "terminationGracePeriodSeconds": 12,
                        "containers": [{"name": "app", "image": "shop/app:1"}]
                    }
                }
            }
        }),
    );
    api.put(
        &format!("{NAMESPACE}/services/demo"),
        json!({
            "metadata": {"name": "demo"},
            "spec": {"selector": {"app": "demo"}, "clusterIP": "10.96.0.10",
                     "ports": [{"port": 80, "targetPort": 8080}]}
        }),
    );
    api.put(
        &format!("{APPS}/replicasets/rs"),
        json!({"metadata": {"name": "rs", "uid": "r1", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "demo", "uid": "d1",
             "controller": true}]}}),
    );
    api.put(
        &format!("{NAMESPACE}/pods/demo-a"),
        pod("demo-a", "r1", &["app", "istio-proxy"]),
    );
    api.put(
        &format!("{NAMESPACE}/pods/stray"),
        pod("stray", "somebody-else", &["app"]),
    );
    api
}

#[tokio::test]
async fn a_target_has_its_own_pods_and_their_injected_containers() {
    let target = ResolvedTarget::resolve(&shop().cluster(), &target("demo", "demo"))
        .await
        .unwrap();
    let pods: Vec<&str> = target.pods.iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!(
        pods,
        ["demo-a"],
        "a pod with the labels of the workload is not its own"
    );
    let containers: Vec<&str> = target
        .containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    assert_eq!(containers, ["app", "istio-proxy"]);
    assert!(target.meshed());
    assert_eq!(target.grace, Duration::from_secs(12));
    let service = target.service.unwrap();
    assert_eq!(service.address().as_deref(), Some("10.96.0.10:80"));
    assert_eq!(service.target_port, Some(8080));
}

#[tokio::test]
async fn a_headless_service_is_enough_beside_a_url_and_not_without() {
    for (ports, target_port) in [
        (json!([{"port": 80, "targetPort": 8080}]), Some(8080)),
        (json!([]), None),
    ] {
        let api = shop();
        api.change(&format!("{NAMESPACE}/services/demo"), |service| {
            service["spec"]["clusterIP"] = json!("None");
            service["spec"]["ports"] = ports;
        });
        let mut target = target("demo", "demo");
        let error = ResolvedTarget::resolve(&api.cluster(), &target).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("ask a URL with `target.url`"), "{error}");
        target.url = Some("http://demo.example.org".to_owned());
        let resolved = ResolvedTarget::resolve(&api.cluster(), &target).await;
        let service = resolved.unwrap().service.unwrap();
        assert_eq!(service.name, "demo", "its slices list the pods");
        assert_eq!(service.address(), None);
        assert_eq!(service.target_port, target_port);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_answered_with_what_does() {
    let api = shop();
    let error = ResolvedTarget::resolve(&api.cluster(), &target("dmeo", "demo"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "deployment `dmeo` not found in namespace `shop`\n\
         hint: did you mean `demo`? deployments there: `demo`"
    );
    let error = ResolvedTarget::resolve(&api.cluster(), &target("demo", "checkout"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "service `checkout` not found in namespace `shop`\n\
         hint: services there: `demo`"
    );
}

#[tokio::test]
async fn an_expired_token_says_what_to_do() {
    let api = MemoryApi::start();
    api.answer(|_, _| Some(status(401, "Unauthorized", "Unauthorized")));
    let error = ResolvedTarget::resolve(&api.cluster(), &target("demo", "demo"))
        .await
        .unwrap_err();
    assert_eq!(
        Chain(&error).to_string(),
        "failed to find the target\n  \
         caused by: the API server at `http://memory` does not accept the credentials: Unauthorized\n\
         hint: the token or certificate of this context is wrong or has expired; log in again"
    );
}
