//! Evictions, logs, scales and namespaces, through `kube`.

use super::client::{code, config};
use super::cluster::{Practice, demo};
use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::Api;
use kube::api::{DeleteParams, EvictParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use lastwatch::task::wait_until;
use serde_json::json;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(20);

async fn pods_ready(practice: &Practice, count: usize) {
    let pods: Api<Pod> = Api::default_namespaced(practice.client().await);
    wait_until("ready pods", PATIENCE, EVERY, || async {
        let all = pods
            .list(&ListParams::default().labels("app=demo"))
            .await
            .unwrap();
        let ready = all.iter().filter(|pod| is_ready(pod)).count();
        if ready == count {
            Ok(())
        } else {
            Err(format!("{ready} of {}", all.items.len()))
        }
    })
    .await
    .unwrap();
}

fn is_ready(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[tokio::test]
async fn an_eviction_meets_budgets_as_in_a_real_cluster() {
    let practice = Practice::start().await;
    for (resource, object) in ["deployments", "services"].into_iter().zip(demo(2)) {
        practice.store.create(resource, object).unwrap();
    }
    pods_ready(&practice, 2).await;
    let budget = |name: &str, least: i64| json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": "demo"}}}});
    practice
        .store
        .create("poddisruptionbudgets", budget("tight", 2))
        .unwrap();
    wait_until("the budget to be counted", PATIENCE, EVERY, || async {
        let own = practice
            .store
            .get("poddisruptionbudgets", Some("default"), "tight")
            .unwrap();
        if own["status"]["currentHealthy"] == 2 {
            Ok(())
        } else {
            Err(own["status"].to_string())
        }
    })
    .await
    .unwrap();
    let pods: Api<Pod> = Api::default_namespaced(practice.client().await);
    let name = pods.list(&ListParams::default()).await.unwrap().items[0]
        .metadata
        .name
        .clone()
        .unwrap();
    let blocked = pods
        .evict(&name, &EvictParams::default())
        .await
        .unwrap_err();
    let kube::Error::Api(status) = &blocked else {
        panic!("{blocked:?}")
    };
    assert_eq!(
        (status.code, status.reason.as_str()),
        (429, "TooManyRequests")
    );
    let cause = &status.details.as_ref().unwrap().causes[0];
    assert_eq!(cause.reason, "DisruptionBudget");
    assert_eq!(
        cause.message,
        "The disruption budget tight needs 2 healthy pods and has 2 currently"
    );

    practice
        .store
        .create("poddisruptionbudgets", budget("second", 1))
        .unwrap();
    assert_eq!(
        code(
            &pods
                .evict(&name, &EvictParams::default())
                .await
                .unwrap_err()
        )
        .0,
        500
    );
    for name in ["tight", "second"] {
        practice
            .store
            .delete(
                "poddisruptionbudgets",
                Some("default"),
                name,
                Default::default(),
            )
            .unwrap();
    }
    pods.evict(&name, &EvictParams::default()).await.unwrap();
    let pod = practice.store.get("pods", Some("default"), &name).unwrap();
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    let target = pod["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["type"] == "DisruptionTarget")
        .unwrap();
    assert_eq!(target["reason"], "EvictionByEvictionAPI");
    practice.stop().await;
}

#[tokio::test]
async fn logs_scale_and_namespaces_work_through_their_subresources() {
    let practice = Practice::start().await;
    let client = practice.client().await;
    practice
        .store
        .create("deployments", demo(1)[0].clone())
        .unwrap();
    pods_ready(&practice, 1).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let name = pods.list(&ListParams::default()).await.unwrap().items[0]
        .metadata
        .name
        .clone()
        .unwrap();
    let params = LogParams {
        follow: true,
        timestamps: true,
        ..LogParams::default()
    };
    let mut lines = pods.log_stream(&name, &params).await.unwrap().lines();
    let line = lines.try_next().await.unwrap().unwrap();
    assert_eq!(
        line,
        format!("2026-01-02T03:04:05.000000001Z first of {name} app")
    );
    let wrong = LogParams {
        container: Some("other".into()),
        ..LogParams::default()
    };
    assert_eq!(code(&pods.logs(&name, &wrong).await.unwrap_err()).0, 400);

    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let scale = deployments
        .patch_scale("demo", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(3));
    pods_ready(&practice, 3).await;
    assert_eq!(
        deployments
            .get_scale("demo")
            .await
            .unwrap()
            .status
            .unwrap()
            .selector
            .as_deref(),
        Some("app=demo")
    );

    let namespaces: Api<Namespace> = Api::all(client.clone());
    let shop: Namespace = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
    namespaces
        .create(&PostParams::default(), &shop)
        .await
        .unwrap();
    let configs: Api<ConfigMap> = Api::namespaced(client.clone(), "shop");
    configs
        .create(&PostParams::default(), &config("a", "red"))
        .await
        .unwrap();
    let nowhere: Api<ConfigMap> = Api::namespaced(client, "nowhere");
    let refused = nowhere
        .create(&PostParams::default(), &config("a", "red"))
        .await
        .unwrap_err();
    assert_eq!(
        code(&refused),
        (404, "namespaces \"nowhere\" not found".into())
    );
    namespaces
        .delete("shop", &DeleteParams::default())
        .await
        .unwrap();
    wait_until("the namespace to go", PATIENCE, EVERY, || async {
        match namespaces.get_opt("shop").await.unwrap() {
            None => Ok(()),
            Some(left) => Err(format!("{:?}", left.status)),
        }
    })
    .await
    .unwrap();
    practice.stop().await;
}
