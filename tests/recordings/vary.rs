//! Makes a harder capture out of a recorded one: another clock on the node, evidence taken away, a
//! watch that was blind for a while.

use regex::{Captures, Regex};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Everything that the node stamped is later by so many seconds: log lines and the stamps inside
/// them, container and condition times, the kubelet's events, the node's lease.
pub(crate) fn node_clock(capture: &Path, seconds: f64) {
    let iso = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z").expect("a pattern");
    let go = Regex::new(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}").expect("a pattern");
    for path in logs(capture) {
        let text = fs::read_to_string(&path).expect("a log");
        let moved = iso.replace_all(&text, |found: &Captures<'_>| shift(&found[0], seconds));
        let moved = go.replace_all(&moved, |found: &Captures<'_>| shift_go(&found[0], seconds));
        fs::write(&path, moved.as_bytes()).expect("a log is written");
    }
    for resource in ["pods", "events", "leases", "nodes"] {
        let path = capture.join(format!("{resource}.watch.jsonl"));
        rewrite(&path, |event| {
            shift_object(resource, &mut event["object"], seconds)
        });
    }
}

fn shift(stamp: &str, seconds: f64) -> String {
    let at: jiff::Timestamp = stamp.parse().expect("a stamp");
    let nanos = at.as_nanosecond() + (seconds * 1e9).round() as i128;
    let moved = jiff::Timestamp::from_nanosecond(nanos).expect("a stamp");
    let digits = stamp.split_once('.').map_or(0, |(_, rest)| rest.len() - 1);
    let whole = moved.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    if digits == 0 {
        return format!("{whole}Z");
    }
    let fraction = format!("{:09}", nanos.rem_euclid(1_000_000_000));
    format!("{whole}.{}Z", &fraction[..digits])
}

fn shift_go(stamp: &str, seconds: f64) -> String {
    let iso = stamp.replacen('/', "-", 2).replacen(' ', "T", 1) + "Z";
    let moved = shift(&iso, seconds);
    moved
        .trim_end_matches('Z')
        .replacen('-', "/", 2)
        .replacen('T', " ", 1)
}

fn shift_object(resource: &str, object: &mut Value, seconds: f64) {
    let move_all = |holder: &mut Value, keys: &[&str]| {
        for key in keys {
            if let Some(stamp) = holder.get(*key).and_then(Value::as_str).map(str::to_owned) {
                holder[*key] = json!(shift(&stamp, seconds));
            }
        }
    };
    match resource {
        "pods" => {
            move_all(&mut object["status"], &["startTime"]);
            for condition in list(&mut object["status"]["conditions"]) {
                let kind = condition["type"].as_str().unwrap_or_default();
                if !matches!(kind, "PodScheduled" | "DisruptionTarget") {
                    move_all(condition, &["lastTransitionTime"]);
                }
            }
            for statuses in ["containerStatuses", "initContainerStatuses"] {
                for container in list(&mut object["status"][statuses]) {
                    for state in ["state", "lastState"] {
                        let Some(states) = container[state].as_object_mut() else {
                            continue;
                        };
                        for one in states.values_mut() {
                            move_all(one, &["startedAt", "finishedAt"]);
                        }
                    }
                }
            }
        }
        "events" if object["source"]["component"] == "kubelet" => {
            move_all(object, &["firstTimestamp", "lastTimestamp"]);
        }
        "leases" => move_all(&mut object["spec"], &["renewTime", "acquireTime"]),
        "nodes" => {
            for condition in list(&mut object["status"]["conditions"]) {
                move_all(condition, &["lastHeartbeatTime", "lastTransitionTime"]);
            }
        }
        _ => {}
    }
}

fn list(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_array_mut().into_iter().flatten()
}

fn logs(capture: &Path) -> Vec<PathBuf> {
    let pods = fs::read_dir(capture.join("logs")).expect("logs");
    pods.flat_map(|pod| fs::read_dir(pod.expect("a pod").path()).expect("its logs"))
        .map(|log| log.expect("a log").path())
        .collect()
}

/// The logs of this name, one of each pod that has it.
fn logs_of(capture: &Path, file: &str) -> Vec<PathBuf> {
    let mut own = logs(capture);
    own.retain(|path| path.ends_with(file));
    own
}

fn rewrite(path: &Path, change: impl Fn(&mut Value)) {
    let Ok(text) = fs::read_to_string(path) else {
        return;
    };
    let mut out = String::new();
    for line in text.lines() {
        let mut event: Value = serde_json::from_str(line).expect("a line");
        change(&mut event);
        out += &event.to_string();
        out.push('\n');
    }
    fs::write(path, out).expect("a file is written");
}

/// Takes files away; those that are not there are no fault.
pub(crate) fn remove(capture: &Path, files: &[&str]) {
    for file in files {
        let _ = fs::remove_file(capture.join(file));
    }
}

/// Takes the logs of the apps away.
pub(crate) fn without_app_logs(capture: &Path) {
    for path in logs_of(capture, "app.log") {
        fs::remove_file(path).expect("a log is removed");
    }
}

/// Keeps those lines of the proxies for which `keep` holds, given whether a line is an access line.
pub(crate) fn keep_proxy_lines(capture: &Path, keep: impl Fn(bool) -> bool) {
    for path in logs_of(capture, "istio-proxy.log") {
        let text = fs::read_to_string(&path).expect("a log");
        let is_access = |line: &str| {
            let head: String = line.chars().take(80).collect();
            head.contains("] \"") || line.contains("\"response_flags\"")
        };
        let kept: String = text
            .lines()
            .filter(|line| keep(is_access(line)))
            .flat_map(|line| [line, "\n"])
            .collect();
        fs::write(&path, kept).expect("a log is written");
    }
}

/// Every line of a proxy that has a request id has another one, as where a gateway replaces them; or
/// none.
pub(crate) fn replace_ids(capture: &Path, by: impl Fn(usize) -> String) {
    let id = Regex::new("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").expect("a pattern");
    let mut count = 0;
    for path in logs_of(capture, "istio-proxy.log") {
        let text = fs::read_to_string(&path).expect("a log");
        let lines: Vec<String> = text
            .lines()
            .map(|line| {
                count += 1;
                id.replace_all(line, by(count)).into_owned()
            })
            .collect();
        fs::write(&path, lines.join("\n") + "\n").expect("a log is written");
    }
}

/// When the recording was disturbed, in microseconds.
pub(crate) fn action_began(capture: &Path) -> f64 {
    let times = fs::read_to_string(capture.join("action.times")).expect("times");
    let micros = times.split_whitespace().nth(1);
    micros
        .and_then(|micros| micros.parse().ok())
        .expect("a start")
}

/// The watch of pods delivers nothing between two instants, in seconds after the action began; then
/// comes a RELIST with what exists, and the newest state of what changed meanwhile.
pub(crate) fn cut_pods(capture: &Path, from: f64, to: f64) {
    let began = action_began(capture);
    let (lo, hi) = ((began + from * 1e6) as i64, (began + to * 1e6) as i64);
    let path = capture.join("pods.watch.jsonl");
    let text = fs::read_to_string(&path).expect("a watch");
    let mut kept: Vec<(i64, Value)> = Vec::new();
    let mut exists = BTreeSet::new();
    let mut missed: BTreeMap<String, Value> = BTreeMap::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).expect("a line");
        let uid = event["object"]["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let at = event["receivedAt"].as_i64().expect("an arrival");
        let gone = event["type"] == "DELETED";
        if at < hi && gone {
            exists.remove(&uid);
        } else if at < hi {
            exists.insert(uid.clone());
        }
        if at < lo || at >= hi {
            kept.push((at, event));
        } else if gone {
            missed.remove(&uid);
        } else {
            missed.insert(uid, event);
        }
    }
    let relist =
        json!({"receivedAt": hi, "type": "RELIST", "object": {"since": lo, "uids": exists}});
    kept.push((hi, relist));
    for mut event in missed.into_values() {
        event["receivedAt"] = json!(hi);
        kept.push((hi, event));
    }
    kept.sort_by_key(|(at, _)| *at);
    let out: String = kept.iter().map(|(_, event)| format!("{event}\n")).collect();
    fs::write(&path, out).expect("a watch is written");
}

/// No answer names its pod.
pub(crate) fn forget_pod_names(capture: &Path) {
    for client in ["node", "mesh"] {
        let folder = capture.join("client").join(client);
        rewrite(&folder.join("failures.jsonl"), |failure| {
            if let Some(failure) = failure.as_object_mut() {
                failure.remove("pod");
            }
        });
        let path = folder.join("requests.tsv");
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let out: String = text
            .lines()
            .map(|line| match line.rsplit_once('\t') {
                Some((rest, _)) => format!("{rest}\t-\n"),
                None => format!("{line}\n"),
            })
            .collect();
        fs::write(&path, out).expect("requests are written");
    }
}
