//! Which pods are there now, and in which state?
//!
//! The live view that log followers, probes, steps and progress lines read. The record has the
//! objects themselves; nothing is judged from this view.

use crate::evidence::{is_proxy, ran};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;

/// The container that Istio adds: the one sidecar whose log is read.
pub(crate) const SIDECAR: &str = "istio-proxy";

/// A pod as its last delivery showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodState {
    /// Its uid.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Its address, once it has one.
    pub ip: Option<String>,
    /// Its node, once it has one.
    pub node: Option<String>,
    /// The condition `Ready`.
    pub ready: bool,
    /// Its deletion was requested.
    pub terminating: bool,
    /// It was removed from storage.
    pub gone: bool,
    /// None of its containers runs, or will again: phase `Succeeded` or `Failed`.
    pub finished: bool,
    /// It has a container `istio-proxy`.
    pub sidecar: bool,
    /// It has the proxy of some mesh, which answers at its address before the app does.
    pub proxied: bool,
    /// Its containers and native sidecars.
    pub containers: Vec<ContainerState>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerState {
    /// Its name.
    pub name: String,
    /// Its instance: 0, then one more with each restart.
    pub instance: u32,
    /// This instance has been started.
    pub started: bool,
    /// This instance has ended.
    pub ended: bool,
}

impl PodState {
    /// Reads a `Pod`; `None` where it has no uid.
    pub fn of(object: &Value) -> Option<Self> {
        let metadata = object.get("metadata")?;
        let (spec, status) = (&object["spec"], &object["status"]);
        let names: BTreeSet<&str> = lists(spec, &["containers", "initContainers"])
            .filter_map(|container| container["name"].as_str())
            .collect();
        Some(Self {
            uid: text(&metadata["uid"])?,
            name: text(&metadata["name"])?,
            ip: text(&status["podIP"]),
            node: text(&spec["nodeName"]),
            ready: is_ready(status),
            terminating: metadata["deletionTimestamp"].is_string(),
            gone: false,
            finished: matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")),
            sidecar: names.contains(SIDECAR),
            proxied: names.iter().any(|name| is_proxy(name)),
            containers: containers(spec, status),
        })
    }

