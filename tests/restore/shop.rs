//! A namespace with a Deployment of three, served by the lab's API server and controllers in this
//! process; the node is played here.

use crate::rest::resting;
use lastwatch::cluster::{Cluster, Reach, ResolvedTarget};
use lastwatch::disrupt::Executor;
use lastwatch::evidence::{EventSink, Fact, Origin, RunClock, RunInfo, RunWriter, SCHEMA_VERSION};
use lastwatch::lab::api::{Api, NoLogs, Server, User};
use lastwatch::lab::controllers;
use lastwatch::lab::store::{DeleteOptions, Store, object};
use lastwatch::scenario::{Action, Step, Target, Workload, WorkloadKind};
use lastwatch::task::{Scope, wait_until};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

/// The namespace.
pub(crate) const NAMESPACE: &str = "shop";

/// A namespace with a Deployment of three, and the cluster around it.
pub(crate) struct Shop {
    pub(crate) store: Arc<Store>,
    pub(crate) api: Arc<Api>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) address: SocketAddr,
    scope: Scope,
}

impl Shop {
    pub(crate) async fn open() -> Self {
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
        let kubeconfig = folder.path().join("admin");
        let shop = Self {
            store,
            api,
            folder,
            kubeconfig,
            address,
            scope,
        };
        shop.config("admin", "lab", &shop.api.issue_token(User::admin()));
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
    pub(crate) async fn at_rest(&self) -> Value {
        let minute = Duration::from_secs(60);
        let every = Duration::from_millis(50);
        let rest = wait_until("rest", minute, every, || async {
            resting(&self.store, NAMESPACE)
        });
        rest.await.unwrap()
    }

    /// Writes a kubeconfig with one context and gives its path.
    pub(crate) fn config(&self, file: &str, context: &str, token: &str) -> PathBuf {
        let path = self.folder.path().join(file);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": context,
            "clusters": [{"name": "lab", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "lab", "user": {"token": token}}],
            "contexts": [{"name": context,
                          "context": {"cluster": "lab", "user": "lab", "namespace": NAMESPACE}}]
        });
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// An executor of a new run with this id, and where its facts go.
    pub(crate) async fn executor(
        &self,
        kubeconfig: &Path,
        run: &str,
    ) -> (Executor, Receiver<Fact>) {
        let directory = self.folder.path().join(run);
        open_run(kubeconfig, &directory).await
    }

    /// The administrator's way to it.
    pub(crate) async fn cluster(&self) -> Cluster {
        connect(&self.kubeconfig).await
    }

    pub(crate) async fn close(self) {
        self.scope.finish().await.unwrap();
    }
}

async fn connect(kubeconfig: &Path) -> Cluster {
    let reach = Reach {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..Reach::default()
    };
    Cluster::connect(&reach).await.unwrap()
}

/// Begins a run as the program does, without load and observers.
pub(crate) async fn open_run(kubeconfig: &Path, directory: &Path) -> (Executor, Receiver<Fact>) {
    let cluster = connect(kubeconfig).await;
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
    let id = directory.file_name().unwrap().to_str().unwrap();
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
    drop(RunWriter::create(directory, &info).unwrap());
    let (sink, facts) = EventSink::new(clock);
    let executor = Executor::open(&cluster, target, id, directory, sink)
        .await
        .unwrap();
    (executor, facts)
}

/// A step with time enough.
pub(crate) fn step(action: Action) -> Step {
    Step {
        action,
        timeout: Some(Duration::from_secs(30)),
    }
}

/// Every kind of step.
pub(crate) fn all_steps() -> Vec<Step> {
    let image = Action::SetImage {
        container: None,
        image: "app:2".to_owned(),
    };
    let delete = Action::DeletePod {
        pods: 1,
        grace: None,
    };
    let actions = [
        Action::Scale { to: 1 },
        Action::RollingRestart,
        Action::Scale { to: 4 },
        image,
        delete,
        Action::Evict { pods: 1 },
        Action::Scale { to: 0 },
    ];
    actions.into_iter().map(step).collect()
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
