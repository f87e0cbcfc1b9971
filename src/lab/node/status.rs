//! What does the kubelet report of a pod?
//!
//! [`render`] turns what a node knows of a pod into `status` as a kubelet writes it. It is pure:
//! instants come in from outside, and a condition keeps its transition time while it stays as it is.

use crate::lab::store::object::{self, items, second, text};
use jiff::Timestamp;
use serde_json::{Value, json};

/// What a node knows of a pod.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PodView {
    /// Now, by the node's clock.
    pub(crate) now: Timestamp,
    /// When the node took the pod on.
    pub(crate) start_time: Timestamp,
    /// The node's address.
    pub(crate) host_ip: String,
    /// The pod's address, once its first container has been started.
    pub(crate) pod_ip: Option<String>,
    /// The sandbox is there.
    pub(crate) sandbox: bool,
    /// Init containers and native sidecars, in order.
    pub(crate) init: Vec<ContainerView>,
    /// Regular containers, in order.
    pub(crate) containers: Vec<ContainerView>,
    /// Nothing will be started again: the pod is being deleted.
    pub(crate) ending: bool,
}

/// What a node knows of a container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ContainerView {
    pub(crate) name: String,
    pub(crate) image: String,
    /// An init container with `restartPolicy: Always`.
    pub(crate) sidecar: bool,
    pub(crate) state: State,
    pub(crate) last: Option<Finished>,
    pub(crate) ready: bool,
    pub(crate) started: bool,
    pub(crate) restarts: u32,
    /// `containerd://...` of the newest instance.
    pub(crate) id: Option<String>,
}

/// A container's state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// Not running, with the kubelet's word for why.
    Waiting {
        reason: &'static str,
        message: Option<String>,
    },
    /// Running.
    Running { since: Timestamp },
    /// Ended.
    Terminated(Finished),
}

/// How an instance of a container ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) reason: &'static str,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
    pub(crate) id: String,
    pub(crate) message: Option<String>,
}

impl ContainerView {
    /// It runs.
    pub(crate) fn running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    fn finished(&self) -> Option<&Finished> {
        match &self.state {
            State::Terminated(finished) => Some(finished),
            _ => None,
        }
    }

    /// An init container that has done its part: ended well, or a sidecar that has started.
    fn initialized(&self) -> bool {
        if self.sidecar {
            self.started || self.finished().is_some()
        } else {
            self.finished().is_some_and(|finished| finished.code == 0)
        }
    }
}

