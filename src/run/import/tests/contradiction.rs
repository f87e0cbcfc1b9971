//! What one watch shows and another lost: captures in which the watch of pods ends without a word.

use super::imported;
use crate::evidence::{EventKind, RunOffset};
use serde_json::{Value, json};

/// A line of a watch that came so many seconds after the start.
fn line(second: u64, change: &str, object: &Value) -> String {
    let at = (2_000_000 + second) * 1_000_000;
    json!({"receivedAt": at, "type": change, "object": object}).to_string() + "\n"
}

/// A pod of a Deployment in a state that `status` adds to.
fn pod(name: &str, ready: bool, containers: Value) -> Value {
    let ready = if ready { "True" } else { "False" };
    json!({
        "metadata": {"name": name, "uid": name, "namespace": "shop"},
        "status": {"conditions": [{"type": "Ready", "status": ready}],
                   "containerStatuses": containers},
    })
}

fn deleted(name: &str) -> Value {
    let mut pod = pod(name, true, json!([]));
    pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:30Z");
    pod
}

fn event(pod: &str, reason: &str, message: &str) -> Value {
    json!({"metadata": {"name": format!("{pod}.{reason}")}, "reason": reason, "message": message,
           "involvedObject": {"kind": "Pod", "name": pod, "uid": pod}})
}

fn killing(pod: &str, message: &str) -> Value {
    event(pod, "Killing", message)
}

const STOPPING: &str = "Stopping container app";

fn slice(endpoints: &[(&str, bool)]) -> Value {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(pod, serving)| {
            json!({"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": pod, "uid": pod},
                   "conditions": {"ready": serving, "serving": serving, "terminating": false}})
        })
        .collect();
    json!({"metadata": {"name": "shop-x", "labels": {"kubernetes.io/service-name": "shop"}},
           "endpoints": endpoints})
}

/// Changes that a watch delivered: second, what it was called, object.
type Changes = Vec<(u64, &'static str, Value)>;

/// When the watch of pods was blind, in seconds after the start: from, to. The pods `a` and `b` are
/// there at the start, and the client goes on to second 30; `answers` are by pod and second.
fn blind(watches: &[(&str, Changes)], answers: &[(&str, u64)]) -> Vec<(Option<i64>, Option<i64>)> {
    let mut files: Vec<(String, String)> = Vec::new();
    let both: Changes = ["a", "b"]
        .map(|name| (0, "ADDED", pod(name, true, json!([]))))
        .to_vec();
    let started: Changes = vec![(0, "ADDED", json!({"metadata": {"name": "old"}}))];
    for (resource, first) in [("pods", both), ("events", started)] {
        let added = watches.iter().find(|(name, _)| *name == resource);
        let all = first
            .iter()
            .chain(added.into_iter().flat_map(|(_, changes)| changes));
        let text = all
            .map(|(at, change, object)| line(*at, change, object))
            .collect();
        files.push((format!("{resource}.watch.jsonl"), text));
    }
    if let Some((_, changes)) = watches.iter().find(|(name, _)| *name == "endpointslices") {
        let text = changes
            .iter()
            .map(|(at, change, object)| line(*at, change, object));
        files.push(("endpointslices.watch.jsonl".to_owned(), text.collect()));
    }
    let answer = |pod: &str, second: u64| {
        let at = (2_000_000 + second) * 1_000_000;
        format!("{at}\t{at}\t{}\tnew\t200\t{pod}\n", at + 300)
    };
    let mut requests: String = answers.iter().map(|(pod, at)| answer(pod, *at)).collect();
    requests += &answer("-", 30);
    files.push(("client/node/requests.tsv".to_owned(), requests));
    files.push(("client/node/failures.jsonl".to_owned(), String::new()));
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let (_, timeline) = imported(&files);
    let seconds = |at: Option<RunOffset>| at.map(|at| at.0.div_euclid(1_000_000_000));
    let gaps = timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Blind(gap) if gap.what == "pods" => {
                Some((seconds(gap.from), seconds(gap.to)))
            }
            _ => None,
        });
    gaps.collect()
}

