//! A run in the lab: which rights it uses, and what is left of one that is killed.
//!
//! Nodes, pods, load and observers are all real here. `tests/restore` kills more often, without them.

#![expect(clippy::unwrap_used, reason = "a panic is the failure report")]

#[path = "lab/come_up.rs"]
mod come_up;
#[path = "lab/inside.rs"]
mod inside;

use come_up::come_up;
use inside::inside;
use lastwatch::cluster::rights::{Kind, NODE_RIGHTS, Need, RIGHTS};
use lastwatch::cluster::{Cluster, Reach};
use lastwatch::task::wait_until;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lastwatch");
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/demo";
const PODS: &str = "/api/v1/namespaces/default/pods";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

/// A lab that is up, and ends with the test.
struct Lab {
    up: Child,
    kubeconfig: PathBuf,
    folder: tempfile::TempDir,
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The lab ends with the program that started it, however that ends.
        let _ = self.up.kill();
        let _ = self.up.wait();
    }
}

impl Lab {
    fn start() -> Self {
        let words = ["lab", "up", "--manifests", "manifests/demo/no-prestop.yaml"];
        let (up, kubeconfig) = come_up(Command::new(PROGRAM).args(words));
        Self {
            up,
            kubeconfig,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn exec(&self, words: &[&str]) -> Output {
        let folder = self.kubeconfig.parent().unwrap();
        inside(folder, words).output().unwrap()
    }

    /// A scenario with every step that changes something.
    fn scenario(&self) -> String {
        let scenario = json!({
            "apiVersion": "lastwatch.dev/v1alpha1",
            "kind": "Scenario",
            "metadata": {"name": "every-step"},
            "spec": {
                "target": {"workload": "deployment/demo", "service": "demo", "port": 80},
                "load": {"rate": "20/s", "baseline": "2s", "settle": "1s",
                         "requests": [{"name": "fast", "path": "/", "timeout": "4s"}]},
                "steps": [
                    {"scale": {"to": 4}},
                    {"rollingRestart": {}},
                    {"deletePod": {"pods": 1}},
                    {"evict": {"pods": 1}},
                    {"setImage": {"image": "lastwatch/lab-app:2"}},
                    {"scale": {"to": 2}}
                ]
            }
        });
        let path = self.folder.path().join("every-step.yaml");
        std::fs::write(&path, scenario.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    async fn cluster(&self) -> Cluster {
        let reach = Reach {
            kubeconfig: Some(self.kubeconfig.clone()),
            ..Reach::default()
        };
        Cluster::connect(&reach).await.unwrap()
    }
}

/// What a run could have left changed; the annotation of a restart stays by design.
async fn state(cluster: &Cluster) -> Value {
    let demo: Value = cluster.read(DEPLOYMENT).await.unwrap();
    let leases: Value = cluster.read(LEASES).await.unwrap();
    let template = &demo["spec"]["template"];
    json!({
        "replicas": demo["spec"]["replicas"],
        "strategy": demo["spec"]["strategy"],
        "labels": template["metadata"]["labels"],
        "pods": template["spec"],
        "leases": leases["items"].as_array().map(Vec::len),
    })
}

/// Waits until the workload has rolled out and nobody is leaving: a run is refused before that.
async fn calm(cluster: &Cluster) {
    let minute = Duration::from_secs(60);
    let every = Duration::from_millis(200);
    let wait = wait_until("the workload is calm", minute, every, || async {
        let demo: Value = cluster.read(DEPLOYMENT).await.unwrap();
        let pods: Value = cluster.read(PODS).await.unwrap();
        let pods = pods["items"].as_array().unwrap().iter();
        let leaving = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_string());
        let (leaving, status) = (leaving.count(), &demo["status"]);
        let replicas = &demo["spec"]["replicas"];
        let whole = ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .all(|field| status[field] == *replicas)
            && status["observedGeneration"] == demo["metadata"]["generation"];
        if whole && leaving == 0 {
            Ok(())
        } else {
            Err(format!(
                "{leaving} pods are leaving; of {replicas} wanted: {status}"
            ))
        }
    });
    wait.await.unwrap();
}

/// `group/resource verb` of the requests that the API server has answered.
async fn requests(cluster: &Cluster) -> Vec<String> {
    let page: Value = cluster.read("/lab/requests").await.unwrap();
    let requests = page["requests"].as_array().unwrap().iter();
    requests
        .map(|request| {
            let word = |key: &str| request[key].as_str().unwrap().to_owned();
            let resource = match word("subresource").as_str() {
                "" => word("resource"),
                sub => format!("{}/{sub}", word("resource")),
            };
            format!("{}/{resource} {}", word("group"), word("verb"))
        })
        .collect()
}

#[tokio::test]
async fn a_run_with_every_step_uses_exactly_the_rights_of_the_table_and_undoes_itself() {
    let lab = Lab::start();
    let cluster = lab.cluster().await;
    let before = state(&cluster).await;
    let known = requests(&cluster).await.len();
    let run = lab.run("whole");
    let output = lab.exec(&[PROGRAM, "run", &lab.scenario(), "--yes", "--out", &run]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0..=2)), "{said}");
    let used: BTreeSet<String> = requests(&cluster)
        .await
        .split_off(known)
        .into_iter()
        .collect();
    let granted: BTreeSet<String> = RIGHTS
        .iter()
        .filter(|right| match right.need {
            Need::Always | Need::Wish | Need::Step(_, None) => true,
            Need::Kind(kind) | Need::Step(_, Some(kind)) => kind == Kind::Deployment,
        })
        .chain(NODE_RIGHTS)
        .map(|right| format!("{}/{} {}", right.group, right.resource, right.verb))
        .collect();
    assert_eq!(used, granted, "left: used, right: in the table");
    assert_eq!(state(&cluster).await, before, "{said}");
    let journal = std::fs::read_to_string(Path::new(&run).join("journal.jsonl")).unwrap();
    assert!(journal.contains("\"purpose\":\"undo\""), "{journal}");
}

#[tokio::test]
async fn a_killed_run_in_the_lab_is_restored() {
    let seed: u64 = std::env::var("LASTWATCH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("LASTWATCH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let lab = Lab::start();
    let cluster = lab.cluster().await;
    let scenario = lab.scenario();
    let before = state(&cluster).await;
    for kill in 0..2 {
        calm(&cluster).await;
        let run = lab.run(&format!("killed-{kill}"));
        // From the baseline on: the steps come after it.
        let after = format!("{:.2}", random.random_range(3.0..20.0));
        let script = "\"$0\" run \"$1\" --yes --out \"$2\" & sleep \"$3\"; kill -9 $!; wait; true";
        let killed = lab.exec(&["sh", "-c", script, PROGRAM, &scenario, &run, &after]);
        assert!(killed.status.success(), "{killed:?}");
        let restored = lab.exec(&[PROGRAM, "restore", &run]);
        let said = String::from_utf8_lossy(&restored.stdout).into_owned();
        println!("killed after {after} s: {}", said.replace('\n', "; "));
        assert!(
            restored.status.success(),
            "killed after {after} s: {restored:?}"
        );
        assert_eq!(
            state(&cluster).await,
            before,
            "killed after {after} s: {said}"
        );
    }
}
