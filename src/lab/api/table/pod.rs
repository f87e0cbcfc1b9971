//! In which state does kubectl say that a pod is?

use super::age::since;
use crate::lab::store::object;
use jiff::Timestamp;
use serde_json::Value;

/// What the first columns of a pod's row say.
pub(super) struct Summary {
    /// `2/3`.
    pub(super) ready: String,
    /// `Running`, `CrashLoopBackOff`, `Init:0/1`, `Terminating`, ...
    pub(super) status: String,
    /// `0`, or `1 (5s ago)`.
    pub(super) restarts: String,
}

/// Summarises a pod by the order of precedence of the real printer.
pub(super) fn summary(pod: &Value, now: Timestamp) -> Summary {
    let mut count = Count::default();
    let regular = object::items(&pod["status"]["containerStatuses"]);
    let mut total = object::items(&pod["spec"]["containers"]).len();
    let mut status = match object::text(&pod["status"]["reason"]) {
        "" => object::text(&pod["status"]["phase"]).to_owned(),
        reason => reason.to_owned(),
    };
    let initializing = init(pod, &mut count, &mut total);
    if let Some(reason) = &initializing {
        status.clone_from(reason);
    } else {
        let mut running = false;
        for container in regular.iter().rev() {
            count.add(container);
            match reason(container) {
                Some(reason) => status = reason,
                None => {
                    let runs =
                        container["ready"] == true && container["state"]["running"].is_object();
                    running |= runs;
                    count.ready += usize::from(runs);
                }
            }
        }
        if status == "Completed" && running {
            let ready = object::is_ready(pod);
            status = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if object::is_terminating(pod) {
        if object::text(&pod["status"]["reason"]) == "NodeLost" {
            status = "Unknown".to_owned();
        } else if !object::is_terminal(pod) {
            status = "Terminating".to_owned();
        }
    }
    let restarts = match count.last {
        Some(last) if count.restarts > 0 => {
            format!("{} ({} ago)", count.restarts, since(last, now))
        }
        _ => count.restarts.to_string(),
    };
    Summary {
        ready: format!("{}/{total}", count.ready),
        status,
        restarts,
    }
}

#[derive(Default)]
struct Count<'a> {
    ready: usize,
    restarts: i64,
    last: Option<&'a Value>,
}

impl<'a> Count<'a> {
    fn add(&mut self, container: &'a Value) {
        self.restarts += container["restartCount"].as_i64().unwrap_or(0);
        let last = &container["lastState"]["terminated"]["finishedAt"];
        if last.is_string()
            && self
                .last
                .is_none_or(|own| object::text(own) < object::text(last))
        {
            self.last = Some(last);
        }
    }
}

/// Why a container does not run, in the printer's words.
fn reason(container: &Value) -> Option<String> {
    let waiting = object::text(&container["state"]["waiting"]["reason"]);
    let terminated = &container["state"]["terminated"];
    if !waiting.is_empty() {
        return Some(waiting.to_owned());
    }
    if !terminated.is_object() {
        return None;
    }
    let why = object::text(&terminated["reason"]);
    if !why.is_empty() {
        return Some(why.to_owned());
    }
    let signal = terminated["signal"].as_i64().unwrap_or(0);
    Some(if signal != 0 {
        format!("Signal:{signal}")
    } else {
        format!("ExitCode:{}", terminated["exitCode"])
    })
}

/// The first init container that still holds the pod up, as `Init:...`. Native sidecars count as
/// containers once they have started.
fn init<'a>(pod: &'a Value, count: &mut Count<'a>, total: &mut usize) -> Option<String> {
    let specs = object::items(&pod["spec"]["initContainers"]);
    let is_sidecar = |name: &Value| {
        specs
            .iter()
            .any(|spec| spec["name"] == *name && spec["restartPolicy"] == "Always")
    };
    *total += specs
        .iter()
        .filter(|spec| spec["restartPolicy"] == "Always")
        .count();
    for (at, container) in object::items(&pod["status"]["initContainerStatuses"])
        .iter()
        .enumerate()
    {
        let sidecar = is_sidecar(&container["name"]);
        if sidecar {
            count.add(container);
        }
        let state = &container["state"];
        if state["terminated"]["exitCode"] == 0 {
            continue;
        }
        if sidecar && container["started"] == true {
            count.ready += usize::from(container["ready"] == true);
            continue;
        }
        let waiting = object::text(&state["waiting"]["reason"]);
        if state["terminated"].is_object() {
            return reason(container).map(|why| format!("Init:{why}"));
        }
        if !waiting.is_empty() && waiting != "PodInitializing" {
            return Some(format!("Init:{waiting}"));
        }
        return Some(format!("Init:{at}/{}", specs.len()));
    }
    None
}
