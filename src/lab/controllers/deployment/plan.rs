//! Which ReplicaSets are made, scaled and removed next?
//!
//! A pure function of the Deployment and its ReplicaSets, by the rules of the real controller: one
//! direction a turn, first up, then down.

use super::{DESIRED, HASH, REVISION};
use crate::lab::store::object;
use serde_json::Value;
use std::hash::Hasher;
use std::sync::Arc;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make the ReplicaSet of the present template.
    Create {
        /// Its pods.
        replicas: i64,
        /// Its revision.
        revision: i64,
    },
    /// An older ReplicaSet has the present template again.
    Adopt {
        /// Which one.
        set: String,
        /// Its new revision.
        revision: i64,
    },
    /// The Deployment does not tell its revision yet.
    Revise {
        /// The revision.
        revision: i64,
    },
    /// Change a ReplicaSet's size.
    Scale(Scale),
    /// Write the wanted totals to a ReplicaSet whose size stays.
    Annotate {
        /// Which one.
        set: String,
    },
    /// Remove an old ReplicaSet beyond the history limit.
    Remove {
        /// Which one.
        set: String,
    },
}

/// A ReplicaSet's size before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) set: String,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// By how much a rollout may exceed and fall below the wanted number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) surge: i64,
    pub(super) unavailable: i64,
}

/// `maxSurge` rounded up, `maxUnavailable` rounded down, and at least one of them.
pub(super) fn bounds(deployment: &Value) -> Bounds {
    let replicas = replicas(deployment);
    let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
    if !rolling.is_object() {
        return Bounds {
            surge: 0,
            unavailable: 0,
        };
    }
    let surge = portion(&rolling["maxSurge"], replicas, true);
    let unavailable = portion(&rolling["maxUnavailable"], replicas, false).min(replicas);
    if surge == 0 && unavailable == 0 {
        return Bounds {
            surge,
            unavailable: replicas.min(1),
        };
    }
    Bounds { surge, unavailable }
}

fn portion(value: &Value, total: i64, up: bool) -> i64 {
    match value {
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            (total * percent + if up { 99 } else { 0 }) / 100
        }
        number => number.as_i64().unwrap_or(0),
    }
}

pub(super) fn replicas(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap_or(1)
}

fn available(set: &Value) -> i64 {
    set["status"]["availableReplicas"].as_i64().unwrap_or(0)
}

/// A Deployment and its ReplicaSets, the new one told from the old.
pub(super) struct View<'a> {
    deployment: &'a Value,
    pub(super) new: Option<&'a Value>,
    /// Oldest first.
    old: Vec<&'a Value>,
    /// The template hashes of all pods that have not ended.
    running: &'a [Value],
}

impl<'a> View<'a> {
    pub(super) fn new(deployment: &'a Value, sets: &'a [Arc<Value>], running: &'a [Value]) -> Self {
        let new = sets.iter().find(|set| is_of_template(deployment, set));
        let old = sets
            .iter()
            .filter(|set| new.is_none_or(|new| object::uid(new) != object::uid(set)))
            .map(AsRef::as_ref)
            .collect();
        Self {
            deployment,
            new: new.map(AsRef::as_ref),
            old,
            running,
        }
    }

    fn all(&self) -> impl Iterator<Item = &'a Value> + '_ {
        self.old.iter().copied().chain(self.new)
    }

    fn total(&self) -> i64 {
        self.all().map(replicas).sum()
    }

    fn is_recreate(&self) -> bool {
        self.deployment["spec"]["strategy"]["type"] == "Recreate"
    }
}

