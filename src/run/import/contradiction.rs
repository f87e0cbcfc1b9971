//! Which watch of a capture was silent while the others show that something happened?
//!
//! A recorder that lost a watch without noticing leaves a file that looks whole. Where the slices
//! show a pod as terminating and the pods' watch never shows its deletion, that watch was blind;
//! the same the other way round.

use super::gathered::Gathered;
use super::watch;
use crate::evidence::{Change, EventKind, Resource};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How much later than another watch one may deliver the same change.
const PATIENCE: i64 = 5_000_000_000;

/// Records the spans in which a watch must have been blind.
pub(super) fn find(gathered: &mut Gathered) {
    let deletions = deletions(gathered);
    let (terminating, listed) = slice_facts(gathered);
    let last = gathered.raw.iter().map(|raw| raw.hi).max().unwrap_or(0);
    let mut spans = BTreeSet::new();
    for (uid, at) in &terminating {
        if !deletions.contains_key(uid) && at + PATIENCE < last {
            spans.insert((Resource::Pods, *at));
        }
    }
    for (uid, at) in &deletions {
        if listed.contains(uid) && !terminating.contains_key(uid) && at + PATIENCE < last {
            spans.insert((Resource::EndpointSlices, *at));
        }
    }
    for (resource, at) in spans {
        if !gathered.watches.contains(&resource) {
            continue;
        }
        let (from, to) = silence(gathered, resource, at);
        if !covered(gathered, resource, at) {
            gathered.blind_between(
                watch::name(resource),
                from,
                to,
                "the watch shows nothing of a termination that others show",
            );
        }
    }
}

/// Pods that are gone by their own watch, and since when.
fn deletions(gathered: &Gathered) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    for raw in &gathered.raw {
        let EventKind::Object {
            resource: Resource::Pods,
            change,
            object,
        } = &raw.kind
        else {
            continue;
        };
        let going = *change == Change::Deleted
            || object
                .pointer("/metadata/deletionTimestamp")
                .is_some_and(|at| !at.is_null());
        if going && let Some(uid) = uid(object, "/metadata/uid") {
            found.entry(uid).or_insert(raw.hi);
        }
    }
    found
}

/// Pods that slices show as terminating and since when, and all that they list as ready.
fn slice_facts(gathered: &Gathered) -> (BTreeMap<String, i64>, BTreeSet<String>) {
    let (mut terminating, mut listed) = (BTreeMap::new(), BTreeSet::new());
    let mut before: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for raw in &gathered.raw {
        let EventKind::Object {
            resource: Resource::EndpointSlices,
            object,
            ..
        } = &raw.kind
        else {
            continue;
        };
        let slice = uid(object, "/metadata/name").unwrap_or_default();
        let mut now = BTreeSet::new();
        let endpoints = object.get("endpoints").and_then(Value::as_array);
        for endpoint in endpoints.into_iter().flatten() {
            let Some(uid) = uid(endpoint, "/targetRef/uid") else {
                continue;
            };
            let condition = |name| {
                let value = endpoint.get("conditions").and_then(|all| all.get(name));
                value.and_then(Value::as_bool)
            };
            if condition("terminating") == Some(true) {
                terminating.entry(uid.clone()).or_insert(raw.hi);
            } else if condition("ready") != Some(false) {
                listed.insert(uid.clone());
            }
            now.insert(uid);
        }
        for gone in before.insert(slice, now.clone()).unwrap_or_default() {
            if !now.contains(&gone) {
                terminating.entry(gone).or_insert(raw.hi);
            }
        }
    }
    (terminating, listed)
}

fn uid(object: &Value, pointer: &str) -> Option<String> {
    object.pointer(pointer)?.as_str().map(str::to_owned)
}

/// The last delivery of a watch before an instant, and the first one after it.
fn silence(gathered: &Gathered, resource: Resource, at: i64) -> (Option<i64>, Option<i64>) {
    let seen = || {
        gathered.raw.iter().filter_map(move |raw| match &raw.kind {
            EventKind::Object {
                resource: other, ..
            } if *other == resource => Some(raw.hi),
            _ => None,
        })
    };
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
