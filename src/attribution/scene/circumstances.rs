//! What befell a pod that may be added to a failure of its, beside the cause (design 7)?
//!
//! It is the same for each of a pod's failures, so it is looked for once. What was not seen adds
//! nothing.

use super::pod::Pod;
use crate::attribution::Modifier;
use crate::evidence::{
    Budgets, EndpointChange, EndpointHistory, EventKind, Interval, Resource, RunOffset, Timeline,
};

/// An autoscaler's decision deletes pods within this time.
const SCALED: i64 = 10_000_000_000;

/// Readiness that came back is in the routes again within this time.
const BACK: i64 = 2_000_000_000;

/// The circumstances of one pod.
#[derive(Debug, Default)]
pub(in crate::attribution) struct Circumstances {
    /// How its deletion came about.
    pub(in crate::attribution) deletion: Vec<Modifier>,
    /// It was out of the routes for a while and came back, deleted by nobody and without a crash.
    pub(in crate::attribution) flaps: Vec<Interval>,
}

impl Circumstances {
    /// Those of all pods, in their order.
    pub(super) fn all(timeline: &Timeline, pods: &[Pod], endpoints: &EndpointHistory) -> Vec<Self> {
        let budgets = Budgets::of(timeline);
        let shrunk = shrunk(timeline);
        let one = |pod: &Pod| {
            let mut deletion = Vec::new();
            if evicted_without_budget(pod, &budgets) {
                deletion.push(Modifier::EvictedWithoutBudget);
            }
            if autoscaled(pod, &shrunk) {
                deletion.push(Modifier::Autoscaler);
            }
            let changes = endpoints.pods.get(&pod.life.uid);
            Self {
                deletion,
                flaps: changes.map_or_else(Vec::new, |changes| flaps(changes, pod)),
            }
        };
        pods.iter().map(one).collect()
    }
}

fn evicted_without_budget(pod: &Pod, budgets: &Budgets) -> bool {
    let evicted = pod.life.disruption.as_deref() == Some("EvictionByEvictionAPI");
    evicted
        && pod
            .deleted
            .is_some_and(|at| budgets.covers(&pod.life, at.hi) == Some(false))
}

fn autoscaled(pod: &Pod, shrunk: &[RunOffset]) -> bool {
    let Some(deleted) = pod.deleted else {
        return false;
    };
    let near = |at: &RunOffset| deleted.hi.0 >= at.0 - SCALED / 10 && deleted.lo.0 <= at.0 + SCALED;
    shrunk.iter().any(near)
}

fn flaps(changes: &[EndpointChange], pod: &Pod) -> Vec<Interval> {
    let flap = |three: &[EndpointChange]| {
        let [before, down, up] = three else {
            return None;
        };
        let out = before.state.ready
            && !down.state.ready
            && down.state.listed
            && !down.state.terminating
            && up.state.ready;
        let gap = Interval::between(down.seen, RunOffset(up.seen.0 + BACK));
        let crashed = pod
            .crashes
            .iter()
            .any(|crash| crash.at.intersect(gap).is_some());
        let deleted = pod.deleted.is_some_and(|deleted| deleted.lo <= down.seen);
        (out && !crashed && !deleted).then_some(gap)
    };
    changes.windows(3).filter_map(flap).collect()
}

/// When the workload became smaller as an autoscaler's event says: its own count, and the event's,
/// must agree (facts C14).
fn shrunk(timeline: &Timeline) -> Vec<RunOffset> {
    let (mut sizes, mut wanted) = (Vec::new(), Vec::new());
    let mut before = None;
    for event in &timeline.events {
        let EventKind::Object {
            resource, object, ..
        } = &event.kind
        else {
            continue;
        };
        let text = |pointer| object.pointer(pointer).and_then(|text| text.as_str());
        let workload = timeline.run.workload.as_deref().unwrap_or_default();
        let own = workload.rsplit('/').next();
        match resource {
            Resource::Events if text("/reason") == Some("SuccessfulRescale") => {
                let size = text("/message")
                    .and_then(|message| message.strip_prefix("New size: "))
                    .and_then(|rest| rest.split(';').next()?.trim().parse::<u64>().ok());
                wanted.extend(size.map(|size| (event.at.hi, size)));
            }
            Resource::Deployments | Resource::StatefulSets if text("/metadata/name") == own => {
                let size = object
                    .pointer("/spec/replicas")
                    .and_then(|size| size.as_u64());
                if let (Some(before), Some(size)) = (before, size)
                    && size < before
                {
                    sizes.push((event.at.hi, size));
                }
                before = size.or(before);
            }
            _ => {}
        }
    }
    let told = |(at, size): &(RunOffset, u64)| {
        let near = |other: RunOffset| (other.0 - at.0).abs() <= RESCALED;
        wanted.iter().any(|(said, to)| to == size && near(*said))
    };
    sizes.retain(told);
    sizes.into_iter().map(|(at, _)| at).collect()
}

/// An autoscaler tells of its change within this time.
const RESCALED: i64 = 10_000_000_000;
