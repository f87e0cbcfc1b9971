//! Which evidence about a pod was not seen?

use crate::attribution::Missing;
use crate::attribution::scene::{Pod, Scene};
use crate::evidence::{Interval, Role};

/// What a gate that needs it must call inconclusive.
pub(super) fn of(scene: &Scene<'_>, pod: &Pod, window: Option<Interval>) -> Vec<Missing> {
    let mut found = Vec::new();
    let span = window.unwrap_or(Interval {
        lo: pod.life.first_seen,
        hi: pod.life.last_seen,
    });
    if pod.life.unseen || scene.blind("pods", span) {
        found.push(Missing::Pods);
    }
    if scene.timeline.run.service.is_some()
        && (!scene.endpoints.seen || scene.blind("endpointslices", span))
    {
        found.push(Missing::Slices);
    }
    if app_logs_unseen(scene, pod, pod.ending().unwrap_or(span)) {
        found.push(Missing::AppLogs);
    }
    if let Some(proxy) = pod.life.sidecar() {
        let hole = scene.blind_to_log(&pod.life.name, &proxy.name, span);
        if hole || !pod.proxy.agent_seen {
            found.push(Missing::AgentLogs);
        }
        if (hole || !pod.proxy.access_seen) && was_asked(scene, pod) {
            found.push(Missing::AccessLogs);
        }
    }
    if pod.deleted.is_some() && exit_code_unseen(pod) {
        found.push(Missing::ExitCodes);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Lines that an app container wrote within the span may be missing; of a pod whose containers were
/// never seen all are. A log that ended with its container lacks nothing.
pub(super) fn app_logs_unseen(scene: &Scene<'_>, pod: &Pod, span: Interval) -> bool {
    let mut containers = pod.life.containers.iter();
    pod.life.containers.is_empty()
        || containers.any(|spec| {
            spec.role == Role::App && scene.blind_to_log(&pod.life.name, &spec.name, span)
        })
}

/// How the app or the proxy of a deleted pod ended was never shown: its last states were lost, or the
/// record ends before it did.
fn exit_code_unseen(pod: &Pod) -> bool {
    let ended = |name: &str| pod.life.ended(name).is_some();
    let app = pod.life.candidates().iter().all(|app| ended(&app.name));
    let proxy = pod.life.sidecar().is_none_or(|proxy| ended(&proxy.name));
    pod.life.containers.is_empty() || !(app && proxy)
}

/// The pod was in the routes while requests were sent, so its proxy had something to log.
fn was_asked(scene: &Scene<'_>, pod: &Pod) -> bool {
    pod.routed.is_some() && !scene.clients.is_empty()
}