    /// A container by name.
    pub fn container(&self, name: &str) -> Option<&ContainerState> {
        self.containers.iter().find(|found| found.name == name)
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn lists<'a>(value: &'a Value, keys: &'a [&str]) -> impl Iterator<Item = &'a Value> {
    keys.iter()
        .filter_map(|key| value[*key].as_array())
        .flatten()
}

fn is_ready(status: &Value) -> bool {
    lists(status, &["conditions"])
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The containers whose logs tell of a termination: the regular ones and the native sidecars, not
/// the init containers that were over before the pod began.
fn containers(spec: &Value, status: &Value) -> Vec<ContainerState> {
    let sidecars =
        lists(spec, &["initContainers"]).filter(|container| container["restartPolicy"] == "Always");
    let names = lists(spec, &["containers"])
        .chain(sidecars)
        .filter_map(|container| text(&container["name"]));
    names
        .map(|name| {
            let found = lists(status, &["containerStatuses", "initContainerStatuses"])
                .find(|status| status["name"] == name.as_str());
            let state = found.map_or(&Value::Null, |status| &status["state"]);
            let count = found.and_then(|status| status["restartCount"].as_u64());
            let ended = state["terminated"].is_object();
            // Between two instances (`waiting`, CrashLoopBackOff) the last one has ended.
            let last = found.map_or(&Value::Null, |status| &status["lastState"]);
            let between = state["waiting"].is_object() && last["terminated"].is_object();
            ContainerState {
                name,
                instance: u32::try_from(count.unwrap_or(0)).unwrap_or(u32::MAX),
                started: state["running"].is_object() || ran(state) || (between && ran(last)),
                ended: ended || between,
            }
        })
        .collect()
}

/// The pods in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodSummary {
    /// Known before the last [`PodBook::mark`], not yet asked to go.
    pub old: usize,
    /// Came after it.
    pub new: usize,
    /// Asked to go and still there.
    pub terminating: usize,
    /// Ready and not asked to go.
    pub ready: usize,
}

/// The live view of the subject's pods, shared by those who need it.
#[derive(Clone, Debug)]
pub struct PodBook {
    pods: Arc<Mutex<Pods>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Pods {
    by_uid: BTreeMap<String, PodState>,
    old: BTreeSet<String>,
    marked: bool,
}

impl Default for PodBook {
    fn default() -> Self {
        Self {
            pods: Arc::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl PodBook {
    fn lock(&self) -> MutexGuard<'_, Pods> {
        self.pods
            .lock()
            .expect("nothing panics while the book is open")
    }

    fn announce(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// Takes a delivered state.
    pub(super) fn apply(&self, object: &Value) {
        if let Some(pod) = PodState::of(object) {
            self.lock().by_uid.insert(pod.uid.clone(), pod);
            self.announce();
        }
    }

    /// A pod was removed from storage.
    pub(super) fn remove(&self, uid: &str) {
        if let Some(pod) = self.lock().by_uid.get_mut(uid) {
            pod.terminating = true;
            pod.gone = true;
        }
        self.announce();
    }

    /// From now on the pods that exist are the old ones.
    pub fn mark(&self) {
        let mut pods = self.lock();
        pods.old = living(&pods.by_uid).map(|pod| pod.uid.clone()).collect();
        pods.marked = true;
    }

    /// The first lists have been delivered, and the pods in them are known as the old ones.
    pub(super) fn is_marked(&self) -> bool {
        self.lock().marked
    }

    /// A pod by uid, also when it is gone.
    pub fn get(&self, uid: &str) -> Option<PodState> {
        self.lock().by_uid.get(uid).cloned()
    }

    /// All pods that were ever seen, the gone ones too.
    pub fn all(&self) -> Vec<PodState> {
        self.lock().by_uid.values().cloned().collect()
    }

    /// The pods in numbers.
    pub fn summary(&self) -> PodSummary {
        let pods = self.lock();
        let mut summary = PodSummary::default();
        for pod in living(&pods.by_uid) {
            if pod.terminating {
                summary.terminating += 1;
            } else if pods.old.contains(&pod.uid) {
                summary.old += 1;
            } else {
                summary.new += 1;
            }
            summary.ready += usize::from(pod.ready && !pod.terminating);
        }
        summary
    }

    /// Whether a living pod of the subject runs on a node.
    pub(super) fn is_host(&self, node: &str) -> bool {
        let pods = self.lock();
        living(&pods.by_uid).any(|pod| pod.node.as_deref() == Some(node))
    }

    /// Resolves with each change. The first wait resolves at once.
    pub fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changed.subscribe();
        changes.mark_changed();
        changes
    }
}

fn living(pods: &BTreeMap<String, PodState>) -> impl Iterator<Item = &PodState> {
    pods.values().filter(|pod| !pod.gone)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A running pod with the given containers.
    pub(in crate::observe) fn pod(name: &str, state: Value) -> Value {
        json!({
            "metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": "1"},
            "spec": {
                "nodeName": "node1",
                "initContainers": [
                    {"name": "setup"},
                    {"name": "istio-proxy", "restartPolicy": "Always"},
                ],
                "containers": [{"name": "app"}],
            },
            "status": {
                "podIP": "10.244.0.9",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "app", "restartCount": 2, "state": state}],
            },
        })
    }

    #[test]
    fn native_sidecars_count_as_containers_and_plain_init_containers_do_not() {
        let pod = PodState::of(&pod("a", json!({"running": {}}))).expect("a pod");
        let names: Vec<_> = pod.containers.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["app", "istio-proxy"]);
        assert!(pod.sidecar && pod.ready);
        let app = pod.container("app").expect("it has an app");
        assert_eq!((app.instance, app.started, app.ended), (2, true, false));
        assert!(!pod.container("istio-proxy").expect("a sidecar").started);
    }

    #[test]
    fn a_container_that_ended_without_having_run_was_not_started() {
        let ended = |reason: &str| json!({"terminated": {"reason": reason, "exitCode": 1}});
        for (reason, started) in [
            ("Error", true),
            ("ContainerStatusUnknown", false),
            ("StartError", false),
            ("ContainerCannotRun", false),
        ] {
            let mut waiting = pod("a", json!({"waiting": {"reason": "CrashLoopBackOff"}}));
            waiting["status"]["containerStatuses"][0]["lastState"] = ended(reason);
            for object in [pod("a", ended(reason)), waiting] {
                let found = PodState::of(&object).expect("a pod");
                let app = found.container("app").expect("it has an app");
                assert_eq!((app.started, app.ended), (started, true), "{object}");
            }
        }
    }

    #[test]
    fn pods_that_come_after_the_mark_are_new_and_the_gone_are_not_counted() {
        let book = PodBook::default();
        book.apply(&pod("a", Value::Null));
        book.apply(&pod("b", Value::Null));
        book.mark();
        book.apply(&pod("c", Value::Null));
        let mut leaving = pod("b", Value::Null);
        leaving["metadata"]["deletionTimestamp"] = json!("2026-11-24T17:00:00Z");
        book.apply(&leaving);
        let (old, new, terminating, ready) = (1, 1, 1, 2);
        let expected = PodSummary {
            old,
            new,
            terminating,
            ready,
        };
        assert_eq!(book.summary(), expected);
        book.remove("uid-b");
        assert_eq!(book.summary().terminating, 0);
        assert!(book.get("uid-b").expect("still known").gone);
    }
}
