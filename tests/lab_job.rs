//! The Job of `manifests/cluster` runs in a lab as it would in a cluster: with its own service
//! account and its rights, its scenario from a ConfigMap, and an exit code that is the verdict's.

#![cfg(target_os = "linux")]

#[path = "lab/come_up.rs"]
mod come_up;
#[path = "lab/meshed.rs"]
mod meshed;
#[path = "lab/up.rs"]
mod up;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, LogParams};
use lastwatch::task::wait_until;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use up::Up;

const PATIENCE: Duration = Duration::from_secs(150);
const EVERY: Duration = Duration::from_millis(100);

/// The namespace of the manifests.
const SPACE: &str = "lastwatch";

/// The Jobs that ship.
const JOB: &str = "manifests/cluster/job.yaml";
const MESHED_JOB: &str = "manifests/cluster/job-meshed.yaml";

fn documents(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect(path);
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    let documents = documents.map(|document| document.expect("YAML"));
    documents.filter(|document| !document.is_null()).collect()
}

/// A lab with what an administrator applies first, and the target.
async fn start(target: &str) -> Option<Practice> {
    start_with(target, Vec::new()).await
}

async fn start_with(target: &str, mut objects: Vec<Value>) -> Option<Practice> {
    for file in ["namespace", "rbac", "nodes"] {
        objects.extend(documents(&format!("manifests/cluster/{file}.yaml")));
    }
    let target = documents(target).into_iter().map(|mut object| {
        object["metadata"]["namespace"] = json!(SPACE);
        object
    });
    objects.extend(target);
    let texts: Vec<_> = objects.iter().map(Value::to_string).collect();
    let up = Up::start(&texts.join("\n---\n"), json!({}))?;
    let client = up.client().await;
    Some(Practice { _up: up, client })
}

struct Practice {
    _up: Up,
    client: kube::Client,
}

