use super::*;

fn store() -> Arc<Store> {
    Store::new()
}

fn config(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop"}, "data": {"a": "1"}})
}

fn put(store: &Store, name: &str, value: &str) -> Arc<Value> {
    store
        .update("configmaps", Some("shop"), name, |object| {
            object["data"]["a"] = json!(value);
            Ok(())
        })
        .expect("it exists")
}

#[test]
fn a_created_object_has_what_a_registry_fills() {
    let store = store();
    let pod = json!({"metadata": {"generateName": "demo-"}, "spec": {"containers": [{"name": "app", "image": "x"}]}});
    let pod = store.create("pods", pod).unwrap();
    assert!(object::name(&pod).starts_with("demo-") && object::name(&pod).len() == 10);
    assert_eq!(object::namespace(&pod), "default");
    assert_eq!(object::uid(&pod).len(), 36);
    assert_eq!(pod["metadata"]["generation"], 1);
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 30);
    assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(pod["status"]["phase"], "Pending");
    let twice = store.create("pods", (*pod).clone()).unwrap_err();
    assert_eq!((twice.code, twice.reason), (409, "AlreadyExists"));
}

#[test]
fn a_write_that_changes_nothing_makes_no_version() {
    let store = store();
    let first = store.create("configmaps", config("a")).unwrap();
    assert_eq!(first, put(&store, "a", "1"));
    assert_ne!(first, put(&store, "a", "2"));
}

#[test]
fn generation_counts_spec_changes_only() {
    let store = store();
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "app", "image": "x:1"}]}}}});
    store.create("deployments", deployment).unwrap();
    let change = |path: &'static str, value: Value| {
        store
            .update("deployments", Some("default"), "d", move |object| {
                object[path] = value;
                Ok(())
            })
            .unwrap()["metadata"]["generation"]
            .clone()
    };
    assert_eq!(change("status", json!({"replicas": 1})), 1);
    let mut spec = store.get("deployments", Some("default"), "d").unwrap()["spec"].clone();
    spec["replicas"] = json!(5);
    assert_eq!(change("spec", spec), 2);
}

#[test]
fn an_update_cannot_change_identity() {
    let store = store();
    let old = store.create("configmaps", config("a")).unwrap();
    let new = store
        .update("configmaps", Some("shop"), "a", |object| {
            object["metadata"] = json!({"name": "b", "uid": "x", "labels": {"k": "v"}});
            Ok(())
        })
        .unwrap();
    assert_eq!(object::uid(&old), object::uid(&new));
    assert_eq!(object::name(&new), "a");
    assert_eq!(new["metadata"]["labels"]["k"], "v");
}

#[tokio::test]
async fn a_watch_gives_what_exists_and_then_every_change_in_order() {
    let store = store();
    store.create("configmaps", config("a")).unwrap();
    let mut watch = store.watch("configmaps", Some("shop"), None).unwrap();
    put(&store, "a", "2");
    let other = json!({"metadata": {"name": "o", "namespace": "else"}});
    store.create("configmaps", other).unwrap();
    store
        .delete("configmaps", Some("shop"), "a", DeleteOptions::default())
        .unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let change = watch.next().await.unwrap();
        seen.push((change.kind, change.object["data"]["a"].clone()));
    }
    assert_eq!(
        seen,
        [
            (ChangeKind::Added, json!("1")),
            (ChangeKind::Modified, json!("2")),
            (ChangeKind::Deleted, json!("2"))
        ]
    );
    assert!(watch.try_next().unwrap().is_none());
    assert_eq!(watch.position(), store.version());
}

#[tokio::test]
async fn a_waiting_watch_wakes_for_a_change_made_elsewhere() {
    let store = store();
    let mut watch = store
        .watch("configmaps", None, Some(store.version()))
        .unwrap();
    let writer = Arc::clone(&store);
    let waiting = tokio::spawn(async move { watch.next().await.unwrap().kind });
    tokio::task::yield_now().await;
    writer.create("configmaps", config("a")).unwrap();
    assert_eq!(waiting.await.unwrap(), ChangeKind::Added);
}

