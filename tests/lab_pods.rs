//! The lab's pods behave as the recorded ones did when a rollout replaces them: the order and the
//! pace of what the API tells of them, and the shapes in which requests fail on the way.
//!
//! What is expected is read from the recording `nopre`: an app that ends at once, without preStop.
//! In loopback mode there is nothing to compare, and the tests say so.

#![cfg(target_os = "linux")]

#[path = "lab/archive.rs"]
mod archive;
#[path = "lab_pods/client.rs"]
mod client;
#[path = "lab/come_up.rs"]
mod come_up;
#[path = "lab/inside.rs"]
mod inside;
#[path = "lab_pods/recorded.rs"]
mod recorded;
#[path = "lab_pods/shapes.rs"]
mod shapes;
#[path = "lab_pods/stories.rs"]
mod stories;
#[path = "lab/up.rs"]
mod up;

use futures::{Stream, StreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use lastwatch::task::wait_until;
use recorded::Recording;
use serde_json::{Value, json};
use shapes::Shapes;
use std::pin::Pin;
use std::process::Stdio;
use std::time::{Duration, Instant};
use stories::Stories;
use up::Up;

const MANIFEST: &str = "manifests/demo/no-prestop.yaml";
const PATIENCE: Duration = Duration::from_secs(150);
const EVERY: Duration = Duration::from_millis(100);

/// A busy machine slows the lab down, so the best of some rollouts shows its own pace.
const ROUNDS: usize = 5;

fn start() -> Option<Up> {
    let manifest = std::fs::read_to_string(MANIFEST).expect(MANIFEST);
    Up::start(&manifest, json!({}))
}

/// Replaces all pods. Not `rollout restart`: two of them in one second are one.
async fn restart(client: &kube::Client, round: usize) {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let annotations = json!({"round": round.to_string()});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    let (params, patch) = (PatchParams::default(), Patch::Strategic(patch));
    let patched = deployments.patch("demo", &params, &patch);
    patched.await.expect("it is patched");
}

type Events = Pin<Box<dyn Stream<Item = Value> + Send>>;

/// What happens to pods and slices of the demo from now on, as it arrives.
async fn watch(client: &kube::Client) -> Events {
    let of_demo = "kubernetes.io/service-name=demo";
    let pods = changes::<Pod>(client, "app=demo").await;
    let slices = changes::<EndpointSlice>(client, of_demo).await;
    Box::pin(futures::stream::select(pods, slices))
}

async fn changes<K>(client: &kube::Client, labels: &str) -> Events
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope>
        + k8s_openapi::Metadata
        + serde::de::DeserializeOwned
        + serde::Serialize
        + Clone
        + std::fmt::Debug
        + Send
        + 'static,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::default_namespaced(client.clone());
    let params = WatchParams::default().labels(labels).timeout(290);
    let events = api.watch(&params, "0").await.expect("a watch");
    Box::pin(events.filter_map(|event| async {
        let (kind, object) = match event.expect("an event") {
            WatchEvent::Added(object) => ("ADDED", object),
            WatchEvent::Modified(object) => ("MODIFIED", object),
            WatchEvent::Deleted(object) => ("DELETED", object),
            _ => return None,
        };
        let mut object = serde_json::to_value(object).expect("JSON");
        object["kind"] = json!(K::KIND);
        Some(json!({"type": kind, "object": object}))
    }))
}

