//! A cluster without nodes: the lab's API server, objects as a healthy workload has them, an HTTP
//! server of this process behind its Service, and logs that a test writes.

use crate::node::{Node, running};
use crate::record;
use crate::rest::resting;
use lastwatch::cluster::rights::RIGHTS;
use lastwatch::lab::api::{Api, LogRequest, LogSource, LogStream, Server, User};
use lastwatch::lab::controllers;
use lastwatch::lab::store::{Status, Store};
use lastwatch::task::Scope;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) const NAMESPACE: &str = "shop";

/// The lines of every container, with their stamps.
#[derive(Clone, Debug)]
pub(crate) struct Logs(watch::Sender<Vec<String>>);

impl Logs {
    pub(crate) fn write(&self, text: &str) {
        let stamp = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.9fZ");
        self.0
            .send_modify(|lines| lines.push(format!("{stamp} {text}\n")));
    }

    /// Writes this many lines at once.
    pub(crate) fn write_many(&self, count: usize, number: usize) {
        let stamp = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.9fZ");
        let line =
            |index| format!("{stamp} flood {number} {index}: a line of a usual length, or so\n");
        self.0
            .send_modify(|lines| lines.extend((0..count).map(line)));
    }
}

impl LogSource for Logs {
    fn open(&self, request: LogRequest) -> Result<LogStream, Status> {
        let since = request.since_time.map(|since| since.to_string());
        let lines = self.0.subscribe();
        let stream = futures::stream::unfold((lines, 0), move |(mut lines, sent)| {
            let since = since.clone();
            async move {
                let all = lines.wait_for(|all| all.len() > sent).await.ok()?;
                let wanted =
                    |line: &&String| since.as_ref().is_none_or(|since| line[..19] >= since[..19]);
                let fresh = all[sent..].iter().filter(wanted).cloned();
                let (fresh, count) = (fresh.collect::<String>(), all.len());
                drop(all);
                Some((Ok(fresh.into_bytes().into()), (lines, count)))
            }
        });
        Ok(Box::pin(stream))
    }
}

/// The cluster; it ends with this value.
pub(crate) struct Practice {
    pub(crate) api: Arc<Api>,
    pub(crate) store: Arc<Store>,
    pub(crate) logs: Logs,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) token: String,
    app: u16,
    /// The first lines of the requests that the app got.
    heard: Arc<Mutex<Vec<String>>>,
    hanging: watch::Sender<bool>,
    server: String,
    stop: CancellationToken,
    runtime: Runtime,
}

impl Drop for Practice {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Practice {
    /// A cluster in which nothing happens by itself.
    pub(crate) fn start() -> Self {
        let practice = Self::begin();
        practice.populate();
        practice
    }

    /// A cluster with controllers and a node, in which a Deployment of two is at rest.
    pub(crate) fn alive(node: &Node) -> Self {
        let practice = Self::begin();
        let (store, stop) = (Arc::clone(&practice.store), practice.stop.clone());
        practice
            .runtime
            .spawn(node.clone().play(Arc::clone(&store), stop.clone()));
        practice.runtime.spawn(async move {
            let mut scope = Scope::new(&stop);
            controllers::start(&store, &mut scope);
            scope.join().await.unwrap();
        });
        practice.namespace_and_service();
        practice.create("deployments", practice.deployment());
        practice.at_rest();
        practice
    }

    fn begin() -> Self {
        let runtime = Runtime::new().unwrap();
        let store = Store::new();
        let logs = Logs(watch::Sender::default());
        let api = Api::new(Arc::clone(&store), logs.clone());
        let stop = CancellationToken::new();
        let any = "127.0.0.1:0".parse().unwrap();
        let server = runtime
            .block_on(Server::bind(Arc::clone(&api), any))
            .unwrap();
        let address = format!("http://{}", server.address());
        runtime.spawn(server.run(stop.clone()));
        let app = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = app.local_addr().unwrap().port();
        let (hanging, hang) = watch::channel(false);
        let heard = Arc::<Mutex<Vec<String>>>::default();
        runtime.spawn(serve(app, hang, Arc::clone(&heard)));
        let token = api.issue_token(User::admin());
        let practice = Self {
            api,
            store,
            logs,
            folder: tempfile::tempdir().unwrap(),
            token,
            app: port,
            heard,
            hanging,
            server: address,
            stop,
            runtime,
        };
        practice.write_kubeconfig(&practice.token);
        practice.logs.write("listening");
        practice
    }

