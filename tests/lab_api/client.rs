//! Reading, writing, watching, rights and subresources, through `kube`.

use super::cluster::{Practice, demo};
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::Api;
use kube::api::{
    DeleteParams, EvictParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use kube::runtime::{WatchStreamExt, watcher};
use lastwatch::lab::api::User;
use lastwatch::task::wait_until;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(20);

fn config(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(
        json!({"metadata": {"name": name, "labels": {"color": value}}, "data": {"v": value}}),
    )
    .unwrap()
}

fn code(error: &kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.message.clone()),
        other => panic!("no answer of the API: {other:?}"),
    }
}

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
async fn objects_are_created_read_changed_and_deleted() {
    let practice = Practice::start().await;
    let configs: Api<ConfigMap> = Api::default_namespaced(practice.client().await);
    let created = configs
        .create(&PostParams::default(), &config("a", "red"))
        .await
        .unwrap();
    assert!(created.metadata.uid.is_some());
    let twice = configs
        .create(&PostParams::default(), &config("a", "red"))
        .await
        .unwrap_err();
    assert_eq!(
        code(&twice),
        (409, "configmaps \"a\" already exists".into())
    );

    let mut replaced = created.clone();
    replaced
        .data
        .as_mut()
        .unwrap()
        .insert("v".into(), "blue".into());
    configs
        .replace("a", &PostParams::default(), &replaced)
        .await
        .unwrap();
    let stale = configs
        .replace("a", &PostParams::default(), &replaced)
        .await
        .unwrap_err();
    assert_eq!(code(&stale).0, 409, "its resourceVersion is old");

    let patch = Patch::Merge(json!({"data": {"w": "1", "v": null}}));
    let patched = configs
        .patch("a", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(patched.data.unwrap().keys().collect::<Vec<_>>(), ["w"]);
    let applied =
        Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"x": "2"}}));
    let params = PatchParams::apply("test");
    let patched = configs.patch("a", &params, &applied).await.unwrap();
    assert_eq!(patched.data.unwrap().len(), 2);
    assert!(
        configs
            .patch("new", &params, &applied)
            .await
            .unwrap()
            .metadata
            .uid
            .is_some()
    );

    configs.delete("a", &DeleteParams::default()).await.unwrap();
    let gone = configs.get("a").await.unwrap_err();
    assert_eq!(code(&gone), (404, "configmaps \"a\" not found".into()));
    practice.stop().await;
}

#[tokio::test]
async fn a_dry_run_answers_as_if_and_stores_nothing() {
    let practice = Practice::start().await;
    let configs: Api<ConfigMap> = Api::default_namespaced(practice.client().await);
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    assert!(
        configs
            .create(&dry, &config("a", "red"))
            .await
            .unwrap()
            .metadata
            .uid
            .is_some()
    );
    assert!(configs.get_opt("a").await.unwrap().is_none());
    configs
        .create(&PostParams::default(), &config("a", "red"))
        .await
        .unwrap();
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"data": {"v": "blue"}}));
    let shown = configs.patch("a", &params, &patch).await.unwrap();
    assert_eq!(shown.data.unwrap()["v"], "blue");
    configs
        .delete("a", &DeleteParams::default().dry_run())
        .await
        .unwrap();
    assert_eq!(configs.get("a").await.unwrap().data.unwrap()["v"], "red");
    practice.stop().await;
}

#[tokio::test]
async fn pages_show_one_moment_even_when_objects_change_between_them() {
    let practice = Practice::start().await;
    let configs: Api<ConfigMap> = Api::default_namespaced(practice.client().await);
    for at in 0..7 {
        configs
            .create(&PostParams::default(), &config(&format!("c{at}"), "red"))
            .await
            .unwrap();
    }
    let first = configs.list(&ListParams::default().limit(3)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(4));
    configs
        .delete("c5", &DeleteParams::default())
        .await
        .unwrap();
    let mut names: Vec<String> = first
        .iter()
        .filter_map(|c| c.metadata.name.clone())
        .collect();
    let mut next = first.metadata.continue_.clone();
    while let Some(token) = next.filter(|token| !token.is_empty()) {
        let page = configs
            .list(&ListParams::default().limit(3).continue_token(&token))
            .await
            .unwrap();
        names.extend(page.iter().filter_map(|c| c.metadata.name.clone()));
        next = page.metadata.continue_.clone();
    }
    assert_eq!(names, ["c0", "c1", "c2", "c3", "c4", "c5", "c6"]);
    let chosen = configs
        .list(&ListParams::default().fields("metadata.name=c3"))
        .await
        .unwrap();
    assert_eq!(chosen.items.len(), 1);
    practice.stop().await;
}