#[test]
fn a_watch_or_list_from_before_the_history_is_gone() {
    let store = store();
    store.create("configmaps", config("a")).unwrap();
    let old = store.version() - 1;
    let current = store.version();
    store.expire_history();
    assert_eq!(
        store.watch("configmaps", None, Some(old)).unwrap_err().code,
        410
    );
    assert_eq!(
        store.list_at("configmaps", None, old).unwrap_err().reason,
        "Expired"
    );
    assert!(store.watch("configmaps", None, Some(current)).is_ok());
}

#[test]
fn the_past_can_be_listed_while_the_history_reaches() {
    let store = store();
    store.create("configmaps", config("a")).unwrap();
    let then = store.version();
    put(&store, "a", "2");
    store.create("configmaps", config("b")).unwrap();
    store
        .delete("configmaps", Some("shop"), "a", DeleteOptions::default())
        .unwrap();
    let past = store.list_at("configmaps", Some("shop"), then).unwrap();
    assert_eq!(past.len(), 1);
    assert_eq!(past[0]["data"]["a"], "1");
}

#[tokio::test]
async fn the_last_two_events_of_a_pod_carry_no_grace() {
    let store = store();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "app", "image": "x:1"}]}});
    store.create("pods", pod).unwrap();
    let mut watch = store.watch("pods", None, Some(store.version())).unwrap();
    let delete = |grace| {
        let options = DeleteOptions { grace, uid: None };
        store.delete("pods", Some("default"), "p", options).unwrap();
    };
    delete(None);
    delete(Some(0));
    let mut seen = Vec::new();
    while let Some(change) = watch.try_next().unwrap() {
        seen.push((
            change.kind,
            change.object["metadata"]["deletionGracePeriodSeconds"].as_i64(),
        ));
    }
    assert_eq!(
        seen,
        [
            (ChangeKind::Modified, Some(30)),
            (ChangeKind::Modified, Some(0)),
            (ChangeKind::Deleted, Some(0))
        ]
    );
    assert!(store.get("pods", Some("default"), "p").is_none());
}

#[test]
fn a_delete_with_another_uid_is_refused() {
    let store = store();
    store.create("configmaps", config("a")).unwrap();
    let options = DeleteOptions {
        grace: None,
        uid: Some("other".into()),
    };
    let refused = store
        .delete("configmaps", Some("shop"), "a", options)
        .unwrap_err();
    assert_eq!(refused.reason, "Conflict");
}

#[test]
fn a_service_gets_a_free_address_of_its_own() {
    let store = store();
    let service = |name: &str, address: Value| json!({"metadata": {"name": name}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}});
    let fixed = store
        .create("services", service("a", json!("10.96.0.60")))
        .unwrap();
    assert_eq!(fixed["spec"]["clusterIPs"], json!(["10.96.0.60"]));
    let free = store.create("services", service("b", Value::Null)).unwrap();
    assert!(object::text(&free["spec"]["clusterIP"]).starts_with("10.96."));
    assert_eq!(free["spec"]["ports"][0]["targetPort"], 80);
    let taken = store
        .create("services", service("c", json!("10.96.0.60")))
        .unwrap_err();
    assert_eq!(taken.code, 422);
    let headless = store
        .create("services", service("d", json!("None")))
        .unwrap();
    assert_eq!(headless["spec"]["clusterIP"], "None");
}

#[test]
fn an_object_of_the_wrong_shape_is_refused_and_not_a_panic() {
    let store = store();
    for (resource, object) in [
        ("pods", json!({"metadata": {"name": "a"}, "spec": "x"})),
        (
            "pods",
            json!({"metadata": {"name": "a"}, "spec": {"containers": []}}),
        ),
        ("pods", json!([])),
        (
            "services",
            json!({"metadata": {"name": "a"}, "spec": {"ports": 3}}),
        ),
        ("deployments", json!({"metadata": "x"})),
        (
            "deployments",
            json!({"metadata": {"name": "a"}, "spec": {"replicas": "many"}}),
        ),
        ("configmaps", json!({"metadata": {"name": "No Good"}})),
        ("configmaps", json!({"metadata": {}})),
        (
            "namespaces",
            json!({"metadata": {"name": "a", "labels": 3}}),
        ),
        (
            "rolebindings",
            json!({"metadata": {"name": "a"}, "roleRef": "x"}),
        ),
    ] {
        let code = store.create(resource, object.clone()).unwrap_err().code;
        assert!(matches!(code, 400 | 422), "{resource} {object}: {code}");
    }
    assert_eq!(store.create("unheard", json!({})).unwrap_err().code, 404);
}
