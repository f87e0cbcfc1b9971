//! What did the watches of a capture deliver?

use super::gathered::Gathered;
use crate::evidence::{Blindness, Change, EventKind, Resource, RunOffset, Source};
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Watches that a capture should have. The others are read when they are there.
const EXPECTED: &[Resource] = &[
    Resource::Pods,
    Resource::EndpointSlices,
    Resource::Events,
    Resource::Deployments,
    Resource::ReplicaSets,
    Resource::Nodes,
    Resource::Leases,
];

/// All watches that are understood, by the name of their file.
const KNOWN: &[Resource] = &[
    Resource::Pods,
    Resource::EndpointSlices,
    Resource::Events,
    Resource::Deployments,
    Resource::ReplicaSets,
    Resource::StatefulSets,
    Resource::DaemonSets,
    Resource::Jobs,
    Resource::Nodes,
    Resource::Leases,
    Resource::Services,
    Resource::PodDisruptionBudgets,
];

/// The lower-case plural that kubectl and file names use.
pub(super) fn name(resource: Resource) -> String {
    serde_json::to_value(resource)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    received_at: i64,
    r#type: String,
    object: Value,
}

#[derive(Deserialize)]
struct Relist {
    since: i64,
    #[serde(default)]
    uids: Option<Vec<String>>,
}

/// Reads every watch of the capture.
pub(super) fn read_all(capture: &Path, gathered: &mut Gathered) {
    for &resource in KNOWN {
        let path = capture.join(format!("{}.watch.jsonl", name(resource)));
        let expected = EXPECTED.contains(&resource);
        match fs::read(&path) {
            Ok(bytes) => read(&path, resource, &String::from_utf8_lossy(&bytes), gathered),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if expected {
                    gathered.blind(name(resource), "the capture has no watch of them");
                }
            }
            Err(error) => {
                gathered.fault(&path, 0, error.to_string());
                gathered.blind(name(resource), "the capture's watch cannot be read");
            }
        }
    }
}

fn read(path: &Path, resource: Resource, text: &str, gathered: &mut Gathered) {
    let mut seen = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match parse(resource, line) {
            Ok((at, kind)) => {
                seen |= matches!(kind, EventKind::Object { .. });
                gathered.push(at, Source::Watch, kind);
            }
            Err(reason) => gathered.fault(path, index + 1, reason),
        }
    }
    if seen {
        gathered.watches.push(resource);
    } else if EXPECTED.contains(&resource) {
        gathered.blind(name(resource), "the capture's watch delivered nothing");
    }
}

/// One line: its arrival in epoch nanoseconds, and what it says.
fn parse(resource: Resource, line: &str) -> Result<(i64, EventKind), String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let at = line.received_at.saturating_mul(1_000);
    let change = match line.r#type.as_str() {
        "ADDED" => Change::Added,
        "MODIFIED" => Change::Modified,
        "DELETED" => Change::Deleted,
        "RELIST" => {
            let relist: Relist =
                serde_json::from_value(line.object).map_err(|error| error.to_string())?;
            let gap = Blindness {
                what: name(resource),
                from: Some(RunOffset(relist.since.saturating_mul(1_000))),
                to: Some(RunOffset(at)),
                reason: "the watch had a gap and listed anew".to_owned(),
                uids: relist.uids,
                resumed: false,
            };
            return Ok((at, EventKind::Blind(gap)));
        }
        "BOOKMARK" => return Err("a bookmark tells nothing".to_owned()),
        other => {
            return Err(format!(
                "unknown type `{other}`, expected ADDED, MODIFIED, DELETED or RELIST"
            ));
        }
    };
    let mut object = line.object;
    if object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .is_none()
    {
        return Err("the object has no `metadata.name`".to_owned());
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let kind = EventKind::Object {
        resource,
        change,
        object,
    };
    Ok((at, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relist_is_a_gap_with_what_exists_after_it() {
        let line = r#"{"receivedAt":7,"type":"RELIST","object":{"since":3,"uids":["a"]}}"#;
        let (at, kind) = parse(Resource::Pods, line).unwrap();
        assert_eq!(at, 7_000);
        let EventKind::Blind(gap) = kind else {
            panic!("{kind:?}");
        };
        assert_eq!(gap.what, "pods");
        assert_eq!(
            (gap.from, gap.to),
            (Some(RunOffset(3_000)), Some(RunOffset(7_000)))
        );
        assert_eq!(gap.uids, Some(vec!["a".to_owned()]));
    }

    #[test]
    fn a_line_that_is_no_watch_event_is_refused_with_its_reason() {
        for (line, reason) in [
            ("{", "EOF"),
            (
                r#"{"receivedAt":1,"type":"GONE","object":{}}"#,
                "unknown type `GONE`",
            ),
            (
                r#"{"receivedAt":1,"type":"ADDED","object":{}}"#,
                "metadata.name",
            ),
        ] {
            let error = parse(Resource::Pods, line).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