    fn namespace_and_service(&self) {
        self.create("namespaces", json!({"metadata": {"name": NAMESPACE}}));
        self.create(
            "services",
            json!({
                "metadata": {"name": "demo", "namespace": NAMESPACE},
                "spec": {
                    "clusterIP": "127.0.0.1", "selector": {"app": "demo"},
                    "ports": [{"port": self.app, "targetPort": self.app, "protocol": "TCP"}],
                },
            }),
        );
    }

    fn deployment(&self) -> Value {
        let labels = json!({"app": "demo"});
        let ports = json!([{"containerPort": self.app}]);
        json!({
            "metadata": {"name": "demo", "namespace": NAMESPACE},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": labels},
                "strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "app", "image": "app", "ports": ports}]},
                },
            },
        })
    }

    /// A Deployment of two ready pods and its Service, as controllers and kubelet would leave them.
    fn populate(&self) {
        self.namespace_and_service();
        let labels = json!({"app": "demo"});
        let deployment = self.create("deployments", self.deployment());
        let template = &deployment["spec"]["template"];
        self.status(
            "deployments",
            "demo",
            json!({
                "observedGeneration": deployment["metadata"]["generation"], "replicas": 2,
                "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
            }),
        );
        let set = self.create(
            "replicasets",
            json!({
                "metadata": {
                    "name": "demo-1", "namespace": NAMESPACE, "labels": labels,
                    "ownerReferences": [owner("Deployment", &deployment)],
                },
                "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
            }),
        );
        for name in ["demo-1-a", "demo-1-b"] {
            self.create(
                "pods",
                json!({
                    "metadata": {
                        "name": name, "namespace": NAMESPACE, "labels": labels,
                        "ownerReferences": [owner("ReplicaSet", &set)],
                    },
                    "spec": {"nodeName": "node1", "containers": template["spec"]["containers"]},
                }),
            );
            self.status("pods", name, running());
        }
    }

    /// The Deployment as it is now.
    pub(crate) fn demo(&self) -> Arc<Value> {
        self.store
            .get("deployments", Some(NAMESPACE), "demo")
            .unwrap()
    }

    /// The first lines of the requests that the app got.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Lets the app answer nobody for a while.
    pub(crate) fn hang(&self, hanging: bool) {
        self.hanging.send_replace(hanging);
    }

    /// Waits until the Deployment is at rest, and gives all that a run could have left changed.
    pub(crate) fn at_rest(&self) -> Value {
        wait_for("rest", || resting(&self.store, NAMESPACE))
    }

    fn create(&self, resource: &str, object: Value) -> Arc<Value> {
        self.store
            .create(resource, object)
            .unwrap_or_else(|error| panic!("{resource}: {error:?}"))
    }

    fn status(&self, resource: &str, name: &str, status: Value) {
        let set = |object: &mut Value| {
            object["status"] = status;
            Ok(())
        };
        self.store
            .update(resource, Some(NAMESPACE), name, set)
            .unwrap();
    }

    /// Goes on as a user who has every right that the program asks for, but for one.
    pub(crate) fn log_in_without(&self, resource: &str, verb: &str) {
        let rules: Vec<Value> = RIGHTS
            .iter()
            .filter(|right| (right.resource, right.verb) != (resource, verb))
            .map(|right| {
                json!({
                    "apiGroups": [right.group], "resources": [right.resource],
                    "verbs": [right.verb],
                })
            })
            .collect();
        let group = "rbac.authorization.k8s.io";
        self.create(
            "roles",
            json!({"metadata": {"name": "most", "namespace": NAMESPACE}, "rules": rules}),
        );
        self.create(
            "rolebindings",
            json!({
                "metadata": {"name": "most", "namespace": NAMESPACE},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "most"},
                "subjects": [{"apiGroup": group, "kind": "User", "name": "dev"}],
            }),
        );
        let token = self.api.issue_token(User::named("dev"));
        self.write_kubeconfig(&token);
    }

    /// Changes a pod in a way that means nothing.
    pub(crate) fn touch(&self, pod: &str) {
        let touch = |object: &mut Value| {
            object["metadata"]["annotations"] = json!({"touched": "yes"});
            Ok(())
        };
        self.store
            .update("pods", Some(NAMESPACE), pod, touch)
            .unwrap();
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) fn write_kubeconfig(&self, token: &str) {
        self.write(json!({"server": self.server}), token);
    }

    /// Goes on with an API server that is behind a proxy.
    pub(crate) fn write_kubeconfig_behind(&self, proxy: &str, server: &str) {
        self.write(json!({"server": server, "proxy-url": proxy}), &self.token);
    }

    fn write(&self, cluster: Value, token: &str) {
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "practice",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{
                "name": "practice", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE},
            }],
        });
        std::fs::write(self.kubeconfig(), text.to_string()).unwrap();
    }

    /// Lets a listener of this cluster be served until the end, with the API server's address; gives
    /// the listener's.
    pub(crate) fn serve_beside<F>(&self, serve: impl FnOnce(TcpListener, String) -> F) -> SocketAddr
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listening = TcpListener::bind("127.0.0.1:0");
        let listener = self.runtime.block_on(listening).unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.server.trim_start_matches("http://").to_owned();
        self.runtime.spawn(serve(listener, server));
        address
    }

    /// Writes a scenario with these steps and further fields of `spec`.
    pub(crate) fn scenario(&self, steps: &str, more: &str) -> PathBuf {
        let path = self.folder.path().join("scenario.yaml");
        let text = format!(
            "apiVersion: lastwatch.dev/v1alpha1
kind: Scenario
metadata: {{name: practice}}
spec:
  target: {{workload: deployment/demo, service: demo}}
  load:
    rate: 50/s
    requests: [{{name: fast, path: /, timeout: 1s}}]
    baseline: 1s
    settle: 3s
  steps: {steps}
{more}"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn run_directory(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// `lastwatch run SCENARIO` against this cluster.
    pub(crate) fn command(&self, scenario: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastwatch"));
        command
            .arg("run")
            .arg(scenario)
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .arg("--out")
            .arg(self.run_directory());
        command
    }

    /// The events of the run so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        record::events(&self.run_directory())
    }

    /// Waits until the run has recorded an event that fits.
    pub(crate) fn wait_for_event(&self, what: &str, fits: impl Fn(&Value) -> bool) {
        wait_for(what, || {
            let events = self.events();
            if events.iter().any(&fits) {
                Ok(())
            } else {
                let last = &events[events.len().saturating_sub(20)..];
                let last: Vec<String> = last.iter().map(Value::to_string).collect();
                Err(last.join("\n"))
            }
        });
    }

    /// Waits until the Deployment fits.
    pub(crate) fn wait_for_demo(&self, what: &str, fits: impl Fn(&Value) -> bool) {
        wait_for(what, || {
            let demo = self.demo();
            if fits(&demo) {
                Ok(())
            } else {
                Err(format!("{demo:#}"))
            }
        });
    }

    /// `lastwatch restore` of the run.
    pub(crate) fn restore(&self) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lastwatch"))
            .arg("restore")
            .arg(self.run_directory())
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .output()
            .unwrap()
    }

    pub(crate) fn blind(&self, what: &str) -> Vec<Value> {
        let events = self.events().into_iter();
        let blind = events.map(|event| event["kind"]["blind"].clone());
        blind.filter(|blind| blind["what"] == what).collect()
    }

    /// Waits until nothing listens at the API server's address.
    pub(crate) fn wait_for_outage(&self) {
        let address = self.server.trim_start_matches("http://");
        wait_for(
            "outage of the API server",
            || match std::net::TcpStream::connect(address) {
                Ok(_) => Err("it still listens".to_owned()),
                Err(_) => Ok(()),
            },
        );
    }

    pub(crate) fn report(&self) -> Value {
        record::report(&self.run_directory())
    }
}

