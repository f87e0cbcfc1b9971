//! What stands in the columns of an object's row?

use super::age::{since, span};
use super::{joined, pod};
use crate::lab::store::object;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The cells of an object's row.
pub(super) fn cells(plural: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    let name = json!(object::name(object));
    let age = json!(since(&object["metadata"]["creationTimestamp"], now));
    let (spec, status) = (&object["spec"], &object["status"]);
    let count = |value: &Value| json!(value.as_i64().unwrap_or(0));
    let size = |value: &Value| json!(value.as_object().map_or(0, serde_json::Map::len));
    match plural {
        "pods" => pod_cells(object, now, name, age),
        "deployments" => {
            let ready = format!(
                "{}/{}",
                count(&status["readyReplicas"]),
                count(&spec["replicas"])
            );
            let mut cells = vec![
                name,
                json!(ready),
                count(&status["updatedReplicas"]),
                count(&status["availableReplicas"]),
                age,
            ];
            cells.extend(template_cells(spec));
            cells
        }
        "replicasets" => {
            let mut cells = vec![
                name,
                count(&spec["replicas"]),
                count(&status["replicas"]),
                count(&status["readyReplicas"]),
                age,
            ];
            cells.extend(template_cells(spec));
            cells
        }
        "jobs" => job_cells(object, now, name, age),
        "services" => service_cells(object, name, age),
        "nodes" => node_cells(object, name, age),
        "events" => event_cells(object, now, name),
        "namespaces" => vec![name, status["phase"].clone(), age],
        "endpointslices" => slice_cells(object, name, age),
        "poddisruptionbudgets" => {
            let bound = |value: &Value| match value {
                Value::Null => json!("N/A"),
                Value::String(text) => json!(text),
                other => json!(other.to_string()),
            };
            vec![
                name,
                bound(&spec["minAvailable"]),
                bound(&spec["maxUnavailable"]),
                count(&status["disruptionsAllowed"]),
                age,
            ]
        }
        "configmaps" => vec![name, size(&object["data"]), age],
        "secrets" => vec![
            name,
            json!(object::text(&object["type"])),
            size(&object["data"]),
            age,
        ],
        "serviceaccounts" => vec![name, json!(object::items(&object["secrets"]).len()), age],
        "leases" => vec![name, json!(object::text(&spec["holderIdentity"])), age],
        "rolebindings" | "clusterrolebindings" => {
            let role = &object["roleRef"];
            let role = format!(
                "{}/{}",
                object::text(&role["kind"]),
                object::text(&role["name"])
            );
            vec![name, json!(role), age]
        }
        _ => vec![name, age],
    }
}

fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { "<none>" } else { text })
}

fn pod_cells(pod: &Value, now: Timestamp, name: Value, age: Value) -> Vec<Value> {
    let summary = pod::summary(pod, now);
    vec![
        name,
        json!(summary.ready),
        json!(summary.status),
        json!(summary.restarts),
        age,
        or_none(object::text(&pod["status"]["podIP"])),
        or_none(object::text(&pod["spec"]["nodeName"])),
        or_none(object::text(&pod["status"]["nominatedNodeName"])),
        or_none(""),
    ]
}

/// Containers, images and selector of a workload.
fn template_cells(spec: &Value) -> [Value; 3] {
    let containers = &spec["template"]["spec"]["containers"];
    [
        json!(joined(containers, "name")),
        json!(joined(containers, "image")),
        or_none(&labels(&spec["selector"]["matchLabels"])),
    ]
}

fn labels(labels: &Value) -> String {
    let pairs: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", object::text(value)))
        .collect();
    pairs.join(",")
}

fn job_cells(job: &Value, now: Timestamp, name: Value, age: Value) -> Vec<Value> {
    let holds = |kind: &str| object::condition(job, kind).is_some_and(|c| c["status"] == "True");
    let status = if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if object::is_terminating(job) {
        "Terminating"
    } else {
        "Running"
    };
    let completions = format!(
        "{}/{}",
        job["status"]["succeeded"].as_i64().unwrap_or(0),
        job["spec"]["completions"].as_i64().unwrap_or(1)
    );
    let duration = match (
        object::stamp(&job["status"]["startTime"]),
        object::stamp(&job["status"]["completionTime"]),
    ) {
        (Some(start), Some(end)) => span(end.as_second() - start.as_second()),
        (Some(start), None) => span(now.as_second() - start.as_second()),
        _ => String::new(),
    };
    let mut cells = vec![
        name,
        json!(status),
        json!(completions),
        json!(duration),
        age,
    ];
    cells.extend(template_cells(&job["spec"]));
    cells
}

