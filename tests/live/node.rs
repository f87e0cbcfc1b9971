//! A node of a practice cluster: its pods become ready, and end a while after their deletion.

use crate::practice::NAMESPACE;
use lastwatch::lab::store::{DeleteOptions, Store, object};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const NAME: &str = "node-a";

/// Plays the kubelet of one node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// From the deletion of a pod to its end.
    pub(crate) ending: Duration,
    /// New pods do not become ready.
    pub(crate) held: Arc<AtomicBool>,
}

impl Node {
    pub(crate) fn new(ending: Duration) -> Self {
        Self {
            ending,
            held: Arc::default(),
        }
    }

    pub(crate) async fn play(self, store: Arc<Store>, stop: CancellationToken) {
        let ready = json!({"type": "Ready", "status": "True"});
        let node = json!({"metadata": {"name": NAME}, "status": {"conditions": [ready]}});
        store.create("nodes", node).unwrap();
        let mut deleted = HashMap::new();
        while !stop.is_cancelled() {
            for pod in store.list("pods", Some(NAMESPACE)).1 {
                self.tend(&store, &pod, &mut deleted);
            }
            // The pace of the node, on which nobody waits.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn tend(&self, store: &Store, pod: &Value, deleted: &mut HashMap<String, Instant>) {
        let name = object::name(pod);
        let uid = object::uid(pod).to_owned();
        if object::is_terminating(pod) {
            let since = deleted.entry(uid.clone()).or_insert_with(Instant::now);
            if since.elapsed() < self.ending {
                return;
            }
            let ended =
                json!({"terminated": {"exitCode": 0, "startedAt": now(), "finishedAt": now()}});
            let _ = store.update("pods", Some(NAMESPACE), name, |pod| {
                pod["status"]["containerStatuses"][0]["state"] = ended;
                Ok(())
            });
            let options = DeleteOptions {
                grace: Some(0),
                uid: Some(uid),
            };
            let _ = store.delete("pods", Some(NAMESPACE), name, options);
        } else if !object::is_ready(pod)
            && pod["spec"]["nodeName"] == NAME
            && !self.held.load(Ordering::Relaxed)
        {
            let _ = store.update("pods", Some(NAMESPACE), name, |pod| {
                pod["status"] = running();
                Ok(())
            });
        }
    }
}

fn now() -> Value {
    json!(object::second(jiff::Timestamp::now()))
}

/// The status of a pod that serves: every pod of a practice cluster has the address of its one app.
pub(crate) fn running() -> Value {
    json!({
        "phase": "Running", "podIP": "127.0.0.1",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now()}],
        "containerStatuses": [{
            "name": "app", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": now()}},
        }],
    })
}
