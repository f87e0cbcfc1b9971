//! Which Events does the kubelet record, and in which words (Kubernetes 1.33)?

use super::clock::NodeClock;
use crate::lab::store::Store;
use crate::lab::store::object::{name, namespace, second, text, uid};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Records one node's Events. The same words about the same container are counted in one object.
#[derive(Debug)]
pub(crate) struct Recorder {
    store: Arc<Store>,
    node: String,
    clock: NodeClock,
    seen: Mutex<HashMap<String, String>>,
}

impl Recorder {
    pub(crate) fn new(store: Arc<Store>, node: &str, clock: NodeClock) -> Self {
        Self {
            store,
            node: node.to_owned(),
            clock,
            seen: Mutex::default(),
        }
    }

    /// Records something normal about a container.
    pub(crate) fn normal(&self, pod: &Value, container: &str, reason: &str, message: &str) {
        self.record(pod, container, "Normal", reason, message);
    }

    /// Records a warning about a container.
    pub(crate) fn warning(&self, pod: &Value, container: &str, reason: &str, message: &str) {
        self.record(pod, container, "Warning", reason, message);
    }

    fn record(&self, pod: &Value, container: &str, kind: &str, reason: &str, message: &str) {
        let stamp = second(self.clock.now());
        let key = [uid(pod), container, reason, message].join("\n");
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(event) = seen.get(&key) {
            let counted = self
                .store
                .update("events", Some(namespace(pod)), event, |event| {
                    let count = event["count"].as_i64().unwrap_or(1);
                    event["count"] = json!(count + 1);
                    event["lastTimestamp"] = json!(stamp);
                    Ok(())
                });
            if counted.is_ok() {
                return;
            }
        }
        let event = json!({
            "metadata": {
                "name": format!("{}.{:x}", name(pod), crate::lab::truth::now()),
                "namespace": namespace(pod),
            },
            "involvedObject": {
                "kind": "Pod",
                "namespace": namespace(pod),
                "name": name(pod),
                "uid": uid(pod),
                "apiVersion": "v1",
                "resourceVersion": pod["metadata"]["resourceVersion"],
                "fieldPath": field_path(pod, container),
            },
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self.node},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "type": kind,
            "eventTime": null,
            "reportingComponent": "kubelet",
            "reportingInstance": self.node,
        });
        match self.store.create("events", event) {
            Ok(event) => {
                seen.insert(key, name(&event).to_owned());
            }
            Err(error) => tracing::warn!(%error, "an Event was lost"),
        }
    }
}

fn field_path(pod: &Value, container: &str) -> String {
    let init = crate::lab::store::object::items(&pod["spec"]["initContainers"])
        .iter()
        .any(|init| text(&init["name"]) == container);
    let field = if init { "initContainers" } else { "containers" };
    format!("spec.{field}{{{container}}}")
}
