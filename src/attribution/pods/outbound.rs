//! Which calls of a terminating pod were lost that its client never sees (design 6)?
//!
//! A line of an app container, stamped between its proxy's end and its own, that matches one of the
//! outbound patterns, is one lost call. The same lines outside that span are blamed on nobody.

use super::missing::app_logs_unseen;
use super::sidecar::Lead;
use super::{line, shows};
use crate::attribution::Evidence;
use crate::attribution::scene::{Pod, Scene};
use crate::evidence::Role;
use regex::{Regex, RegexSet, RegexSetBuilder};
use std::sync::LazyLock;

/// A question to the proxy's own status ports is no call to anybody.
static PROXY_PORTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r":150(00|20|21|90)\b").expect("the pattern is a constant"));

/// What a pod lost.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) lost: u64,
    pub(super) elsewhere: u64,
    pub(super) evidence: Vec<Evidence>,
}

/// The patterns of the plan, whatever their case; one that is no regular expression is left out
/// (a scenario that has one is refused before it runs).
pub(super) fn patterns(patterns: &[String]) -> RegexSet {
    let valid = patterns
        .iter()
        .filter(|pattern| regex::Regex::new(pattern).is_ok());
    RegexSetBuilder::new(valid)
        .case_insensitive(true)
        .build()
        .unwrap_or_else(|_| RegexSet::empty())
}

/// Counts the lost calls; `None` where the app's log was not seen, and where calls failed of which
/// nobody can say whether the proxy was still there. Where only a part of it was seen, or the record
/// ends while the pod is ending, the calls of that part are a lower bound, and none is no count.
pub(super) fn of(
    scene: &Scene<'_>,
    pod: &Pod,
    lead: Option<Lead>,
    patterns: &RegexSet,
) -> Option<Lost> {
    let mut found = Lost::default();
    let hole = still_ending(pod)
        || pod
            .ending()
            .is_some_and(|ending| app_logs_unseen(scene, pod, ending));
    let apps = pod
        .life
        .containers
        .iter()
        .filter(|spec| spec.role == Role::App);
    let mut first = None;
    for spec in apps {
        let Some(log) = scene.timeline.log(&pod.life.name, &spec.name) else {
            continue;
        };
        for entry in &log.lines {
            if !patterns.is_match(&entry.text) || PROXY_PORTS.is_match(&entry.text) {
                continue;
            }
            let within = pod.deleted.is_some()
                && lead
                    .zip(entry.stamp)
                    .is_some_and(|(lead, stamp)| stamp >= lead.proxy.0 && stamp <= lead.app.1);
            if within {
                found.lost += 1;
                first.get_or_insert((spec.name.as_str(), entry));
            } else if proxy_end_unknown(pod, lead) {
                return None;
            } else {
                found.elsewhere += 1;
            }
        }
    }
    if let Some((container, entry)) = first {
        let at_least = if hole { "at least " } else { "" };
        let text = format!(
            "{at_least}{} calls failed after the proxy's end; the first of them",
            found.lost
        );
        let mut shown = shows(pod.proxy_end.map(|end| end.at), text, Vec::new());
        shown.line = line(&pod.life.name, container, &entry.text);
        found.evidence.push(shown);
    }
    (found.lost > 0 || !hole).then_some(found)
}

/// The record ends before the app of a deleted pod does, which may outlive its proxy yet.
fn still_ending(pod: &Pod) -> bool {
    let ended = |name: &str| pod.life.ended(name).is_some();
    let app = pod.life.app().is_some_and(|app| ended(&app.name));
    let proxy = pod.life.sidecar().is_some();
    pod.deleted.is_some() && pod.gone.is_none() && proxy && !app
}

/// The proxy of a pod that was deleted has ended, and nobody can say whether before its app. One
/// that was there to the end of the record has outlived whatever the app called.
fn proxy_end_unknown(pod: &Pod, lead: Option<Lead>) -> bool {
    let Some(proxy) = pod.life.sidecar() else {
        return false;
    };
    let ended = pod.gone.is_some() || pod.life.unseen || pod.life.end_of(&proxy.name).is_some();
    pod.deleted.is_some() && lead.is_none() && ended
}