#[tokio::test]
async fn a_selective_watch_sees_objects_come_in_and_leave() {
    let practice = Practice::start().await;
    let configs: Api<ConfigMap> = Api::default_namespaced(practice.client().await);
    let version = configs
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let params = WatchParams::default().labels("color=red");
    let mut watch = configs.watch(&params, &version).await.unwrap().boxed();
    let paint = |color: &str| Patch::Merge(json!({"metadata": {"labels": {"color": color}}}));
    configs
        .create(&PostParams::default(), &config("a", "blue"))
        .await
        .unwrap();
    for color in ["red", "blue"] {
        configs
            .patch("a", &PatchParams::default(), &paint(color))
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(match watch.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(_) => "in",
            WatchEvent::Deleted(_) => "out",
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["in", "out"]);
    practice.stop().await;
}

#[tokio::test]
async fn both_ways_of_starting_a_watcher_agree() {
    let practice = Practice::start().await;
    let configs: Api<ConfigMap> = Api::default_namespaced(practice.client().await);
    for name in ["a", "b"] {
        configs
            .create(&PostParams::default(), &config(name, "red"))
            .await
            .unwrap();
    }
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let stream = watcher(configs.clone(), config).applied_objects().take(2);
        let names: Vec<String> = tokio::time::timeout(
            PATIENCE,
            stream.map_ok(|c| c.metadata.name.unwrap()).try_collect(),
        )
        .await
        .expect("both are told in time")
        .unwrap();
        assert_eq!(names, ["a", "b"]);
    }
    practice.stop().await;
}

#[tokio::test]
async fn rights_are_what_roles_give_and_refusals_say_so() {
    let practice = Practice::start().await;
    for (resource, object) in [
        (
            "roles",
            json!({"metadata": {"name": "reader", "namespace": "default"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}),
        ),
        (
            "rolebindings",
            json!({"metadata": {"name": "reader", "namespace": "default"}, "roleRef": {"kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "harness"}]}),
        ),
    ] {
        practice.store.create(resource, object).unwrap();
    }
    let token = practice
        .api
        .issue_token(User::service_account("default", "harness"));
    let client = practice.client_of(&token).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    pods.list(&ListParams::default()).await.unwrap();
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let refused = deployments
        .patch("demo", &PatchParams::default(), &Patch::Merge(json!({})))
        .await
        .unwrap_err();
    assert_eq!(
        code(&refused),
        (403, "deployments.apps \"demo\" is forbidden: User \"system:serviceaccount:default:harness\" cannot patch resource \"deployments\" in API group \"apps\" in the namespace \"default\"".into())
    );
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    for (verb, allowed) in [("list", true), ("delete", false)] {
        let attributes = ResourceAttributes {
            namespace: Some("default".into()),
            resource: Some("pods".into()),
            verb: Some(verb.into()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..Default::default()
            },
            ..Default::default()
        };
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap();
        assert_eq!(answer.status.unwrap().allowed, allowed, "{verb}");
    }
    practice.api.revoke_token(&token);
    assert_eq!(
        code(&pods.list(&ListParams::default()).await.unwrap_err()).0,
        401
    );
    let mine: Vec<(String, u16)> = practice
        .api
        .requests()
        .into_iter()
        .filter(|record| record.user.ends_with(":harness"))
        .map(|record| (format!("{} {}", record.verb, record.resource), record.code))
        .collect();
    assert_eq!(
        mine,
        [
            ("list pods".to_owned(), 200),
            ("patch deployments".to_owned(), 403)
        ]
    );
    practice.stop().await;
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

#[tokio::test]
async fn what_is_no_request_is_answered_and_never_a_panic() {
    let practice = Practice::start().await;
    let client = practice.client().await;
    for (method, path, kind, body, code) in [
        (
            "POST",
            "/api/v1/namespaces/default/pods",
            "application/json",
            "{",
            400,
        ),
        (
            "POST",
            "/api/v1/namespaces/default/pods",
            "application/json",
            "[]",
            400,
        ),
        (
            "POST",
            "/api/v1/namespaces/default/pods",
            "application/json",
            "{\"metadata\": 3}",
            400,
        ),
        (
            "POST",
            "/api/v1/namespaces/default/pods",
            "application/json",
            "{\"kind\": \"Node\"}",
            400,
        ),
        (
            "POST",
            "/api/v1/namespaces/default/pods",
            "application/vnd.kubernetes.protobuf",
            "k8s",
            400,
        ),
        (
            "POST",
            "/api/v1/namespaces/default/pods",
            "application/json",
            "{\"metadata\": {\"name\": \"x\", \"namespace\": \"other\"}}",
            400,
        ),
        (
            "PATCH",
            "/api/v1/namespaces/default/configmaps/none",
            "application/merge-patch+json",
            "{}",
            404,
        ),
        (
            "PATCH",
            "/api/v1/namespaces/default/configmaps/none",
            "application/xml",
            "{}",
            415,
        ),
        ("GET", "/api/v1/pods?limit=few", "", "", 400),
        ("GET", "/api/v1/pods?continue=x", "", "", 400),
        ("GET", "/api/v1/pods?labelSelector=a%20in", "", "", 400),
        (
            "GET",
            "/api/v1/pods?fieldSelector=spec.unknown%3D1",
            "",
            "",
            400,
        ),
        ("GET", "/apis/nothing/v1/things", "", "", 404),
        (
            "PUT",
            "/api/v1/namespaces/default/configmaps",
            "application/json",
            "{}",
            405,
        ),
        (
            "DELETE",
            "/api/v1/namespaces/default/configmaps/none",
            "application/json",
            "{\"gracePeriodSeconds\": \"x\"}",
            400,
        ),
        (
            "POST",
            "/lab/faults",
            "application/json",
            "{\"unheardOf\": 1}",
            400,
        ),
    ] {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(body.as_bytes().to_vec())
            .unwrap();
        let error = client.request::<Value>(request).await.unwrap_err();
        assert_eq!(
            super::client::code(&error).0,
            code,
            "{method} {path} {body}"
        );
    }
    practice.stop().await;
}
