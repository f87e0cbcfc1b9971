//! After `kill -9` at a random instant, `lastwatch restore` leaves nothing changed.
//!
//! The API server and the controllers are the lab's, the node is played here. A second process (this
//! test again) carries steps out and undoes them until it is killed; then the program restores from
//! the run directory, twice, and the workload is as it was.
//!
//! `LASTWATCH_KILLS` says how often (10), `LASTWATCH_SEED` repeats a run.

#![expect(clippy::unwrap_used, reason = "a panic is the failure report")]

use lastwatch::cluster::{Cluster, Reach, ResolvedTarget};
use lastwatch::disrupt::Executor;
use lastwatch::evidence::{
    EventSink, Origin, RunClock, RunDir, RunInfo, RunWriter, SCHEMA_VERSION,
};
use lastwatch::lab::api::{Api, NoLogs, Server, User};
use lastwatch::lab::controllers;
use lastwatch::lab::store::{DeleteOptions, Store, object};
use lastwatch::scenario::{Action, Step, Target, Workload, WorkloadKind};
use lastwatch::task::{Scope, wait_until};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "shop";
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// The process to be killed goes through all its steps in about this time.
const WHOLE: Duration = Duration::from_millis(6_000);

/// Where the process to be killed finds its run directory.
const RUN: &str = "LASTWATCH_KILLED_RUN";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_changed_after_kill_9_and_restore() {
    let kills: u32 = number("LASTWATCH_KILLS").unwrap_or(10);
    let seed: u64 = number("LASTWATCH_SEED").unwrap_or_else(rand::random);
    println!("LASTWATCH_SEED={seed} LASTWATCH_KILLS={kills}");
    let mut random = StdRng::seed_from_u64(seed);
    let shop = Shop::open().await;
    for kill in 0..kills {
        let instant = WHOLE.mul_f64(random.random());
        let restore_killed = random.random_bool(0.3);
        let before = shop.at_rest().await;
        let run = shop.folder.path().join(format!("run-{kill}"));
        shop.run_and_kill(&run, instant).await;
        if RunDir::new(&run).info().is_err() {
            // Killed before the run began: nothing can have been changed.
            assert_eq!(
                shop.at_rest().await,
                before,
                "kill {kill} after {instant:?}"
            );
            continue;
        }
        if restore_killed {
            let instant = Duration::from_millis(random.random_range(0..400));
            shop.restore_and_kill(&run, instant).await;
        }
        let what = format!("kill {kill} after {instant:?}, restore killed: {restore_killed}");
        let first = shop.restore(&run).await;
        assert!(first.status.success(), "{what}: {first:?}");
        assert_eq!(shop.at_rest().await, before, "{what}: {first:?}");
        println!(
            "{what}: {}",
            String::from_utf8_lossy(&first.stdout).replace('\n', "; ")
        );
        let second = shop.restore(&run).await;
        assert!(second.status.success(), "{what}: {second:?}");
        let said = String::from_utf8_lossy(&second.stdout).into_owned();
        assert!(!said.contains("restored:"), "{what}: {said}");
        assert_eq!(shop.at_rest().await, before, "{what}");
    }
    shop.close().await;
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// A namespace with a Deployment of three, and the cluster around it.
struct Shop {
    store: Arc<Store>,
    scope: Scope,
    folder: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Shop {
    async fn open() -> Self {
        let store = Store::new();
        let mut scope = Scope::new(&CancellationToken::new());
        controllers::start(&store, &mut scope);
        let api = Api::new(Arc::clone(&store), NoLogs);
        let server = Server::bind(Arc::clone(&api), "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = server.address();
        let token = scope.token();
        scope.spawn("api", async move { server.run(token).await.unwrap() });
        let token = scope.token();
        let noded = Arc::clone(&store);
        scope.spawn("node", async move { play_node(&noded, &token).await });
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let user = api.issue_token(User::admin());
        std::fs::write(&kubeconfig, config(&address.to_string(), &user)).unwrap();
        let shop = Self {
            store,
            scope,
            folder,
            kubeconfig,
        };
        shop.stock();
        shop
    }

    fn stock(&self) {
        let namespace = json!({"metadata": {"name": NAMESPACE}});
        self.store.create("namespaces", namespace).unwrap();
        self.store
            .create(
                "deployments",
                json!({
                    "metadata": {"name": "demo", "namespace": NAMESPACE},
                    "spec": {
                        "replicas": 3,
                        "selector": {"matchLabels": {"app": "demo"}},
                        "strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 0}},
                        "template": {
                            "metadata": {"labels": {"app": "demo"}},
                            "spec": {"containers": [{"name": "app", "image": "app:1"}]}
                        }
                    }
                }),
            )
            .unwrap();
    }

    /// Waits until the workload is at rest, and gives all that a run could have left changed.
    async fn at_rest(&self) -> Value {
        let resting = || async {
            let demo = self
                .store
                .get("deployments", Some(NAMESPACE), "demo")
                .unwrap();
            let status = &demo["status"];
            let wanted = &demo["spec"]["replicas"];
            let pods = self.store.list("pods", Some(NAMESPACE)).1.len();
            let rest = status["observedGeneration"] == demo["metadata"]["generation"]
                && status["availableReplicas"] == *wanted
                && status["updatedReplicas"] == *wanted
                && json!(pods) == *wanted;
            if rest {
                Ok(Value::clone(&demo))
            } else {
                Err(format!("{pods} pods, {status}"))
            }
        };
        let patience = Duration::from_secs(60);
        let mut demo = wait_until("rest", patience, Duration::from_millis(50), resting)
            .await
            .unwrap();
        // The annotation of a restart stays by design and is named.
        let annotations = &mut demo["spec"]["template"]["metadata"]["annotations"];
        object::remove(annotations, RESTARTED_AT);
        if annotations
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
        {
            object::remove(&mut demo["spec"]["template"]["metadata"], "annotations");
        }
        let leases = self.store.list("leases", Some(NAMESPACE)).1;
        json!({"spec": demo["spec"], "leases": leases.len()})
    }

    async fn run_and_kill(&self, run: &Path, after: Duration) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "killed", "--ignored", "--nocapture"])
            .env(RUN, run)
            .env("KUBECONFIG", &self.kubeconfig);
        kill_after(command, after).await;
    }

    fn restoring(&self, run: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastwatch"));
        command
            .arg("restore")
            .arg(run)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig);
        command
    }

    async fn restore_and_kill(&self, run: &Path, after: Duration) {
        kill_after(self.restoring(run), after).await;
    }

    async fn restore(&self, run: &Path) -> Output {
        let mut command = self.restoring(run);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    async fn close(self) {
        self.scope.finish().await.unwrap();
    }
}

