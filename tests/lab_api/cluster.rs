//! A lab whose nodes only pretend: pods become ready, and end when they are deleted.

use bytes::Bytes;
use futures::{StreamExt, stream};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use lastwatch::lab::api::{Api, LogRequest, LogSource, LogStream, Server, User, kubeconfig};
use lastwatch::lab::controllers;
use lastwatch::lab::store::{DeleteOptions, Status, Store, object};
use lastwatch::task::Scope;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A running cluster.
pub(crate) struct Practice {
    pub(crate) store: Arc<Store>,
    pub(crate) api: Arc<Api>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: String,
    certificate: String,
    scope: Scope,
}

impl Practice {
    pub(crate) async fn start() -> Self {
        let store = Store::new();
        let api = Api::new(Arc::clone(&store), Echo);
        let server = Server::bind(Arc::clone(&api), "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = server.address();
        let certificate = server.certificate();
        let mut scope = Scope::new(&CancellationToken::new());
        controllers::start(&store, &mut scope);
        let token = scope.token();
        scope.spawn("api", async move { server.run(token).await.unwrap() });
        for name in ["node1", "node2"] {
            let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.33.0"},
                    "addresses": [{"type": "InternalIP", "address": "172.18.0.2"}]}});
            store.create("nodes", node).unwrap();
        }
        scope.spawn("node", node(Arc::clone(&store), scope.token()));
        let admin = api.issue_token(User::admin());
        Self {
            store,
            api,
            address,
            admin,
            certificate,
            scope,
        }
    }

    pub(crate) async fn stop(self) {
        self.scope.finish().await.unwrap();
    }

    pub(crate) fn kubeconfig(&self, token: &str) -> String {
        kubeconfig(self.address, &self.certificate, token)
    }

    /// A client that never asks again by itself, so that a refusal is seen.
    pub(crate) async fn client_of(&self, token: &str) -> kube::Client {
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig(token)).unwrap();
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    }

    pub(crate) async fn client(&self) -> kube::Client {
        self.client_of(&self.admin).await
    }
}

/// Logs that say what was asked for.
struct Echo;

impl LogSource for Echo {
    fn open(&self, request: LogRequest) -> Result<LogStream, Status> {
        let first = format!(
            "{}first of {} {}\n",
            if request.timestamps {
                "2026-01-02T03:04:05.000000001Z "
            } else {
                ""
            },
            request.pod,
            request.container
        );
        let head = stream::iter([Ok(Bytes::from(first))]);
        if request.follow {
            return Ok(head.chain(stream::pending()).boxed());
        }
        Ok(head.boxed())
    }
}

/// Makes scheduled pods ready, and lets deleted ones end.
async fn node(store: Arc<Store>, token: CancellationToken) {
    let mut pods = store.watch("pods", None, None).unwrap();
    let mut address = 0;
    loop {
        let change = tokio::select! {
            () = token.cancelled() => return,
            change = pods.next() => change.unwrap(),
        };
        let pod = change.object;
        if object::text(&pod["spec"]["nodeName"]).is_empty() {
            continue;
        }
        let store = Arc::clone(&store);
        if object::is_terminating(&pod) && !object::is_terminal(&pod) {
            tokio::spawn(end(store, pod));
        } else if pod["status"]["podIP"].is_null() {
            address += 1;
            let ip = format!("10.244.0.{address}");
            store
                .update(
                    "pods",
                    Some(object::namespace(&pod)),
                    object::name(&pod),
                    |pod| {
                        pod["status"]["podIP"] = json!(ip);
                        pod["status"]["phase"] = json!("Running");
                        set_ready(pod, "False");
                        Ok(())
                    },
                )
                .ok();
            tokio::spawn(begin(store, pod));
        }
    }
}

async fn begin(store: Arc<Store>, pod: Arc<Value>) {
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _ = store.update(
        "pods",
        Some(object::namespace(&pod)),
        object::name(&pod),
        |pod| {
            set_ready(pod, "True");
            Ok(())
        },
    );
}

async fn end(store: Arc<Store>, pod: Arc<Value>) {
    let (place, name) = (Some(object::namespace(&pod)), object::name(&pod));
    tokio::time::sleep(Duration::from_millis(150)).await;
    let _ = store.update("pods", place, name, |pod| {
        pod["status"]["phase"] = json!("Succeeded");
        set_ready(pod, "False");
        Ok(())
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let options = DeleteOptions {
        grace: Some(0),
        uid: Some(object::uid(&pod).to_owned()),
    };
    let _ = store.delete("pods", place, name, options);
}

fn set_ready(pod: &mut Value, status: &str) {
    let now = object::second(jiff::Timestamp::now());
    pod["status"]["conditions"] =
        json!([{"type": "Ready", "status": status, "lastTransitionTime": now}]);
    let statuses: Vec<Value> = object::items(&pod["spec"]["containers"])
        .iter()
        .map(|container| {
            json!({"name": container["name"], "ready": status == "True", "restartCount": 0, "started": true,
                "image": container["image"], "imageID": "", "state": {"running": {"startedAt": now}}})
        })
        .collect();
    pod["status"]["containerStatuses"] = json!(statuses);
}

/// A Deployment and its Service.
pub(crate) fn demo(replicas: i64) -> [Value; 2] {
    let labels = json!({"app": "demo"});
    [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo", "namespace": "default"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [
                    {"name": "app", "image": "lastwatch/lab-app:1", "ports": [{"name": "http", "containerPort": 8080}]}]}}}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo", "namespace": "default"},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}),
    ]
}
