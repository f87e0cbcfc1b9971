//! What did each source of a capture show of the pods, and when first?

use super::super::gathered::Gathered;
use crate::evidence::{Change, EventKind, Resource, list, stops_for_good, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn owned(object: &Value, pointer: &str) -> Option<String> {
    text(object, pointer).map(str::to_owned)
}

/// Objects of one resource in the order of their arrival.
fn objects(gathered: &Gathered, wanted: Resource) -> Vec<(i64, Change, &Value)> {
    let mut all: Vec<_> = gathered.objects(wanted).collect();
    all.sort_by_key(|(at, ..)| *at);
    all
}

/// What the watch of pods showed, by uid.
#[derive(Debug, Default)]
pub(super) struct Pods {
    /// Being deleted or gone since then.
    pub(super) deletions: BTreeMap<String, i64>,
    /// Containers that had ended, for the last time then.
    pub(super) ends: BTreeMap<String, i64>,
    /// The condition Ready in each state.
    pub(super) ready: BTreeMap<String, Vec<(i64, bool)>>,
    pub(super) names: BTreeSet<String>,
}

impl Pods {
    pub(super) fn shown(gathered: &Gathered) -> Self {
        let mut shown = Self::default();
        for (at, change, pod) in objects(gathered, Resource::Pods) {
            let Some(uid) = owned(pod, "/metadata/uid") else {
                continue;
            };
            let going = owned(pod, "/metadata/deletionTimestamp").is_some();
            if going || change == Change::Deleted {
                shown.deletions.entry(uid.clone()).or_insert(at);
            }
            if ended(pod) {
                shown.ends.insert(uid.clone(), at);
            }
            shown.names.extend(owned(pod, "/metadata/name"));
            shown.ready.entry(uid).or_default().push((at, ready(pod)));
        }
        shown
    }

    /// A pod that was shown was at no time within the span as ready, or not ready, as that.
    pub(super) fn never_were(&self, uid: &str, ready: bool, from: i64, to: i64) -> bool {
        let Some(states) = self.ready.get(uid) else {
            return false;
        };
        let before = states.iter().rev().find(|(at, _)| *at <= from);
        let within = states.iter().filter(|(at, _)| *at > from && *at <= to);
        let mut all = before.into_iter().chain(within).peekable();
        all.peek().is_some() && all.all(|(_, was)| *was != ready)
    }
}

fn ended(pod: &Value) -> bool {
    let phase = owned(pod, "/status/phase");
    let over = phase.is_some_and(|phase| phase == "Succeeded" || phase == "Failed");
    let terminated = |status: &Value| status.pointer("/state/terminated").is_some();
    over || list(pod, "/status/containerStatuses").any(terminated)
}

fn ready(pod: &Value) -> bool {
    list(pod, "/status/conditions").any(|condition| {
        let is = |key, value| condition.get(key).and_then(Value::as_str) == Some(value);
        is("type", "Ready") && is("status", "True")
    })
}

/// `serving` from an instant on.
type Serving = (i64, Option<bool>);

/// What the slices showed of pods, by uid.
#[derive(Debug, Default)]
pub(super) struct Slices {
    /// Terminating, or listed no more, since then.
    pub(super) ended: BTreeMap<String, i64>,
    /// Listed as ready.
    pub(super) listed: BTreeSet<String>,
    /// By slice and uid: `serving` from then on; `None`: not listed or not told.
    serving: BTreeMap<(String, String), Vec<Serving>>,
}

impl Slices {
    pub(super) fn shown(gathered: &Gathered) -> Self {
        let mut shown = Self::default();
        let mut before: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (at, change, object) in objects(gathered, Resource::EndpointSlices) {
            let slice = owned(object, "/metadata/name").unwrap_or_default();
            if change == Change::Deleted {
                // Its endpoints may have moved to another one: that ends nobody.
                for uid in before.remove(&slice).unwrap_or_default() {
                    shown.serves(&slice, &uid, at, None);
                }
                continue;
            }
            let mut now = BTreeSet::new();
            for endpoint in list(object, "/endpoints") {
                if let Some(uid) = owned(endpoint, "/targetRef/uid") {
                    shown.endpoint(&slice, &uid, at, endpoint);
                    now.insert(uid);
                }
            }
            for gone in before
                .insert(slice.clone(), now.clone())
                .unwrap_or_default()
            {
                if !now.contains(&gone) {
                    shown.serves(&slice, &gone, at, None);
                    shown.ended.entry(gone).or_insert(at);
                }
            }
        }
        shown
    }

    fn endpoint(&mut self, slice: &str, uid: &str, at: i64, endpoint: &Value) {
        let condition = |name| {
            let value = endpoint.get("conditions").and_then(|all| all.get(name));
            value.and_then(Value::as_bool)
        };
        if condition("terminating") == Some(true) {
            self.ended.entry(uid.to_owned()).or_insert(at);
        } else if condition("ready") != Some(false) {
            self.listed.insert(uid.to_owned());
        }
        // `ready` is true of a pod that is not, where a Service publishes such addresses.
        self.serves(slice, uid, at, condition("serving"));
    }

    fn serves(&mut self, slice: &str, uid: &str, at: i64, serving: Option<bool>) {
        let key = (slice.to_owned(), uid.to_owned());
        let changes = self.serving.entry(key).or_default();
        if changes.last().is_none_or(|(_, before)| *before != serving) {
            changes.push((at, serving));
        }
    }

    /// For how long a pod was listed as serving, or as not serving: uid, which, from, to.
    pub(super) fn spans(&self, last: i64) -> Vec<(&str, bool, i64, i64)> {
        let mut spans = Vec::new();
        for ((_, uid), changes) in &self.serving {
            for (index, (from, serving)) in changes.iter().enumerate() {
                let to = changes.get(index + 1).map_or(last, |(at, _)| *at);
                spans.extend(serving.map(|serving| (uid.as_str(), serving, *from, to)));
            }
        }
        spans
    }
}

/// Pods whose containers a kubelet stopped for good during the capture, and since when.
pub(super) fn stopped(gathered: &Gathered) -> BTreeMap<String, i64> {
    let mut stopped = BTreeMap::new();
    for (uid, at) in told_of(gathered, stops_for_good) {
        stopped.entry(uid).or_insert(at);
    }
    stopped
}

/// Pods of which a kubelet started a container during the capture, and when.
pub(super) fn started(gathered: &Gathered) -> Vec<(String, i64)> {
    told_of(gathered, |reason, _| reason == "Started")
}

/// The pods of the API's events with such a reason and message, and when each came. What was there as
/// the watch began may be of before.
fn told_of(gathered: &Gathered, is: impl Fn(&str, &str) -> bool) -> Vec<(String, i64)> {
    let events = objects(gathered, Resource::Events);
    let begun = events.first().map_or(i64::MAX, |(at, ..)| *at);
    let told = events.into_iter().filter_map(|(at, change, event)| {
        let of_event = |pointer| text(event, pointer).unwrap_or_default();
        let such = is(of_event("/reason"), of_event("/message"));
        let new = change != Change::Deleted && at > begun.saturating_add(FIRST_LIST);
        let uid = owned(event, "/involvedObject/uid")?;
        (such && new).then_some((uid, at))
    });
    told.collect()
}

/// What was there as a watch began is delivered within this time.
const FIRST_LIST: i64 = 1_000_000_000;

/// Pods that answers name, and when the first answer had come.
pub(super) fn answered(gathered: &Gathered) -> BTreeMap<&str, i64> {
    let mut answered = BTreeMap::new();
    for raw in &gathered.raw {
        let (name, at) = match &raw.kind {
            EventKind::Requests(counts) => (counts.pod.as_deref(), counts.earliest_end),
            EventKind::RequestFailed(request) => {
                (request.response.pod.as_deref(), Some(request.end))
            }
            _ => continue,
        };
        if let (Some(name), Some(at)) = (name, at) {
            let first = answered.entry(name).or_insert(at.0);
            *first = at.0.min(*first);
        }
    }
    answered
}
