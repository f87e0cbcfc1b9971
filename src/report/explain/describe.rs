//! What does one event of the record say, in a line?

use crate::evidence::{Change, Event, EventKind, Resource};
use serde_json::Value;
use std::collections::BTreeSet;

/// Who and what, or `None` where the event says nothing about `pods`.
pub(super) fn describe(
    event: &Event,
    pods: &BTreeSet<String>,
    cited: bool,
) -> Option<(String, String)> {
    match &event.kind {
        EventKind::Object {
            resource,
            change,
            object,
        } => describe_object(*resource, *change, object, pods, cited),
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

fn describe_object(
    resource: Resource,
    change: Change,
    object: &Value,
    pods: &BTreeSet<String>,
    cited: bool,
) -> Option<(String, String)> {
    let name = name_of(object)?;
    match resource {
        Resource::Pods if pods.contains(name) || cited => {
            Some((format!("pod {name}"), pod_state(change, object)))
        }
        Resource::EndpointSlices => {
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
