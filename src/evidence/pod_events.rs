//! Which events of the API's own `events` resource tell of a pod?

use super::event::{Change, EventKind, Resource};
use super::object::{epoch, text};
use super::stamp::RunOffset;
use super::timeline::Timeline;
use std::collections::BTreeMap;

/// One event of the API's `events` resource, as far as it concerns a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodEvent {
    /// `Killing`, `FailedPreStopHook`, ...
    pub reason: String,
    /// The text.
    pub message: String,
    /// The container that it concerns, where it names one.
    pub container: Option<String>,
    /// `lastTimestamp`, epoch nanoseconds by the emitter's clock, floored; or `eventTime`.
    pub stamp: Option<i64>,
    /// When the watch showed it.
    pub seen: RunOffset,
    /// The event of the record.
    pub event: u64,
    /// The kubelet wrote it: its stamp is the node's.
    pub by_kubelet: bool,
}

impl PodEvent {
    /// A kubelet stops a container of the pod, and not to start it again.
    pub fn stops_for_good(&self) -> bool {
        stops_for_good(&self.reason, &self.message)
    }
}

/// An event of that reason and message tells that a kubelet stops a container for good (facts 1.7).
pub(crate) fn stops_for_good(reason: &str, message: &str) -> bool {
    reason == "Killing" && !message.contains("will be restarted")
}

/// The API's events by the uid of the pod that they concern.
pub fn pod_events(timeline: &Timeline) -> BTreeMap<String, Vec<PodEvent>> {
    let mut found: BTreeMap<String, Vec<PodEvent>> = BTreeMap::new();
    for event in &timeline.events {
        let EventKind::Object {
            resource: Resource::Events,
            change,
            object,
        } = &event.kind
        else {
            continue;
        };
        if *change == Change::Deleted || text(object, "/involvedObject/kind") != Some("Pod") {
            continue;
        }
        let Some(uid) = text(object, "/involvedObject/uid") else {
            continue;
        };
        let container = text(object, "/involvedObject/fieldPath")
            .and_then(|path| path.split_once('{')?.1.strip_suffix('}'));
        found.entry(uid.to_owned()).or_default().push(PodEvent {
            reason: text(object, "/reason").unwrap_or_default().to_owned(),
            message: text(object, "/message").unwrap_or_default().to_owned(),
            container: container.map(str::to_owned),
            stamp: text(object, "/lastTimestamp")
                .or_else(|| text(object, "/eventTime"))
                .and_then(epoch),
            seen: event.at.hi,
            event: event.seq,
            by_kubelet: text(object, "/source/component") == Some("kubelet"),
        });
    }
    found
}
