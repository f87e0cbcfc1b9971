//! Of which facts is a pod's life made, as explainers ask for it?

use super::is_meshed;
use super::probes::Probed;
use crate::evidence::{
    ClientInfo, ConnectionKind, EventKind, Interval, PodLife, RunOffset, Timeline,
};
use std::collections::{BTreeMap, HashMap};

/// What clients know of a pod from answers that name it.
#[derive(Clone, Debug, Default)]
pub(in crate::attribution) struct Answers {
    /// It answered by then.
    pub(in crate::attribution) earliest_end: Option<RunOffset>,
    /// It was alive at least until this sending.
    pub(in crate::attribution) latest_sent: Option<RunOffset>,
    /// It was alive at each of these sendings: the latest of each bucket, in no order.
    pub(in crate::attribution) sent: Vec<RunOffset>,
    /// It accepted a connection after this sending.
    pub(in crate::attribution) latest_sent_new: Option<RunOffset>,
    /// By client: its earliest answer.
    pub(in crate::attribution) first: HashMap<String, RunOffset>,
    /// By client: the latest sending for which the client's routes chose it anew.
    pub(in crate::attribution) chosen: HashMap<String, RunOffset>,
    /// What the probes of its own address showed while it was being deleted.
    pub(in crate::attribution) probed: Probed,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::attribution) enum How {
    /// By itself, with this code, the pod being deleted.
    Exited(i32),
    /// By SIGKILL at the end of the grace period.
    Killed,
    /// By SIGKILL before that, the pod being deleted: the OOM killer's, or somebody's.
    KilledEarly,
    /// It is over, but its exit code was not seen.
    Unknown,
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
pub(in crate::attribution) struct End {
    pub(in crate::attribution) at: Interval,
    pub(in crate::attribution) how: How,
    /// The event that showed it, where one did.
    pub(in crate::attribution) event: Option<u64>,
}

/// An end without a deletion, until the pod serves again.
#[derive(Clone, Copy, Debug)]
pub(in crate::attribution) struct Crash {
    pub(in crate::attribution) at: Interval,
    /// It was told to stop from then on: a failed liveness or startup probe; else its end.
    pub(in crate::attribution) told: RunOffset,
    /// It serves again at some time in this interval; absent: not in this run.
    pub(in crate::attribution) back: Option<Interval>,
    pub(in crate::attribution) code: i32,
    /// The mesh's proxy crashed, not the app.
    pub(in crate::attribution) proxy: bool,
    pub(in crate::attribution) event: u64,
}

/// Did the app react to its SIGTERM?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::attribution) enum Reaction {
    /// A line of its log, by index, tells of it.
    Logged(usize),
    /// It closed its port between its signal and its end, as probes showed.
    Closed,
    /// Its log was seen and tells of none.
    Silent,
    /// Its log was not seen, or leaves it open.
    Unknown,
}

/// What clients know of each pod, by its name. A name that several pods had, one after the other
/// (StatefulSet), tells nothing of one of them.
pub(super) fn answers(
    timeline: &Timeline,
    lives: &[PodLife],
    clients: &BTreeMap<String, ClientInfo>,
) -> HashMap<String, Answers> {
    let mut found: HashMap<String, Answers> = HashMap::new();
    let shared = |name: &str| lives.iter().filter(|life| life.name == name).count() > 1;
    for event in &timeline.events {
        let EventKind::Requests(counts) = &event.kind else {
            continue;
        };
        let (Some(pod), true) = (&counts.pod, counts.ok > 0) else {
            continue;
        };
        if !found.contains_key(pod) && shared(pod) {
            continue;
        }
        let answers = found.entry(pod.clone()).or_default();
        answers.latest_sent = answers.latest_sent.max(counts.latest_sent);
        answers.sent.extend(counts.latest_sent);
        let new = counts.connection == ConnectionKind::New;
        if new {
            answers.latest_sent_new = answers.latest_sent_new.max(counts.latest_sent);
        }
        let anew = new || is_meshed(clients, &counts.client);
        if let (true, Some(sent)) = (anew, counts.latest_sent) {
            let chosen = answers.chosen.entry(counts.client.clone()).or_insert(sent);
            *chosen = sent.max(*chosen);
        }
        if let Some(end) = counts.earliest_end {
            let first = answers.first.entry(counts.client.clone()).or_insert(end);
            *first = end.min(*first);
            answers.earliest_end = Some(
                answers
                    .earliest_end
                    .map_or(end, |earliest| earliest.min(end)),
            );
        }
    }
    found
}
