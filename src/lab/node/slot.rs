//! What does a pod's worker keep of each container?

use super::backoff::Backoff;
use super::process::Process;
use super::status::{ContainerView, Finished, State, restarts};
use crate::lab::store::object::{items, text};
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A container of a pod, through all of its instances.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its part of the pod's spec.
    pub(super) spec: Value,
    /// An init container, a sidecar among them.
    pub(super) init: bool,
    pub(super) view: ContainerView,
    /// Counts the instances, so that late news of an earlier one is told apart.
    pub(super) instance: u64,
    pub(super) running: Option<Running>,
    pub(super) backoff: Backoff,
    /// Nothing is tried again: the spec cannot be carried out.
    pub(super) hopeless: bool,
}

/// An instance that runs, or whose end the kubelet has not seen yet.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: Arc<Process>,
    pub(super) env: Vec<(String, String)>,
    pub(super) began: Instant,
    /// Ends liveness and startup probes.
    pub(super) health: CancellationToken,
    /// Ends the readiness probe.
    pub(super) readiness: CancellationToken,
    /// It is being stopped for a failed probe.
    pub(super) stopping: bool,
}

/// The slots of a pod, init containers first, each in the order of the spec.
pub(super) fn slots(pod: &Value) -> Vec<Slot> {
    let spec = &pod["spec"];
    let init = items(&spec["initContainers"]).iter().map(|c| (c, true));
    let regular = items(&spec["containers"]).iter().map(|c| (c, false));
    let first = if items(&spec["initContainers"]).is_empty() {
        "ContainerCreating"
    } else {
        "PodInitializing"
    };
    init.chain(regular)
        .map(|(container, init)| Slot {
            spec: container.clone(),
            init,
            view: ContainerView {
                name: text(&container["name"]).to_owned(),
                image: text(&container["image"]).to_owned(),
                sidecar: init && container["restartPolicy"] == "Always",
                state: State::Waiting {
                    reason: first,
                    message: None,
                },
                last: None,
                ready: false,
                started: false,
                restarts: 0,
                id: None,
            },
            instance: 0,
            running: None,
            backoff: Backoff::default(),
            hopeless: false,
        })
        .collect()
}

/// The slots that may be started now: init containers one after the other, a sidecar before what
/// comes after it, and then the regular ones.
pub(super) fn startable(slots: &[Slot], policy: &str) -> Vec<usize> {
    let mut found = Vec::new();
    for (index, slot) in slots.iter().enumerate() {
        let next = match (&slot.view.state, slot.init, slot.view.sidecar) {
            (_, false, _) => match &slot.view.state {
                State::Running { .. } => Next::GoOn,
                State::Waiting { .. } => Next::StartAndGoOn,
                State::Terminated(end) if restarts(policy, end.code) => Next::StartAndGoOn,
                State::Terminated(_) => Next::GoOn,
            },
            (State::Running { .. }, true, true) if slot.view.started => Next::GoOn,
            (State::Running { .. }, true, _) => Next::Wait,
            (State::Terminated(_), true, true) => Next::StartAndGoOn,
            (State::Terminated(Finished { code: 0, .. }), true, false) => Next::GoOn,
            (State::Terminated(_), true, false) if policy == "Never" => Next::Wait,
            (State::Waiting { .. } | State::Terminated(_), true, _) => Next::StartAndWait,
        };
        if matches!(next, Next::StartAndGoOn | Next::StartAndWait) {
            found.push(index);
        }
        if matches!(next, Next::Wait | Next::StartAndWait) {
            break;
        }
    }
    found
}

enum Next {
    GoOn,
    Wait,
    StartAndGoOn,
    StartAndWait,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Value {
        json!({"spec": {
            "initContainers": [{"name": "setup"}, {"name": "proxy", "restartPolicy": "Always"}],
            "containers": [{"name": "app"}, {"name": "helper"}]
        }})
    }

    fn ended(code: i32) -> State {
        State::Terminated(Finished {
            code,
            reason: "Completed",
            started: jiff::Timestamp::UNIX_EPOCH,
            finished: jiff::Timestamp::UNIX_EPOCH,
            id: String::new(),
            message: None,
        })
    }

    fn running(slot: &mut Slot, started: bool) {
        slot.view.state = State::Running {
            since: jiff::Timestamp::UNIX_EPOCH,
        };
        slot.view.started = started;
    }

    #[test]
    fn containers_start_in_the_order_that_the_kubelet_keeps() {
        let mut slots = slots(&pod());
        assert_eq!(startable(&slots, "Always"), [0], "init first");
        running(&mut slots[0], true);
        assert!(startable(&slots, "Always").is_empty(), "it must end");
        slots[0].view.state = ended(1);
        assert_eq!(startable(&slots, "Always"), [0], "it is tried again");
        assert!(startable(&slots, "Never").is_empty(), "or not");
        slots[0].view.state = ended(0);
        assert_eq!(startable(&slots, "Always"), [1]);
        running(&mut slots[1], false);
        assert!(
            startable(&slots, "Always").is_empty(),
            "its startup probe must succeed"
        );
        running(&mut slots[1], true);
        assert_eq!(startable(&slots, "Always"), [2, 3]);
        running(&mut slots[2], true);
        running(&mut slots[3], true);
        assert!(startable(&slots, "Always").is_empty());
        slots[1].view.state = ended(2);
        assert_eq!(
            startable(&slots, "Always"),
            [1],
            "a sidecar comes back by itself"
        );
        slots[2].view.state = ended(0);
        assert_eq!(startable(&slots, "Always"), [1, 2]);
        assert_eq!(startable(&slots, "OnFailure"), [1]);
    }
}
