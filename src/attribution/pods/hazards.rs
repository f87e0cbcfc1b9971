//! Which defects does a pod have that need no failed request?

use super::sidecar::Lead;
use super::{line, shows};
use crate::attribution::scene::{How, Pod, Reaction, Scene};
use crate::attribution::{Evidence, LEFT_FIRST_S, SidecarKind};
use crate::evidence::{ContainerEnd, Role, RunOffset};

/// A sidecar that outlives an app that nobody deletes by this much never ends.
const NEVER: i64 = 5_000_000_000;

/// A positive margin below this is thin.
const THIN_MS: i64 = 1_000;

/// The names of the hazards, sorted, with what shows them.
pub(super) fn of(
    scene: &Scene<'_>,
    pod: &Pod,
    lead: Option<Lead>,
    evidence: &mut Vec<Evidence>,
) -> Vec<String> {
    let mut found = Vec::new();
    sigkills(pod, &mut found, evidence);
    if deaf(pod) {
        found.push("term-signal-unhandled".to_owned());
        let text = "the app ended by SIGKILL and its log has no line about a signal or a shutdown";
        evidence.push(shows(
            pod.app_end.map(|end| end.at),
            text.to_owned(),
            events_of(pod),
        ));
    }
    if let Some(lead) = lead.filter(|lead| pod.deleted.is_some() && lead.surely_first(LEFT_FIRST_S))
    {
        found.push("sidecar-exited-first".to_owned());
        let text = format!("the proxy ended {:.2} s before the app", lead.seconds());
        let mut shown = shows(pod.proxy_end.map(|end| end.at), text, events_of(pod));
        shown.line = scene.agent_line(pod, pod.proxy.last_word());
        evidence.push(shown);
    }
    if never_ended(pod) {
        found.push("sidecar-never-ended".to_owned());
        let text = "the app has ended, the proxy has not; the pod stays".to_owned();
        evidence.push(shows(None, text, events_of(pod)));
    }
    prestop(scene, pod, &mut found, evidence);
    if super::margin::of(scene, pod).is_some_and(|margin| (0..THIN_MS).contains(&margin)) {
        found.push("thin-margin".to_owned());
    }
    found.sort();
    found.dedup();
    found
}

fn events_of(pod: &Pod) -> Vec<u64> {
    let ends = pod.life.ends.iter().filter(|end| !end.before_run);
    ends.map(|end| end.event).collect()
}

/// 137 with reason `Error` is a SIGKILL; the OOM killer and a container that could not be found
/// again have reasons of their own (facts 1.5).
fn sigkills(pod: &Pod, found: &mut Vec<String>, evidence: &mut Vec<Evidence>) {
    for end in pod
        .life
        .ends
        .iter()
        .filter(|end| !end.before_run && end.code == 137)
    {
        let other = matches!(
            end.reason.as_str(),
            "OOMKilled" | "ContainerStatusUnknown" | "RestartingAllContainers"
        );
        if other {
            continue;
        }
        found.push(format!("sigkill:{}", end.container));
        let text = format!(
            "container `{}` ended with code 137, reason `{}`",
            end.container, end.reason
        );
        evidence.push(shows(None, text, vec![end.event]));
    }
}

/// SIGKILL at the end of the grace period, and no reaction to SIGTERM in a log that was seen.
fn deaf(pod: &Pod) -> bool {
    pod.app_end.is_some_and(|end| end.how == How::Killed) && pod.reaction == Reaction::Silent
}

/// An app that the kubelet starts again is not over, however long its back-off is.
fn never_ended(pod: &Pod) -> bool {
    if pod.deleted.is_some() || pod.sidecar != Some(SidecarKind::Classic) {
        return false;
    }
    let of_role = |role| {
        pod.life
            .containers
            .iter()
            .filter(move |spec| spec.role == role)
    };
    let last_end = |name: &str| pod.life.ended(name);
    let over = |name: &str| {
        let stays = |end: &&ContainerEnd| pod.life.restart_policy.leaves(end.code);
        last_end(name).filter(stays).map(|end| end.seen)
    };
    let app_ends: Option<Vec<RunOffset>> =
        of_role(Role::App).map(|spec| over(&spec.name)).collect();
    let Some(app_ended) = app_ends.and_then(|ends| ends.into_iter().max()) else {
        return false;
    };
    let proxy_ended = of_role(Role::ClassicSidecar)
        .filter_map(|spec| last_end(&spec.name).map(|end| end.seen))
        .max();
    match proxy_ended {
        Some(proxy) => proxy.0 - app_ended.0 >= NEVER,
        None => pod.life.removed.is_none(),
    }
}

fn prestop(scene: &Scene<'_>, pod: &Pod, found: &mut Vec<String>, evidence: &mut Vec<Evidence>) {
    for event in pod
        .events
        .iter()
        .filter(|event| event.reason == "FailedPreStopHook")
    {
        let container = event
            .container
            .clone()
            .unwrap_or_else(|| pod.log.container.clone());
        found.push(format!("prestop-failed:{container}"));
        let mut shown = shows(
            None,
            format!("the preStop hook of `{container}` failed"),
            vec![event.event],
        );
        shown.line = line(&pod.life.name, &container, &event.message);
        evidence.push(shown);
    }
    let apps = pod.life.candidates();
    let hook = apps.is_empty() || apps.iter().any(|app| app.prestop);
    if !hook && pod.deleted.is_some() && scene.endpoints.seen && pod.routed.is_some() {
        found.push("prestop-missing".to_owned());
    }
}