/// Whether a ReplicaSet was made from the Deployment's present template.
pub(super) fn is_of_template(deployment: &Value, set: &Value) -> bool {
    let mut own = set["spec"]["template"].clone();
    if let Some(labels) = own["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    own == deployment["spec"]["template"]
}

/// A name for a template: equal templates have equal names.
pub(super) fn hash(template: &Value) -> String {
    let mut hasher = Fnv(0x811c_9dc5);
    hasher.write(template.to_string().as_bytes());
    object::safe_encode(&hasher.0.to_string())
}

/// FNV-1a of 32 bits, whose decimal digits the real controller encodes into the name.
struct Fnv(u32);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        u64::from(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

/// What to do in this turn.
pub(super) fn steps(view: &View<'_>) -> Vec<Step> {
    if view.deployment["spec"]["paused"] == true {
        return if resized(view) {
            scaled(view)
        } else {
            Vec::new()
        };
    }
    let revisions = revise(view);
    if view.new.is_none() {
        return start(view);
    }
    let moves = if resized(view) {
        scaled(view)
    } else if view.is_recreate() {
        recreate(view)
    } else {
        roll(view)
    };
    let quiet = moves.is_empty();
    let mut steps = revisions;
    steps.extend(moves);
    if quiet {
        steps.extend(forget(view));
    }
    steps
}

/// The new ReplicaSet has the highest revision, and the Deployment tells it.
fn revise(view: &View<'_>) -> Vec<Step> {
    let Some(new) = view.new else {
        return Vec::new();
    };
    let highest = view.old.iter().map(|set| revision(set)).max().unwrap_or(0);
    let own = revision(new);
    if own <= highest {
        return vec![Step::Adopt {
            set: object::name(new).to_owned(),
            revision: highest + 1,
        }];
    }
    if revision(view.deployment) == own {
        return Vec::new();
    }
    vec![Step::Revise { revision: own }]
}

fn revision(object: &Value) -> i64 {
    object::text(&object["metadata"]["annotations"][REVISION])
        .parse()
        .unwrap_or(0)
}

/// Makes the new ReplicaSet, with as many pods as fit beside the old ones.
fn start(view: &View<'_>) -> Vec<Step> {
    let revision = view.old.iter().map(|set| revision(set)).max().unwrap_or(0) + 1;
    if view.is_recreate() {
        let down = all_down(view);
        if !down.is_empty() {
            return down;
        }
        if !view.running.is_empty() {
            return Vec::new();
        }
    }
    let replicas = grown(view, 0);
    vec![Step::Create { replicas, revision }]
}

/// The size to which the new ReplicaSet may grow.
fn grown(view: &View<'_>, now: i64) -> i64 {
    let wanted = replicas(view.deployment);
    if view.is_recreate() {
        return wanted;
    }
    let room = wanted + bounds(view.deployment).surge - view.total();
    if room <= 0 {
        now
    } else {
        now + room.min(wanted - now)
    }
}

/// A changed number of replicas, told by what a ReplicaSet's annotation says it was.
fn resized(view: &View<'_>) -> bool {
    let wanted = replicas(view.deployment);
    view.all()
        .filter(|set| replicas(set) > 0)
        .filter_map(|set| {
            object::text(&set["metadata"]["annotations"][DESIRED])
                .parse::<i64>()
                .ok()
        })
        .any(|desired| desired != wanted)
}

/// Brings sizes to a changed number: the only ReplicaSet, or all in proportion.
fn scaled(view: &View<'_>) -> Vec<Step> {
    let wanted = replicas(view.deployment);
    let active: Vec<&Value> = view.all().filter(|set| replicas(set) > 0).collect();
    if let [only] = active.as_slice() {
        return set_size(only, wanted);
    }
    if let Some(new) = view.new
        && replicas(new) == wanted
        && available(new) == wanted
    {
        return all_down(view);
    }
    let most = if wanted > 0 {
        wanted + bounds(view.deployment).surge
    } else {
        0
    };
    proportional(
        &active,
        most - active.iter().map(|set| replicas(set)).sum::<i64>(),
        most,
    )
}

/// Shares a change among ReplicaSets by their sizes; the largest takes what rounding leaves.
fn proportional(active: &[&Value], change: i64, most: i64) -> Vec<Step> {
    let mut sets = active.to_vec();
    sets.sort_by_key(|set| std::cmp::Reverse(replicas(set)));
    let total: i64 = sets.iter().map(|set| replicas(set)).sum();
    let mut left = change;
    let mut sizes = Vec::new();
    for set in &sets {
        let own = replicas(set);
        let exact = if total == 0 {
            0.0
        } else {
            (own * most) as f64 / total as f64
        };
        let share = exact.round() as i64 - own;
        let share = if change > 0 {
            share.clamp(0, left.max(0))
        } else {
            share.clamp(left.min(0), 0)
        };
        left -= share;
        sizes.push(own + share);
    }
    if let Some(largest) = sizes.first_mut() {
        *largest = (*largest + left).max(0);
    }
    sets.iter()
        .zip(sizes)
        .flat_map(|(set, size)| set_size(set, size))
        .collect()
}

/// A new size, or only the new totals where the size stays.
fn set_size(set: &Value, to: i64) -> Vec<Step> {
    let (name, from) = (object::name(set).to_owned(), replicas(set));
    vec![if from == to {
        Step::Annotate { set: name }
    } else {
        Step::Scale(Scale {
            set: name,
            from,
            to,
        })
    }]
}

fn all_down(view: &View<'_>) -> Vec<Step> {
    view.old
        .iter()
        .filter(|set| replicas(set) > 0)
        .flat_map(|set| set_size(set, 0))
        .collect()
}

fn recreate(view: &View<'_>) -> Vec<Step> {
    let down = all_down(view);
    if !down.is_empty() {
        return down;
    }
    let Some(new) = view.new else {
        return Vec::new();
    };
    let own = &new["metadata"]["labels"][HASH];
    if view.running.iter().any(|hash| hash != own) || replicas(new) == replicas(view.deployment) {
        return Vec::new();
    }
    set_size(new, replicas(view.deployment))
}

fn roll(view: &View<'_>) -> Vec<Step> {
    let Some(new) = view.new else {
        return Vec::new();
    };
    let (own, wanted) = (replicas(new), replicas(view.deployment));
    let size = if own > wanted {
        wanted
    } else {
        grown(view, own)
    };
    if size != own {
        return set_size(new, size);
    }
    down(view, new)
}

/// Takes old pods away: first those that do not serve anyway, then as many as the available ones
/// allow.
fn down(view: &View<'_>, new: &Value) -> Vec<Step> {
    let old: i64 = view.old.iter().map(|set| replicas(set)).sum();
    if old == 0 {
        return Vec::new();
    }
    let least = replicas(view.deployment) - bounds(view.deployment).unavailable;
    let unavailable_new = replicas(new) - available(new);
    let most = view.total() - least - unavailable_new;
    if most <= 0 {
        return Vec::new();
    }
    let mut sizes: Vec<i64> = view.old.iter().map(|set| replicas(set)).collect();
    let mut cleaned = 0;
    for (size, set) in sizes.iter_mut().zip(&view.old) {
        let idle = (*size - available(set)).clamp(0, most - cleaned);
        *size -= idle;
        cleaned += idle;
    }
    let serving: i64 = view.all().map(available).sum();
    let mut spare = (serving - least).max(0);
    for size in &mut sizes {
        let less = (*size).min(spare);
        *size -= less;
        spare -= less;
    }
    view.old
        .iter()
        .zip(sizes)
        .filter(|(set, size)| replicas(set) != *size)
        .flat_map(|(set, size)| set_size(set, size))
        .collect()
}

/// Old ReplicaSets beyond the history limit, once the rollout is complete.
fn forget(view: &View<'_>) -> Vec<Step> {
    let wanted = replicas(view.deployment);
    let complete = view
        .new
        .is_some_and(|new| available(new) == wanted && replicas(new) == wanted);
    let limit = view.deployment["spec"]["revisionHistoryLimit"]
        .as_u64()
        .unwrap_or(10);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if !complete || view.old.len() <= limit {
        return Vec::new();
    }
    let mut old = view.old.clone();
    old.sort_by_key(|set| revision(set));
    let beyond = old.len() - limit;
    old.into_iter()
        .take(beyond)
        .filter(|set| replicas(set) == 0 && set["status"]["replicas"].as_i64().unwrap_or(0) == 0)
        .map(|set| Step::Remove {
            set: object::name(set).to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