fn service_cells(service: &Value, name: Value, age: Value) -> Vec<Value> {
    let spec = &service["spec"];
    let ports: Vec<String> = object::items(&spec["ports"])
        .iter()
        .map(|port| {
            let protocol = object::text(&port["protocol"]);
            match port["nodePort"].as_i64() {
                Some(node) => format!("{}:{node}/{protocol}", port["port"]),
                None => format!("{}/{protocol}", port["port"]),
            }
        })
        .collect();
    vec![
        name,
        spec["type"].clone(),
        or_none(object::text(&spec["clusterIP"])),
        or_none(""),
        or_none(&ports.join(",")),
        age,
        or_none(&labels(&spec["selector"])),
    ]
}

fn node_cells(node: &Value, name: Value, age: Value) -> Vec<Value> {
    let mut status =
        match object::condition(node, "Ready").map(|ready| object::text(&ready["status"])) {
            Some("True") => "Ready".to_owned(),
            Some(_) => "NotReady".to_owned(),
            None => "Unknown".to_owned(),
        };
    if node["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    let roles: Vec<&str> = node["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    let address = |kind: &str| {
        let found = object::items(&node["status"]["addresses"])
            .iter()
            .find(|a| a["type"] == kind);
        or_none(
            found
                .map(|a| object::text(&a["address"]))
                .unwrap_or_default(),
        )
    };
    let info = |field: &str| match object::text(&node["status"]["nodeInfo"][field]) {
        "" => json!("<unknown>"),
        text => json!(text),
    };
    vec![
        name,
        json!(status),
        or_none(&roles.join(",")),
        age,
        json!(object::text(&node["status"]["nodeInfo"]["kubeletVersion"])),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn event_cells(event: &Value, now: Timestamp, name: Value) -> Vec<Value> {
    let about = &event["involvedObject"];
    let first_of = |stamps: [&Value; 2]| {
        let stamp = stamps.into_iter().find(|stamp| stamp.is_string());
        since(stamp.unwrap_or(&Value::Null), now)
    };
    let first = first_of([&event["firstTimestamp"], &event["eventTime"]]);
    let last = match &event["series"]["lastObservedTime"] {
        Value::Null => first_of([&event["lastTimestamp"], &event["eventTime"]]),
        stamp => since(stamp, now),
    };
    let (component, host) = match object::text(&event["source"]["component"]) {
        "" => (
            object::text(&event["reportingComponent"]),
            object::text(&event["reportingInstance"]),
        ),
        component => (component, object::text(&event["source"]["host"])),
    };
    let source = if host.is_empty() {
        component.to_owned()
    } else {
        format!("{component}, {host}")
    };
    let kind = object::text(&about["kind"]).to_lowercase();
    let count = event["series"]["count"]
        .as_i64()
        .or(event["count"].as_i64())
        .unwrap_or(1);
    vec![
        json!(last),
        event["type"].clone(),
        event["reason"].clone(),
        json!(format!("{kind}/{}", object::text(&about["name"]))),
        json!(object::text(&about["fieldPath"])),
        json!(source),
        json!(object::text(&event["message"]).trim()),
        json!(first),
        json!(count.to_string()),
        name,
    ]
}

/// As many items as kubectl shows, then how many more there are.
fn few(items: &[String]) -> String {
    const SHOWN: usize = 3;
    match items.len() {
        0 => "<unset>".to_owned(),
        1..=SHOWN => items.join(","),
        more => format!("{} + {} more...", items[..SHOWN].join(","), more - SHOWN),
    }
}

fn slice_cells(slice: &Value, name: Value, age: Value) -> Vec<Value> {
    let ports: Vec<String> = object::items(&slice["ports"])
        .iter()
        .map(|port| port["port"].to_string())
        .collect();
    let addresses: Vec<String> = object::items(&slice["endpoints"])
        .iter()
        .flat_map(|endpoint| object::items(&endpoint["addresses"]))
        .map(|address| object::text(address).to_owned())
        .collect();
    vec![
        name,
        slice["addressType"].clone(),
        json!(few(&ports)),
        json!(few(&addresses)),
        age,
    ]
}
