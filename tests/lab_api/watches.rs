//! Lists in pages and watches, through `kube`.

use super::client::{config, version};
use super::cluster::Practice;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

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
    let version = version(&configs).await;
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
