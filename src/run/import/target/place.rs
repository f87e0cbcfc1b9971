//! In which namespace was the workload that a capture is about?
//!
//! A capture of several namespaces may hold workloads of one name: production's, and staging's.

use super::asked::Asked;
use super::{Listed, Pod, most_common};
use std::collections::BTreeSet;

/// The namespace of most of these pods of one workload that were deleted in the capture, else of
/// those that ended in it, else of all: among those that the clients asked, where they tell. Of
/// equals the first by name. `listed`: those of them that slices list.
pub(super) fn of(pods: &[&Pod], listed: &BTreeSet<Listed>, asked: &Asked) -> Option<String> {
    let answered = pods.iter().filter(|pod| asked.pods.contains(&pod.name));
    let answered = answered.map(|pod| pod.namespace.as_str());
    let behind = listed
        .iter()
        .filter(|one| asked.service(one.namespace.as_deref(), &one.service));
    let behind = behind.filter_map(|one| one.namespace.as_deref());
    let meant: BTreeSet<&str> = answered.chain(behind).collect();
    let most = |wanted: fn(&Pod) -> bool, asked: bool| {
        let own = pods
            .iter()
            .filter(|pod| wanted(pod) && (!asked || meant.contains(pod.namespace.as_str())));
        most_common(own.map(|pod| pod.namespace.clone()))
    };
    let of = |asked| {
        most(|pod| pod.deleted && !pod.was_going, asked)
            .or_else(|| most(|pod| pod.deleted, asked))
            .or_else(|| most(|pod| pod.ended, asked))
            .or_else(|| most(|_| true, asked))
    };
    of(true).or_else(|| of(false))
}