/// Whether a container is started again after it has ended with `code`.
pub(crate) fn restarts(policy: &str, code: i32) -> bool {
    match policy {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

/// The pod's phase.
pub(crate) fn phase(view: &PodView, policy: &str) -> &'static str {
    let policy = if view.ending { "Never" } else { policy };
    let failed_init = view.init.iter().any(|init| {
        !init.sidecar
            && init
                .finished()
                .is_some_and(|finished| finished.code != 0 && !restarts(policy, finished.code))
    });
    if failed_init {
        return "Failed";
    }
    let over = |container: &ContainerView| {
        container
            .finished()
            .is_some_and(|finished| !restarts(policy, finished.code))
    };
    if view.containers.iter().all(over) {
        let well = |container: &ContainerView| {
            container
                .finished()
                .is_some_and(|finished| finished.code == 0)
        };
        return if view.containers.iter().all(well) {
            "Succeeded"
        } else {
            "Failed"
        };
    }
    let begun = |container: &ContainerView| {
        container.running() || container.finished().is_some() || container.last.is_some()
    };
    if view.init.iter().all(ContainerView::initialized) && view.containers.iter().all(begun) {
        "Running"
    } else {
        "Pending"
    }
}

/// The pod's status.
pub(crate) fn render(pod: &Value, view: &PodView) -> Value {
    let policy = text(&pod["spec"]["restartPolicy"]);
    let phase = phase(view, policy);
    let generation = pod["metadata"]["generation"].as_i64().unwrap_or(1);
    let mut status = json!({
        "observedGeneration": generation,
        "phase": phase,
        "conditions": conditions(pod, view, phase, generation),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "startTime": second(view.start_time),
        "containerStatuses": statuses(&view.containers),
        "qosClass": pod["status"]["qosClass"],
    });
    if !view.init.is_empty() {
        status["initContainerStatuses"] = statuses(&view.init);
    }
    if let Some(ip) = &view.pod_ip {
        status["podIP"] = json!(ip);
        status["podIPs"] = json!([{"ip": ip}]);
    }
    status
}

fn statuses(containers: &[ContainerView]) -> Value {
    containers.iter().map(container_status).collect()
}

fn container_status(view: &ContainerView) -> Value {
    let state = match &view.state {
        State::Waiting { reason, message } => {
            let mut waiting = json!({"reason": reason});
            if let Some(message) = message {
                waiting["message"] = json!(message);
            }
            json!({"waiting": waiting})
        }
        State::Running { since } => json!({"running": {"startedAt": second(*since)}}),
        State::Terminated(finished) => terminated(finished),
    };
    let mut status = json!({
        "name": view.name,
        "state": state,
        "lastState": view.last.as_ref().map_or_else(|| json!({}), terminated),
        "ready": view.ready,
        "restartCount": view.restarts,
        "image": view.image,
        "imageID": "",
        "started": view.started,
    });
    if let Some(id) = &view.id {
        status["containerID"] = json!(id);
        status["imageID"] = json!(format!("lastwatch.dev/lab@{}", view.image));
    }
    status
}

fn terminated(finished: &Finished) -> Value {
    let mut terminated = json!({
        "exitCode": finished.code,
        "reason": finished.reason,
        "startedAt": second(finished.started),
        "finishedAt": second(finished.finished),
        "containerID": finished.id,
    });
    if let Some(message) = &finished.message {
        terminated["message"] = json!(message);
    }
    json!({"terminated": terminated})
}

fn conditions(pod: &Value, view: &PodView, phase: &str, generation: i64) -> Value {
    let over = match phase {
        "Succeeded" => Some("PodCompleted"),
        "Failed" => Some("PodFailed"),
        _ => None,
    };
    let initialized = view.init.iter().all(ContainerView::initialized);
    let unready: Vec<_> = view
        .init
        .iter()
        .filter(|init| init.sidecar)
        .chain(&view.containers)
        .filter(|container| !container.ready)
        .map(|container| container.name.as_str())
        .collect();
    let ready = || match over {
        Some(reason) => (false, Some(reason), None),
        None if unready.is_empty() => (true, None, None),
        None => (
            false,
            Some("ContainersNotReady"),
            Some(format!(
                "containers with unready status: [{}]",
                unready.join(" ")
            )),
        ),
    };
    let incomplete = || {
        let names: Vec<_> = view
            .init
            .iter()
            .filter(|init| !init.initialized())
            .map(|init| init.name.as_str())
            .collect();
        format!("containers with incomplete status: [{}]", names.join(" "))
    };
    let init = match over {
        Some("PodCompleted") => (true, Some("PodCompleted"), None),
        _ if initialized => (true, None, None),
        _ => (false, Some("ContainersNotInitialized"), Some(incomplete())),
    };
    let own = [
        ("PodReadyToStartContainers", (view.sandbox, None, None)),
        ("Initialized", init),
        ("Ready", ready()),
        ("ContainersReady", ready()),
    ];
    let mut conditions: Vec<_> = own
        .into_iter()
        .map(|(kind, (holds, reason, message))| {
            condition(pod, view.now, generation, kind, holds, reason, message)
        })
        .collect();
    // Those of others: PodScheduled, DisruptionTarget.
    conditions.extend(
        items(&pod["status"]["conditions"])
            .iter()
            .filter(|condition| !own_kind(text(&condition["type"])))
            .cloned(),
    );
    Value::Array(conditions)
}

fn own_kind(kind: &str) -> bool {
    matches!(
        kind,
        "PodReadyToStartContainers" | "Initialized" | "Ready" | "ContainersReady"
    )
}

fn condition(
    pod: &Value,
    now: Timestamp,
    generation: i64,
    kind: &str,
    holds: bool,
    reason: Option<&str>,
    message: Option<String>,
) -> Value {
    let status = if holds { "True" } else { "False" };
    let since = object::condition(pod, kind)
        .filter(|before| before["status"] == status)
        .map_or_else(
            || json!(second(now)),
            |before| before["lastTransitionTime"].clone(),
        );
    let mut condition = json!({
        "type": kind,
        "observedGeneration": generation,
        "status": status,
        "lastProbeTime": null,
        "lastTransitionTime": since,
    });
    if let Some(reason) = reason {
        condition["reason"] = json!(reason);
    }
    if let Some(message) = message {
        condition["message"] = json!(message);
    }
    condition
}

#[cfg(test)]
mod tests;