async fn kill_after(mut command: Command, after: Duration) {
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    tokio::time::sleep(after).await;
    child.kill().unwrap();
    tokio::task::spawn_blocking(move || child.wait().unwrap())
        .await
        .unwrap();
}

fn config(address: &str, token: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "lab", "user": {"token": token}}],
        "contexts": [{"name": "lab",
                      "context": {"cluster": "lab", "user": "lab", "namespace": NAMESPACE}}]
    })
    .to_string()
}

/// A node and its kubelet: pods become ready after a moment and end a moment after their deletion.
async fn play_node(store: &Arc<Store>, stop: &CancellationToken) {
    let ready = json!({"type": "Ready", "status": "True"});
    store
        .create(
            "nodes",
            json!({"metadata": {"name": "node-a"}, "status": {"conditions": [ready]}}),
        )
        .unwrap();
    while !stop.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        for pod in store.list("pods", Some(NAMESPACE)).1 {
            let name = object::name(&pod);
            if object::is_terminating(&pod) {
                let options = DeleteOptions {
                    grace: Some(0),
                    uid: Some(object::uid(&pod).to_owned()),
                };
                let _ = store.delete("pods", Some(NAMESPACE), name, options);
            } else if !object::is_ready(&pod) && pod["spec"]["nodeName"] == "node-a" {
                let now = object::second(jiff::Timestamp::now());
                let _ = store.update("pods", Some(NAMESPACE), name, |pod| {
                    pod["status"] = json!({
                        "phase": "Running", "podIP": "10.244.0.9",
                        "conditions": [{"type": "Ready", "status": "True",
                                        "lastTransitionTime": now}]
                    });
                    Ok(())
                });
            }
        }
    }
}

/// The process that is killed: every kind of step, then the undo.
#[tokio::test]
#[ignore = "started and killed by the test above"]
async fn killed() {
    let Ok(run) = std::env::var(RUN) else {
        return;
    };
    let run = PathBuf::from(run);
    let cluster = Cluster::connect(&Reach::default()).await.unwrap();
    let target = Target {
        workload: Workload {
            kind: WorkloadKind::Deployment,
            name: "demo".to_owned(),
        },
        namespace: None,
        service: None,
        port: None,
        url: Some("http://shop".to_owned()),
    };
    let target = ResolvedTarget::resolve(&cluster, &target).await.unwrap();
    let clock = RunClock::start();
    let id = run.file_name().unwrap().to_str().unwrap();
    let info = RunInfo {
        schema_version: SCHEMA_VERSION,
        tool_version: "test".to_owned(),
        id: id.to_owned(),
        origin: Origin::Live,
        argv: Vec::new(),
        started_at: clock.started_at(),
        cluster: format!("{} ({})", cluster.context(), cluster.server()),
        namespace: NAMESPACE.to_owned(),
        workload: Some(target.workload.to_string()),
        service: None,
        plan: Value::Null,
    };
    let _writer = RunWriter::create(&run, &info).unwrap();
    let (sink, _facts) = EventSink::new(clock);
    let mut executor = Executor::open(&cluster, target, id, &run, sink)
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let image = || Action::SetImage {
        container: None,
        image: "app:2".to_owned(),
    };
    for (index, action) in [
        Action::Scale { to: 1 },
        Action::RollingRestart,
        Action::Scale { to: 4 },
        image(),
        Action::DeletePod {
            pods: 1,
            grace: None,
        },
        Action::Evict { pods: 1 },
        Action::Scale { to: 0 },
    ]
    .into_iter()
    .enumerate()
    {
        let step = Step {
            action,
            timeout: Duration::from_secs(30),
        };
        executor.run_step(index, &step, &stop).await.unwrap();
    }
    executor.undo(Duration::from_secs(30)).await;
    // Killed after the undo as well: then there is nothing left to do.
    tokio::time::sleep(Duration::from_secs(60)).await;
}
