//! Which watch of a capture was silent while the others show that something happened?
//!
//! A recorder that lost a watch without noticing leaves a file that looks whole. What the others show
//! cannot have happened without the lost one having something to tell: slices follow the states of
//! pods (facts 1.8), a kubelet stops the containers of a pod that is deleted (facts 1.1) and tells the
//! state of each that it starts within seconds (facts 1.6), and only a pod that exists answers. Where a watch shows none of it, it was blind from its last delivery on.

mod shown;

use super::gathered::Gathered;
use super::watch;
use crate::evidence::{EventKind, Resource};
use shown::{Pods, Slices, answered, started, stopped};
use std::collections::BTreeSet;

/// How much later than another watch one may deliver the same change.
const PATIENCE: i64 = 5_000_000_000;

/// Records the spans in which a watch must have been blind.
pub(super) fn find(gathered: &mut Gathered) {
    let last = gathered.raw.iter().map(|raw| raw.hi).max().unwrap_or(0);
    let mut spans = BTreeSet::new();
    for at in missed_by_pods(gathered, last) {
        spans.insert((Resource::Pods, at));
    }
    for at in missed_by_slices(gathered) {
        spans.insert((Resource::EndpointSlices, at));
    }
    for (resource, at) in spans {
        let open = at + PATIENCE < last && !covered(gathered, resource, at);
        if open && gathered.watches.contains(&resource) {
            let (from, to) = silence(gathered, resource, at);
            gathered.blind_between(
                watch::name(resource),
                from,
                to,
                "the watch shows nothing of what others show to have happened",
            );
        }
    }
}

/// When others first show what the watch of pods never did.
fn missed_by_pods(gathered: &Gathered, last: i64) -> Vec<i64> {
    let pods = Pods::shown(gathered);
    let slices = Slices::shown(gathered);
    let deleted = |uid: &String| pods.deletions.contains_key(uid);
    let ended = slices.ended.iter().filter(|(uid, _)| !deleted(uid));
    let mut found: Vec<i64> = ended.map(|(_, at)| *at).collect();
    for (uid, at) in stopped(gathered) {
        let told = pods.ends.get(&uid).is_some_and(|end| end + PATIENCE >= at);
        if pods.ready.contains_key(&uid) && !deleted(&uid) && !told {
            found.push(at);
        }
    }
    for (uid, at) in started(gathered) {
        let told = |states: &Vec<(i64, bool)>| {
            states
                .iter()
                .any(|(state, _)| (state - at).abs() <= PATIENCE)
        };
        if pods.ready.get(&uid).is_some_and(|states| !told(states)) {
            found.push(at);
        }
    }
    for (uid, serving, from, to) in slices.spans(last) {
        if to > from + PATIENCE && pods.never_were(uid, serving, from - PATIENCE, from + PATIENCE) {
            found.push(from);
        }
    }
    // Names that no pod has may be of something else than pods.
    let answered = answered(gathered);
    if answered.keys().any(|name| pods.names.contains(*name)) {
        let unknown = answered
            .iter()
            .filter(|(name, _)| !pods.names.contains(**name));
        found.extend(unknown.map(|(_, at)| *at));
    }
    found
}

/// When the watch of pods first shows a deletion that the slices never did.
fn missed_by_slices(gathered: &Gathered) -> Vec<i64> {
    let slices = Slices::shown(gathered);
    let deletions = Pods::shown(gathered).deletions;
    let missed = |uid: &String| slices.listed.contains(uid) && !slices.ended.contains_key(uid);
    let deletions = deletions.into_iter().filter(|(uid, _)| missed(uid));
    deletions.map(|(_, at)| at).collect()
}

/// The last delivery of a watch before an instant, and the first one after it.
fn silence(gathered: &Gathered, resource: Resource, at: i64) -> (Option<i64>, Option<i64>) {
    let seen = || gathered.objects(resource).map(|(seen, ..)| seen);
    (
        seen().filter(|seen| *seen <= at).max(),
        seen().filter(|seen| *seen > at).min(),
    )
}

/// A gap that the recorder noted itself covers the instant.
fn covered(gathered: &Gathered, resource: Resource, at: i64) -> bool {
    let name = watch::name(resource);
    gathered.raw.iter().any(|raw| match &raw.kind {
        EventKind::Blind(gap) => {
            gap.what == name
                && gap.from.is_none_or(|from| from.0 <= at + PATIENCE)
                && gap.to.is_none_or(|to| to.0 + PATIENCE >= at)
        }
        _ => false,
    })
}