/// Reads until three pods have each of the stories `from` .. `to`.
async fn read(events: &mut Events, stories: &mut Stories, until: &[[&str; 2]]) {
    let began = Instant::now();
    let reading = async {
        while until
            .iter()
            .any(|[from, to]| stories.told(from, to).len() < 3)
        {
            let event = events.next().await.expect("the watch goes on");
            stories.take(began.elapsed().as_secs_f64() * 1000.0, &event);
        }
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    read.unwrap_or_else(|_| panic!("no three pods with {until:?} in time"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_and_slices_change_in_the_order_and_at_the_pace_of_the_recorded_cluster() {
    let recorded = Recording::of("nopre").stories();
    assert_eq!(recorded.told("deleted", "gone").len(), 3);
    let Some(up) = start() else { return };
    let client = up.client().await;
    let mut events = watch(&client).await;
    let mut stories = Stories::default();
    read(&mut events, &mut stories, &[["ready", "endpoint ready"]]).await;
    let mut faults = Vec::new();
    for round in 1..=ROUNDS {
        stories = Stories::after(stories);
        restart(&client, round).await;
        // Two watches tell it: the last word of one may come before the last of the other.
        let replaced = [
            ["deleted", "gone"],
            ["deleted", "endpoint terminating"],
            ["deleted", "endpoint gone"],
            ["created", "endpoint ready"],
        ];
        read(&mut events, &mut stories, &replaced).await;
        // Load of this machine stretches spans, and never changes what follows what.
        let disorder = stories.ordered_unlike(&recorded);
        assert!(disorder.is_empty(), "in rollout {round}: {disorder:#?}");
        faults = stories.spaced_unlike(&recorded);
        if faults.is_empty() {
            break;
        }
    }
    assert!(
        faults.is_empty(),
        "in {ROUNDS} rollouts, at last: {faults:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_fail_in_the_recorded_shapes_when_an_app_ends_at_once() {
    let recording = Recording::of("nopre");
    let recorded = recording.shapes();
    let Some(up) = start() else { return };
    let client = up.client().await;
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let service = services.get("demo").await.expect("a Service");
    let address = service
        .spec
        .and_then(|spec| spec.cluster_ip)
        .expect("an address");
    let mut seen = Shapes::default();
    let mut faults = Vec::new();
    for round in 1..=ROUNDS {
        seen.add(
            &rollout(
                &up,
                &client,
                round,
                &format!("{address}:80"),
                recording.rate(),
            )
            .await,
        );
        faults = seen.unlike(&recorded);
        if faults.is_empty() {
            break;
        }
    }
    assert!(faults.is_empty(), "{seen:?}: {faults:#?}");
}

/// Replaces all pods under the recorded client's load; gives how its requests failed.
async fn rollout(up: &Up, client: &kube::Client, round: usize, target: &str, rate: u32) -> Shapes {
    let program = std::env::current_exe().expect("this program");
    let program = program.to_str().expect("a path");
    let ignored = [
        "the_client_of_the_recordings",
        "--exact",
        "--ignored",
        "--nocapture",
    ];
    let mut words = vec![program];
    words.extend(ignored);
    let mut load = inside::inside(up.folder(), &words)
        .env("TARGET", target)
        .env("RATE", rate.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let old = living(client).await;
    restart(client, round).await;
    wait_until("three new pods alone", PATIENCE, EVERY, || async {
        let now = living(client).await;
        let new = now
            .iter()
            .all(|(uid, ready)| *ready && !old.iter().any(|(own, _)| own == uid));
        if new && now.len() == 3 {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    drop(load.stdin.take());
    let output = load.wait_with_output().expect("the client ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let mut shapes = Shapes::default();
    for line in text.lines().filter_map(|line| line.strip_prefix("failed ")) {
        let words: Vec<_> = line.split(' ').collect();
        shapes.count(words[0], words[1], words[2]);
    }
    shapes
}

/// The uids of the demo's pods, and whether they are ready.
async fn living(client: &kube::Client) -> Vec<(String, bool)> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let list = pods.list(&ListParams::default().labels("app=demo")).await;
    let pods = list.expect("pods").items.into_iter();
    pods.map(|pod| {
        let conditions = pod.status.and_then(|status| status.conditions);
        let mut conditions = conditions.into_iter().flatten();
        let ready = conditions.any(|own| own.type_ == "Ready" && own.status == "True");
        (pod.metadata.uid.expect("a uid"), ready)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started inside a lab by the test of the shapes"]
async fn the_client_of_the_recordings() {
    let variable = |name: &str| std::env::var(name).expect(name);
    let target = variable("TARGET").parse().expect("an address");
    let rate = variable("RATE").parse().expect("a rate");
    let (sent, failures) = client::run(target, rate).await;
    println!("sent {sent}");
    for (connection, phase, error) in failures {
        println!("failed {connection} {phase} {error}");
    }
}
