//! Reading, writing and rights, through `kube`, and what is no request.

use super::cluster::Practice;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use lastwatch::lab::api::User;
use serde_json::{Value, json};

pub(crate) fn config(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(
        json!({"metadata": {"name": name, "labels": {"color": value}}, "data": {"v": value}}),
    )
    .unwrap()
}

/// The version from which a watch sees what comes from now on.
pub(crate) async fn version(configs: &Api<ConfigMap>) -> String {
    let list = configs.list(&ListParams::default()).await.unwrap();
    list.metadata.resource_version.unwrap()
}

pub(crate) fn code(error: &kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.message.clone()),
        other => panic!("no answer of the API: {other:?}"),
    }
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
