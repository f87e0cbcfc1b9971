//! Which workload and Service a capture is about: one small capture for each thing that can tell.

use super::super::{ImportOptions, import};
use super::capture;
use crate::evidence::RunInfo;
use serde_json::{Value, json};

/// Lines of a watch, one second apart.
fn watch(changes: &[(&str, Value)]) -> String {
    let lines = changes.iter().zip(2_000_000_u64..);
    lines
        .map(|((change, object), at)| {
            let at = at * 1_000_000;
            json!({"receivedAt": at, "type": change, "object": object}).to_string() + "\n"
        })
        .collect()
}

fn replica_set(deployment: &str, hash: &str) -> Value {
    json!({"metadata": {
        "name": format!("{deployment}-{hash}"), "uid": format!("{deployment}-{hash}"),
        "ownerReferences": [{"kind": "Deployment", "name": deployment, "controller": true}],
    }})
}

fn deployment(name: &str, replicas: u32) -> Value {
    json!({"metadata": {"name": name, "uid": name}, "spec": {"replicas": replicas}})
}

/// A pod of a Deployment, whose ReplicaSet has the hash `h`.
fn pod(deployment: &str, name: &str) -> Value {
    json!({
        "metadata": {
            "name": format!("{deployment}-h-{name}"), "uid": name, "namespace": "shop",
            "ownerReferences": [
                {"kind": "ReplicaSet", "name": format!("{deployment}-h"), "controller": true}
            ],
        },
        "spec": {"containers": [{"name": "app"}]},
        "status": {"containerStatuses": [{"name": "app", "restartCount": 0, "state": {}}]},
    })
}

fn deleted(mut pod: Value) -> Value {
    pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    pod
}

fn restarted(mut pod: Value) -> Value {
    pod["status"]["containerStatuses"][0]["restartCount"] = json!(1);
    pod
}