const SILENT: &[(Option<i64>, Option<i64>)] = &[(Some(0), None)];

#[test]
fn a_pod_that_the_kubelet_stops_and_its_watch_never_shows_deleted_tells_of_a_silent_watch() {
    let stop = |at, message| vec![(at, "ADDED", killing("a", message))];
    let ended = json!([{"name": "app", "state": {"terminated": {"exitCode": 0}}}]);
    for (what, events, pods, expected) in [
        ("stopped", stop(10, STOPPING), vec![], SILENT),
        (
            "started again",
            stop(10, "Container app failed liveness probe, will be restarted"),
            vec![],
            &[],
        ),
        ("of before", stop(0, STOPPING), vec![], &[]),
        ("just now", stop(27, STOPPING), vec![], &[]),
        (
            "shown",
            stop(10, STOPPING),
            vec![(11, "MODIFIED", deleted("a"))],
            &[],
        ),
        (
            "evicted by the kubelet: it ends and is not deleted",
            stop(10, STOPPING),
            vec![(14, "MODIFIED", pod("a", false, ended))],
            &[],
        ),
        (
            "told later of another",
            stop(10, STOPPING),
            vec![(20, "MODIFIED", pod("b", true, json!([])))],
            &[(Some(0), Some(20))],
        ),
    ] {
        let watches = [("events", events), ("pods", pods)];
        assert_eq!(blind(&watches, &[]), expected, "{what}");
    }
}

#[test]
fn a_container_that_starts_and_no_state_of_its_pod_tells_of_a_silent_watch() {
    let again = || event("a", "Started", "Started container app");
    for (what, at, pods, expected) in [
        ("a restart after a crash", 10, vec![], SILENT),
        ("of before", 0, vec![], &[]),
        (
            "shown",
            10,
            vec![(12, "MODIFIED", pod("a", true, json!([])))],
            &[],
        ),
        (
            "only of another",
            10,
            vec![(12, "MODIFIED", pod("b", true, json!([])))],
            &[(Some(0), Some(12))],
        ),
    ] {
        let watches = [("events", vec![(at, "ADDED", again())]), ("pods", pods)];
        assert_eq!(blind(&watches, &[]), expected, "{what}");
    }
}

#[test]
fn an_endpoint_that_follows_no_state_of_its_pod_tells_of_a_silent_watch() {
    let unready = || pod("a", false, json!([]));
    let changes = |states: &[(u64, bool)]| -> Changes {
        let mut all = vec![(0, "ADDED", slice(&[("a", true), ("b", true)]))];
        let later = states
            .iter()
            .map(|(at, serving)| (*at, "MODIFIED", slice(&[("a", *serving), ("b", true)])));
        all.extend(later);
        all
    };
    for (what, slices, pods, expected) in [
        ("not ready", changes(&[(10, false)]), vec![], SILENT),
        (
            "shown",
            changes(&[(10, false)]),
            vec![(13, "MODIFIED", unready())],
            &[],
        ),
        (
            "for a moment",
            changes(&[(10, false), (12, true)]),
            vec![],
            &[],
        ),
        (
            "ready again, and only that was lost",
            changes(&[(5, false), (20, true)]),
            vec![(5, "MODIFIED", unready())],
            &[(Some(5), None)],
        ),
    ] {
        let watches = [("endpointslices", slices), ("pods", pods)];
        assert_eq!(blind(&watches, &[]), expected, "{what}");
    }
}

#[test]
fn an_answer_of_a_pod_that_its_watch_never_showed_tells_of_a_silent_watch() {
    assert_eq!(blind(&[], &[("a", 3), ("c", 10)]), SILENT);
    assert_eq!(blind(&[], &[("a", 3), ("b", 10)]), []);
    // Names that are of no pod at all tell nothing.
    assert_eq!(blind(&[], &[("c", 3)]), []);
}
