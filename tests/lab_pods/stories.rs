//! What becomes of a pod and of its endpoint, in the order and at the times in which a watch tells.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What happens to a pod and to its endpoint, and when it was first seen.
pub(super) type Story = BTreeMap<&'static str, Moment>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Milliseconds.
    at: f64,
    /// The API counts its changes through, so this is their true order.
    version: u64,
}

/// Spans of a new pod's life whose lengths are compared.
const BEGINNING: &[[&str; 2]] = &[
    ["created", "scheduled"],
    ["scheduled", "running"],
    ["running", "ready"],
    ["ready", "endpoint ready"],
];

/// The same of a deleted pod.
const ENDING: &[[&str; 2]] = &[
    ["deleted", "endpoint terminating"],
    ["deleted", "ended"],
    ["ended", "endpoint gone"],
    ["ended", "no grace left"],
    ["no grace left", "gone"],
];

/// The words of a deleted pod's story.
const END: &[&str] = &[
    "deleted",
    "endpoint terminating",
    "ended",
    "endpoint gone",
    "no grace left",
    "gone",
];

/// Tells pods' stories from watch events, in the order in which they came.
#[derive(Default)]
pub(super) struct Stories {
    pods: BTreeMap<String, Story>,
    in_slice: Vec<String>,
}

fn moment(at: f64, object: &Value) -> Moment {
    let version = object["metadata"]["resourceVersion"].as_str();
    let version = version.and_then(|version| version.parse().ok());
    Moment {
        at,
        version: version.expect("the API counts its changes"),
    }
}

impl Stories {
    /// What is there from before: endpoints that leave were in the slice.
    pub(super) fn after(before: Self) -> Self {
        Self {
            in_slice: before.in_slice,
            ..Self::default()
        }
    }

    /// Takes an event of a watch, seen at `at` milliseconds.
    pub(super) fn take(&mut self, at: f64, event: &Value) {
        let object = &event["object"];
        match object["kind"].as_str() {
            Some("Pod") => self.pod(at, event["type"] == "DELETED", object),
            Some("EndpointSlice") => self.slice(at, object),
            _ => {}
        }
    }

    fn pod(&mut self, at: f64, gone: bool, pod: &Value) {
        let Some(uid) = pod["metadata"]["uid"].as_str() else {
            return;
        };
        let moment = moment(at, pod);
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        let assigned = pod["spec"]["nodeName"].is_string();
        let deleted = &pod["metadata"]["deletionGracePeriodSeconds"];
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let ready = |own: &Value| own["type"] == "Ready" && own["status"] == "True";
        let ready = conditions.into_iter().any(ready);
        let story = self.pods.entry(uid.to_owned()).or_default();
        for (word, holds) in [
            ("created", !assigned),
            ("scheduled", assigned),
            ("running", phase == "Running"),
            ("ready", ready),
            ("deleted", pod["metadata"]["deletionTimestamp"].is_string()),
            ("ended", matches!(phase, "Succeeded" | "Failed")),
            ("no grace left", *deleted == 0),
            ("gone", gone),
        ] {
            if holds {
                story.entry(word).or_insert(moment);
            }
        }
    }

    fn slice(&mut self, at: f64, slice: &Value) {
        let mut now = Vec::new();
        let moment = moment(at, slice);
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            let Some(uid) = endpoint["targetRef"]["uid"].as_str() else {
                continue;
            };
            now.push(uid.to_owned());
            let story = self.pods.entry(uid.to_owned()).or_default();
            for (word, condition) in [
                ("endpoint ready", "ready"),
                ("endpoint terminating", "terminating"),
            ] {
                if endpoint["conditions"][condition] == true {
                    story.entry(word).or_insert(moment);
                }
            }
        }
        for uid in self.in_slice.iter().filter(|uid| !now.contains(uid)) {
            let story = self.pods.entry(uid.clone()).or_default();
            story.entry("endpoint gone").or_insert(moment);
        }
        self.in_slice = now;
    }

    /// The stories that have both words.
    pub(super) fn told(&self, from: &str, to: &str) -> Vec<&Story> {
        let whole = |story: &&Story| story.contains_key(from) && story.contains_key(to);
        self.pods.values().filter(whole).collect()
    }

    /// The stories of new pods, from their first word.
    fn of_new_pods(&self) -> Vec<&Story> {
        self.told("created", "endpoint ready")
    }

    fn of_deleted_pods(&self) -> Vec<&Story> {
        self.told("deleted", "gone")
    }

    /// The orders in which deleted pods' changes came, down to the last event.
    fn orders(&self) -> BTreeSet<Vec<&'static str>> {
        let order = |story: &&Story| {
            let mut words: Vec<_> = story
                .iter()
                .filter(|(word, _)| END.contains(word))
                .map(|(word, moment)| (moment.version, *word))
                .collect();
            words.sort_unstable();
            words.into_iter().map(|(_, word)| word).collect()
        };
        self.of_deleted_pods().iter().map(order).collect()
    }

    /// Orders of the changes that were not recorded.
    pub(super) fn ordered_unlike(&self, recorded: &Self) -> Vec<String> {
        let (orders, others) = (recorded.orders(), self.orders());
        let others = others.difference(&orders);
        others
            .map(|order| format!("in the order {order:?}, recorded {orders:?}"))
            .collect()
    }

    /// In what the medians of the spacing are unlike the recorded ones.
    pub(super) fn spaced_unlike(&self, recorded: &Self) -> Vec<String> {
        let mut faults = Vec::new();
        for (own, theirs, spans) in [
            (self.of_new_pods(), recorded.of_new_pods(), BEGINNING),
            (self.of_deleted_pods(), recorded.of_deleted_pods(), ENDING),
        ] {
            for [from, to] in spans {
                let own = lengths(&own, from, to);
                let theirs = lengths(&theirs, from, to);
                if !is_like(median(&own), &theirs) {
                    faults.push(format!(
                        "from {from} to {to}: {own:.0?} ms, recorded {theirs:.0?} ms"
                    ));
                }
            }
        }
        faults
    }
}

fn lengths(stories: &[&Story], from: &str, to: &str) -> Vec<f64> {
    let span = |story: &&Story| Some(story.get(to)?.at - story.get(from)?.at);
    stories.iter().filter_map(span).collect()
}

fn median(lengths: &[f64]) -> f64 {
    let mut sorted = lengths.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Within a factor of 3 or 200 ms of the median. A new app that listens too late for its first
/// probe is ready one period of the probe later: where some of the recorded were, all may be.
fn is_like(own: f64, recorded: &[f64]) -> bool {
    let like =
        |other: f64| (own - other).abs() <= 200.0 || (own <= other * 3.0 && own >= other / 3.0);
    let longest = recorded.iter().copied().fold(f64::NAN, f64::max);
    let in_two_ways = longest - median(recorded) > 900.0;
    like(median(recorded)) || (in_two_ways && like(longest))
}