fn slice(service: &str, pods: &[&Value], terminating: bool) -> Value {
    let endpoints: Vec<Value> = pods
        .iter()
        .map(|pod| {
            let name = &pod["metadata"]["name"];
            json!({"addresses": ["10.0.0.1"], "conditions": {"terminating": terminating},
                   "targetRef": {"kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}})
        })
        .collect();
    let labels = json!({"kubernetes.io/service-name": service});
    json!({"metadata": {"name": service, "uid": service, "labels": labels}, "endpoints": endpoints})
}

/// The watches of a capture by resource.
type Watches = Vec<(&'static str, Vec<(&'static str, Value)>)>;

fn target(watches: &Watches, options: &ImportOptions) -> (Option<String>, Option<String>) {
    target_with(watches, &[], options)
}

/// The same of a capture that has these files beside the watches.
fn target_with(
    watches: &Watches,
    others: &[(&str, String)],
    options: &ImportOptions,
) -> (Option<String>, Option<String>) {
    let info = info_of(watches, others, options);
    (info.workload, info.service)
}

fn info_of(watches: &Watches, others: &[(&str, String)], options: &ImportOptions) -> RunInfo {
    let mut files: Vec<(String, String)> = watches
        .iter()
        .map(|(resource, changes)| (format!("{resource}.watch.jsonl"), watch(changes)))
        .collect();
    let own = |(name, text): &(&str, String)| ((*name).to_owned(), text.clone());
    files.extend(others.iter().map(own));
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let (capture, out) = (capture(&files), tempfile::tempdir().unwrap());
    let imported = import(capture.path(), out.path(), options).unwrap();
    assert!(imported.faults.is_empty(), "{:?}", imported.faults);
    imported.info
}

/// Two workloads and their Services; something happens to `cart` alone.
fn cases() -> Vec<(&'static str, Watches)> {
    let (cart, shop) = (pod("cart", "c"), pod("shop", "s"));
    let sets = vec![
        ("ADDED", replica_set("cart", "h")),
        ("ADDED", replica_set("shop", "h")),
    ];
    let slices = vec![
        ("ADDED", slice("cart-web", &[&cart], false)),
        ("ADDED", slice("shop-web", &[&shop], false)),
    ];
    let pods = vec![("ADDED", cart.clone()), ("ADDED", shop)];
    let with = |watches: Watches| {
        let mut all = vec![
            ("replicasets", sets.clone()),
            ("endpointslices", slices.clone()),
        ];
        all.extend(watches);
        all
    };
    let pods_and = |change: &'static str, object: Value| {
        let mut all = pods.clone();
        all.push((change, object));
        with(vec![("pods", all)])
    };
    let going = slice("cart-web", &[&cart], true);
    vec![
        (
            "a pod was deleted",
            pods_and("MODIFIED", deleted(cart.clone())),
        ),
        (
            "only its DELETED event was seen",
            pods_and("DELETED", cart.clone()),
        ),
        (
            "its container ended and began again",
            pods_and("MODIFIED", restarted(cart)),
        ),
        (
            "the slices show it terminating, and no pod was seen",
            vec![
                ("replicasets", sets.clone()),
                (
                    "endpointslices",
                    [slices.clone(), vec![("MODIFIED", going)]].concat(),
                ),
            ],
        ),
        (
            "its Deployment changed",
            with(vec![(
                "deployments",
                vec![
                    ("ADDED", deployment("cart", 3)),
                    ("ADDED", deployment("shop", 3)),
                    ("MODIFIED", deployment("cart", 2)),
                ],
            )]),
        ),
    ]
}

#[test]
fn each_thing_that_can_tell_names_the_workload_and_its_service() {
    for (what, watches) in cases() {
        let (workload, service) = target(&watches, &ImportOptions::default());
        assert_eq!(workload.as_deref(), Some("deployment/cart"), "{what}");
        assert_eq!(service.as_deref(), Some("cart-web"), "{what}");
    }
}

#[test]
fn a_replica_set_that_came_later_names_its_workload() {
    let sets = vec![
        ("ADDED", replica_set("shop", "h")),
        ("ADDED", replica_set("cart", "h")),
    ];
    let (workload, service) = target(&vec![("replicasets", sets)], &ImportOptions::default());
    assert_eq!(workload.as_deref(), Some("deployment/cart"));
    assert_eq!(service, None, "no slice was seen");
}

#[test]
fn a_pod_that_was_leaving_before_does_not_outweigh_one_that_was_deleted_in_the_capture() {
    let (cart, shop) = (pod("cart", "c"), pod("shop", "s"));
    let leaving = pod("shop", "t");
    let pods = vec![
        ("ADDED", deleted(shop)),
        ("ADDED", deleted(leaving)),
        ("ADDED", cart.clone()),
        ("MODIFIED", deleted(cart)),
    ];
    let (workload, _) = target(&vec![("pods", pods)], &ImportOptions::default());
    assert_eq!(workload.as_deref(), Some("deployment/cart"));
}

#[test]
fn the_options_overrule_what_was_found() {
    let (_, watches) = cases().swap_remove(0);
    let options = ImportOptions {
        workload: Some("deployment/shop".to_owned()),
        ..ImportOptions::default()
    };
    let (workload, service) = target(&watches, &options);
    assert_eq!(workload.as_deref(), Some("deployment/shop"));
    assert_eq!(service.as_deref(), Some("shop-web"), "of that workload");
    let options = ImportOptions {
        service: Some("shop-web".to_owned()),
        ..ImportOptions::default()
    };
    let (workload, service) = target(&watches, &options);
    assert_eq!(workload.as_deref(), Some("deployment/cart"));
    assert_eq!(service.as_deref(), Some("shop-web"));
}

/// What a client of a capture may tell of whom it asked: the files that it wrote.
fn client(summary: &Value, answered_by: &str) -> Vec<(&'static str, String)> {
    let answer = format!("2000000\t2000100\t2000300\tnew\t200\t{answered_by}\n");
    vec![
        ("client/node/failures.jsonl", String::new()),
        ("client/node/requests.tsv", answer),
        ("client/node/summary.json", summary.to_string()),
    ]
}

/// A rollout of `shop`, of one pod, while three pods of `batch` are deleted.
fn beside_another() -> Watches {
    let shop = pod("shop", "s");
    let others = ["x", "y", "z"].map(|name| pod("batch", name));
    let mut pods = vec![("ADDED", shop.clone())];
    pods.extend(others.iter().map(|pod| ("ADDED", pod.clone())));
    pods.push(("MODIFIED", deleted(shop.clone())));
    pods.extend(others.iter().map(|pod| ("MODIFIED", deleted(pod.clone()))));
    let others: Vec<&Value> = others.iter().collect();
    let address = json!({"metadata": {"name": "shop-web", "uid": "sv"},
                         "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]}});
    let sets = ["shop", "batch"].map(|name| ("ADDED", replica_set(name, "h")));
    vec![
        ("replicasets", sets.to_vec()),
        ("pods", pods),
        ("services", vec![("ADDED", address)]),
        (
            "endpointslices",
            vec![
                ("ADDED", slice("batch-web", &others, false)),
                ("ADDED", slice("shop-web", &[&shop], false)),
            ],
        ),
    ]
}

#[test]
fn of_several_workloads_that_lost_pods_the_one_that_the_clients_asked_is_meant() {
    let options = ImportOptions::default();
    for (what, summary, answered_by) in [
        ("a pod of it answered", json!({}), "shop-h-s"),
        (
            "by its Service's name",
            json!({"host": "shop-web.shop.svc"}),
            "-",
        ),
        (
            "by its Service's address",
            json!({"target": "10.96.0.7:80"}),
            "-",
        ),
    ] {
        let files = client(&summary, answered_by);
        let (workload, service) = target_with(&beside_another(), &files, &options);
        assert_eq!(workload.as_deref(), Some("deployment/shop"), "{what}");
        assert_eq!(service.as_deref(), Some("shop-web"), "{what}");
    }
    // Where nothing tells, it is the one that lost most.
    for files in [vec![], client(&json!({"host": "gateway"}), "-")] {
        let (workload, _) = target_with(&beside_another(), &files, &options);
        assert_eq!(workload.as_deref(), Some("deployment/batch"));
    }
}

#[test]
fn a_crash_of_the_asked_workload_is_told_from_the_deletion_of_another() {
    let (shop, batch) = (pod("shop", "s"), pod("batch", "b"));
    let pods = vec![
        ("ADDED", shop.clone()),
        ("ADDED", batch.clone()),
        ("MODIFIED", deleted(batch)),
        ("MODIFIED", restarted(shop)),
    ];
    let files = client(&json!({}), "shop-h-s");
    let (workload, _) = target_with(&vec![("pods", pods)], &files, &ImportOptions::default());
    assert_eq!(workload.as_deref(), Some("deployment/shop"));
}

#[test]
fn of_two_services_with_the_same_pods_the_one_that_the_clients_asked_is_meant() {
    let shop = pod("shop", "s");
    let watches = || {
        vec![
            (
                "pods",
                vec![("ADDED", shop.clone()), ("MODIFIED", deleted(shop.clone()))],
            ),
            (
                "endpointslices",
                vec![
                    ("ADDED", slice("a-shop", &[&shop], false)),
                    ("ADDED", slice("shop", &[&shop], false)),
                ],
            ),
        ]
    };
    let options = ImportOptions::default();
    for (host, expected) in [
        ("shop.default.svc.cluster.local", "shop"),
        ("a-shop", "a-shop"),
        ("http://shop:8080/", "shop"),
    ] {
        let files = client(&json!({"host": host}), "shop-h-s");
        let (_, service) = target_with(&watches(), &files, &options);
        assert_eq!(service.as_deref(), Some(expected), "{host}");
    }
}

#[test]
fn of_two_namespaces_with_a_workload_of_one_name_the_one_that_lost_pods_and_was_asked_is_meant() {
    let of = |namespace: &str, name: &str| {
        let mut pod = pod("shop", name);
        pod["metadata"]["uid"] = json!(format!("{namespace}-{name}"));
        pod["metadata"]["namespace"] = json!(namespace);
        pod
    };
    let quiet = ["a", "b", "c"].map(|name| of("staging", name));
    let lost = of("prod", "d");
    let slices = |namespace: &str, service: &str, pods: &[&Value]| {
        let mut slice = slice(service, pods, false);
        slice["metadata"]["uid"] = json!(format!("{namespace}-{service}"));
        slice["metadata"]["namespace"] = json!(namespace);
        ("ADDED", slice)
    };
    let listed = vec![
        slices("prod", "shop", &[&lost]),
        slices("staging", "shop-test", &quiet.iter().collect::<Vec<_>>()),
    ];
    for (changed, host, namespace, service) in [
        (vec![deleted(lost.clone())], "gateway", "prod", "shop"),
        (vec![restarted(lost.clone())], "gateway", "prod", "shop"),
        (vec![], "gateway", "staging", "shop-test"),
        (vec![], "shop.prod.svc", "prod", "shop"),
        (
            vec![
                deleted(quiet[0].clone()),
                deleted(quiet[1].clone()),
                deleted(lost.clone()),
            ],
            "shop.prod",
            "prod",
            "shop",
        ),
    ] {
        let mut pods: Vec<_> = quiet.iter().map(|pod| ("ADDED", pod.clone())).collect();
        pods.push(("ADDED", lost.clone()));
        pods.extend(changed.iter().map(|pod| ("MODIFIED", pod.clone())));
        let watches = vec![("pods", pods), ("endpointslices", listed.clone())];
        let options = ImportOptions {
            workload: Some("deployment/shop".to_owned()),
            ..ImportOptions::default()
        };
        let files = client(&json!({"host": host}), "-");
        let info = info_of(&watches, &files, &options);
        assert_eq!(info.namespace, namespace, "{host}, {changed:?}");
        assert_eq!(info.service.as_deref(), Some(service), "{host}");
    }
}

#[test]
fn no_log_is_expected_of_a_container_that_never_ran() {
    let state = |state: Value| {
        let mut pod = pod("demo", "a");
        pod["status"]["containerStatuses"][0]["state"] = state;
        pod
    };
    let creating = || state(json!({"waiting": {"reason": "ContainerCreating"}}));
    let ended = |reason: &str| state(json!({"terminated": {"reason": reason, "exitCode": 1}}));
    let mut unscheduled = pod("demo", "a");
    unscheduled["status"] = json!({"phase": "Pending"});
    let mut restarting = state(json!({"waiting": {"reason": "CrashLoopBackOff"}}));
    restarting["status"]["containerStatuses"][0]["lastState"] =
        ended("Error")["status"]["containerStatuses"][0]["state"].clone();
    let running = state(json!({"running": {}}));
    for (before, last, expected) in [
        (creating(), ended("ContainerStatusUnknown"), false),
        (creating(), ended("StartError"), false),
        (unscheduled.clone(), unscheduled, false),
        (creating(), ended("Error"), true),
        (creating(), restarting, true),
        (running, ended("ContainerStatusUnknown"), true),
        (creating(), pod("demo", "a"), true),
    ] {
        let told = format!("{before} {last}");
        let pods = watch(&[("ADDED", before), ("DELETED", deleted(last))]);
        let folder = capture(&[("pods.watch.jsonl", &pods)]);
        let out = tempfile::tempdir().unwrap();
        let options = ImportOptions::default();
        let imported = import(folder.path(), out.path(), &options).unwrap();
        let missed = imported
            .blind
            .iter()
            .any(|blind| blind.starts_with("logs/demo-h-a/app"));
        assert_eq!(missed, expected, "{told} {:?}", imported.blind);
    }
}
