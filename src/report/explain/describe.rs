//! What does one event of the record say, in a line?

use crate::evidence::{Change, Event, EventKind, Resource, RunOffset, Timeline};
use serde_json::Value;
use std::collections::BTreeSet;

/// What a description needs to know beside the event.
pub(super) struct Reader<'a> {
    /// The pods that the story follows.
    pub(super) pods: &'a BTreeSet<String>,
    /// The Service whose slices are told; `None`: all.
    pub(super) service: Option<&'a str>,
    /// When the first Kubernetes Event was delivered: what came with it is older than the record.
    pub(super) first_event: Option<RunOffset>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(timeline: &'a Timeline, pods: &'a BTreeSet<String>) -> Self {
        let first_event = timeline.events.iter().find_map(|event| {
            matches!(
                event.kind,
                EventKind::Object {
                    resource: Resource::Events,
                    ..
                }
            )
            .then_some(event.at.lo)
        });
        Self {
            pods,
            service: timeline.run.service.as_deref(),
            first_event,
        }
    }

    fn is_old(&self, event: &Event) -> bool {
        self.first_event
            .is_some_and(|first| event.at.lo.0 - first.0 < LIST_NANOS)
    }
}

/// The objects of a first list arrive within this time of each other.
const LIST_NANOS: i64 = 100_000_000;

/// Who and what, or `None` where the event says nothing about the story's pods.
pub(super) fn describe(
    event: &Event,
    reader: &Reader<'_>,
    cited: bool,
) -> Option<(String, String)> {
    let pods = reader.pods;
    match &event.kind {
        EventKind::Object {
            resource,
            change,
            object,
        } => {
            let old = *resource == Resource::Events && reader.is_old(event);
            if old && !cited {
                return None;
            }
            describe_object(*resource, *change, object, reader, cited)
        }
        EventKind::Step(step) => Some((
            "step".to_owned(),
            format!("{} {} {}", step.step, step.state, step.text),
        )),
        EventKind::Probe(probe) if pods.contains(&probe.pod) => Some((
            format!("probe {}", probe.pod),
            format!("{:?} at {}", probe.outcome, probe.address).to_lowercase(),
        )),
        EventKind::Blind(blind) => Some((
            "blind".to_owned(),
            format!("{} not seen: {}", blind.what, blind.reason),
        )),
        EventKind::Log(notice) if pods.contains(&notice.pod) => Some((
            format!("{}/{}", notice.pod, notice.container),
            format!("log {} {}", notice.state, notice.text),
        )),
        _ => None,
    }
}

pub(super) fn name_of(object: &Value) -> Option<&str> {
    object.pointer("/metadata/name").and_then(Value::as_str)
}

fn service_of(slice: &Value) -> Option<&str> {
    slice
        .pointer("/metadata/labels/kubernetes.io~1service-name")
        .and_then(Value::as_str)
}

fn describe_object(
    resource: Resource,
    change: Change,
    object: &Value,
    reader: &Reader<'_>,
    cited: bool,
) -> Option<(String, String)> {
    let pods = reader.pods;
    let name = name_of(object)?;
    match resource {
        Resource::Pods if pods.contains(name) || cited => {
            Some((format!("pod {name}"), pod_state(change, object)))
        }
        Resource::EndpointSlices
            if reader.service.is_none() || service_of(object) == reader.service =>
        {
            let text = endpoints(object, pods)?;
            Some((format!("slice {name}"), text))
        }
        Resource::Events => {
            let about = object.pointer("/involvedObject/name")?.as_str()?;
            let text = format!(
                "{}: {}",
                object.get("reason").and_then(Value::as_str).unwrap_or("?"),
                object.get("message").and_then(Value::as_str).unwrap_or("")
            );
            pods.contains(about)
                .then(|| (format!("event {about}"), text))
        }
        _ => None,
    }
}

fn pod_state(change: Change, pod: &Value) -> String {
    if change == Change::Deleted {
        return "removed from the API".to_owned();
    }
    let mut facts = Vec::new();
    if let Some(phase) = pod.pointer("/status/phase").and_then(Value::as_str) {
        facts.push(phase.to_owned());
    }
    if ready(pod) {
        facts.push("ready".to_owned());
    }
    if let Some(at) = pod
        .pointer("/metadata/deletionTimestamp")
        .and_then(Value::as_str)
    {
        let grace = pod
            .pointer("/metadata/deletionGracePeriodSeconds")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        facts.push(format!("terminating, grace {grace} s until {at}"));
    }
    for status in ["containerStatuses", "initContainerStatuses"] {
        facts.extend(ended_containers(pod, status));
    }
    facts.join(", ")
}

fn ready(pod: &Value) -> bool {
    pod.pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn ended_containers(pod: &Value, statuses: &str) -> Vec<String> {
    let statuses = pod.pointer(&format!("/status/{statuses}"));
    statuses
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|status| {
            let ended = status.pointer("/state/terminated")?;
            Some(format!(
                "{} ended with {} ({}) at {}",
                status["name"].as_str()?,
                ended["exitCode"],
                ended["reason"].as_str().unwrap_or("?"),
                ended["finishedAt"].as_str().unwrap_or("?")
            ))
        })
        .collect()
}

fn endpoints(slice: &Value, pods: &BTreeSet<String>) -> Option<String> {
    let listed: Vec<String> = slice
        .get("endpoints")?
        .as_array()?
        .iter()
        .filter_map(|endpoint| {
            let pod = endpoint.pointer("/targetRef/name")?.as_str()?;
            let conditions = &endpoint["conditions"];
            pods.contains(pod).then(|| {
                let state = if conditions["terminating"] == true {
                    "terminating"
                } else if conditions["ready"] == false {
                    "not ready"
                } else {
                    "ready"
                };
                format!("{pod} {state}")
            })
        })
        .collect();
    Some(if listed.is_empty() {
        "lists none of them".to_owned()
    } else {
        listed.join(", ")
    })
}