fn owner(kind: &str, object: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "controller": true,
        "name": object["metadata"]["name"], "uid": object["metadata"]["uid"],
    })
}

/// Answers every request with 200, unless it is to hang, and keeps connections.
async fn serve(
    listener: TcpListener,
    hanging: watch::Receiver<bool>,
    heard: Arc<Mutex<Vec<String>>>,
) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (mut hanging, heard) = (hanging.clone(), Arc::clone(&heard));
        tokio::spawn(async move {
            let mut head = Vec::new();
            let mut chunk = [0; 1024];
            while let Ok(read @ 1..) = stream.read(&mut chunk).await {
                head.extend_from_slice(&chunk[..read]);
                if head.ends_with(b"\r\n\r\n") {
                    let close = head
                        .windows(17)
                        .any(|part| part.eq_ignore_ascii_case(b"connection: close"));
                    let text = String::from_utf8_lossy(&head);
                    let first = text.lines().next().unwrap_or_default().to_owned();
                    heard.lock().unwrap().push(first);
                    head.clear();
                    if hanging.wait_for(|hanging| !hanging).await.is_err() {
                        return;
                    }
                    let answer =
                        b"HTTP/1.1 200 OK\r\nx-pod-name: demo-1-a\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() || close {
                        return;
                    }
                }
            }
        });
    }
}

/// Asks until there is an answer, for a minute.
pub(crate) fn wait_for<T>(what: &str, ask: impl FnMut() -> Result<T, String>) -> T {
    crate::wait::wait_for(what, Duration::from_secs(60), ask)
}