impl Practice {
    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), SPACE)
    }

    /// Applies a Job with a scenario of these steps.
    async fn run(&self, job: &str, steps: Value) {
        for mut object in documents(job) {
            let path = match object["kind"].as_str() {
                Some("ConfigMap") => {
                    object["data"]["scenario.yaml"] = json!(scenario(&object, &steps));
                    format!("/api/v1/namespaces/{SPACE}/configmaps")
                }
                _ => format!("/apis/batch/v1/namespaces/{SPACE}/jobs"),
            };
            let request = http::Request::post(path)
                .header("content-type", "application/json")
                .body(object.to_string().into_bytes())
                .expect("a request");
            let created: Result<Value, _> = self.client.request(request).await;
            created.expect("it is created");
        }
    }

    async fn read(&self, path: &str) -> Value {
        let request = http::Request::get(path)
            .body(Vec::new())
            .expect("a request");
        self.client.request(request).await.expect("an answer")
    }

    async fn replicas(&self) -> Value {
        let path = format!("/apis/apps/v1/namespaces/{SPACE}/deployments/demo");
        self.read(&path).await["spec"]["replicas"].clone()
    }

    /// The Job's pod.
    async fn pod(&self) -> String {
        let own = ListParams::default().labels("app=lastwatch");
        wait_until("the Job's pod", PATIENCE, EVERY, || async {
            let pods = self.pods().list(&own).await.expect("pods").items;
            let name = pods.into_iter().find_map(|pod| pod.metadata.name);
            name.ok_or_else(|| "there is none".to_owned())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The exit code of the run, when it has ended; and what it wrote.
    async fn ended(&self, pod: &str) -> (i32, String) {
        let code = wait_until("the run's end", PATIENCE, EVERY, || async {
            let seen = self.pods().get(pod).await.expect("the pod");
            let status = seen.status.unwrap_or_default();
            let mut containers = status.container_statuses.into_iter().flatten();
            let own = containers.find(|own| own.name == CONTAINER);
            let state = own.and_then(|own| own.state);
            let ended = state.clone().and_then(|state| state.terminated);
            ended
                .map(|ended| ended.exit_code)
                .ok_or(format!("{state:?}"))
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        // What a deleted pod has written goes with it.
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            ..LogParams::default()
        };
        let log = self.pods().logs(pod, &params).await;
        (code, log.unwrap_or_default())
    }

    /// Waits until the Job is over.
    async fn completed(&self, wanted: &str) {
        let job = format!("/apis/batch/v1/namespaces/{SPACE}/jobs/lastwatch");
        wait_until("the Job's end", PATIENCE, EVERY, || async {
            let status = self.read(&job).await["status"].clone();
            let conditions = status["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            let told = conditions.any(|own| own["type"] == wanted && own["status"] == "True");
            if told {
                Ok(())
            } else {
                Err(status.to_string())
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The harness in its pod.
const CONTAINER: &str = "lastwatch";

/// The ConfigMap's scenario, shorter and with other steps.
fn scenario(map: &Value, steps: &Value) -> String {
    let written = map["data"]["scenario.yaml"].as_str().expect("a scenario");
    let mut scenario: Value = serde_yaml::from_str(written).expect("YAML");
    let spec = &mut scenario["spec"];
    spec["steps"] = steps.clone();
    spec["gates"] = json!({"minExposure": 1});
    spec["load"]["rate"] = json!("50/s");
    // Envoy tells its age every 5 s: what a younger one has counted may be a new one's.
    let meshed = spec["load"]["from"] == "meshed-pod";
    spec["load"]["baseline"] = json!(if meshed { "9s" } else { "2s" });
    spec["load"]["settle"] = json!("2s");
    scenario.to_string()
}

/// A busy machine makes a run inconclusive, so the best of some shows the wanted verdict.
const ROUNDS: usize = 3;

/// What a harness says that did not get its share of the machine. Its figures are worth nothing
/// then, but its exit code still is its verdict's.
const TOO_BUSY: &str = "the harness sent too late";

/// The exit code of a verdict.
fn code_of(log: &str) -> i32 {
    let verdicts = [("PASS ", 0), ("FAIL ", 1), ("INCONCLUSIVE ", 2)];
    let told = verdicts.into_iter().find(|(word, _)| {
        let mut lines = log.lines();
        lines.any(|line| line.starts_with(word))
    });
    told.map(|(_, code)| code)
        .unwrap_or_else(|| panic!("no verdict: {log}"))
}

/// Runs the Job against a target; gives its exit code, which is its verdict's, and what it wrote.
async fn verdict(target: &str) -> Option<(i32, String)> {
    let practice = start(target).await?;
    Some(verdict_of(&practice, JOB).await)
}

/// Runs a Job to its end.
async fn verdict_of(practice: &Practice, job: &str) -> (i32, String) {
    practice.run(job, json!([{"rollingRestart": {}}])).await;
    let pod = practice.pod().await;
    let (ended, log) = practice.ended(&pod).await;
    assert_eq!(ended, code_of(&log), "{log}");
    let wanted = if ended == 0 { "Complete" } else { "Failed" };
    practice.completed(wanted).await;
    (ended, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_behind_a_sidecar_ends_and_its_sidecar_with_it() {
    if meshed::envoy().is_none() {
        return;
    }
    // A lab has a mesh where something asks for it at its start.
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": "meshed", "labels": {"istio-injection": "enabled"},
    }});
    let practice = start_with("manifests/demo/graceful.yaml", vec![space]).await;
    let practice = practice.expect("namespaces are permitted");
    let (_, log) = verdict_of(&practice, MESHED_JOB).await;
    assert!(
        log.contains("the sidecar of this pod was asked to end"),
        "{log}"
    );
    assert!(
        log.contains("saved by a proxy's retry") && !log.contains("not measured"),
        "its sidecar counts its retries: {log}"
    );
    let pod = practice.pods().get(&practice.pod().await).await;
    let pod = serde_json::to_value(pod.expect("the pod")).expect("JSON");
    let mut statuses = pod["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten();
    let sidecar = statuses.find(|own| own["name"] == "istio-proxy");
    let sidecar = sidecar.unwrap_or_else(|| panic!("no sidecar: {pod}"));
    assert_eq!(sidecar["state"]["terminated"]["exitCode"], 0, "{sidecar}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_ends_with_the_exit_code_of_its_verdict() {
    for (target, wanted) in [
        ("manifests/demo/graceful.yaml", 0),
        ("manifests/demo/no-prestop.yaml", 1),
    ] {
        for round in 1..=ROUNDS {
            let Some((code, log)) = verdict(target).await else {
                return;
            };
            if code == wanted {
                break;
            }
            assert!(log.contains(TOO_BUSY), "{target} ended with {code}: {log}");
            if round == ROUNDS {
                println!("this machine was too busy for the verdict of {target}, {ROUNDS} times");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_deleted_in_mid_run_leaves_the_target_as_it_was() {
    let Some(practice) = start("manifests/demo/graceful.yaml").await else {
        return;
    };
    let before = practice.replicas().await;
    let steps = json!([{"scale": {"to": 5}}, {"wait": "100s"}]);
    practice.run(JOB, steps).await;
    let pod = practice.pod().await;
    wait_until("the change", PATIENCE, EVERY, || async {
        match practice.replicas().await {
            Value::Number(now) if now.as_u64() == Some(5) => Ok(()),
            now => Err(now.to_string()),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    let jobs: Api<Job> = Api::namespaced(practice.client.clone(), SPACE);
    let params = DeleteParams::background();
    jobs.delete("lastwatch", &params).await.expect("deleted");
    let (code, log) = practice.ended(&pod).await;
    assert_eq!(code, 130, "{log}");
    assert_eq!(practice.replicas().await, before, "{log}");
}
