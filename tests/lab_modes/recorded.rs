//! What was recorded of a mode: the workload that was applied, and how its pods ended.

use super::archive::unpack;
use super::ending::{Ending, Line};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A recording of one mode.
pub(super) struct Recording {
    /// The Deployment or the Job, as the API server had it.
    pub(super) workload: Value,
    pub(super) endings: Vec<Ending>,
}

impl Recording {
    pub(super) fn of(mode: &str) -> Self {
        let name = format!("mesh-{mode}");
        let archive = format!("tests/testdata/recordings/{name}.tar.gz");
        let folder = unpack(Path::new(&archive));
        let capture = folder.path().join(name);
        let truth: Vec<Value> =
            serde_json::from_str(&read(&capture.join("pods.json"))).expect("the truth of the pods");
        let endings: Vec<_> = truth
            .iter()
            .filter_map(|pod| ending(&capture, pod))
            .collect();
        assert!(!endings.is_empty(), "no pod of {mode} has ended");
        Self {
            workload: workload(&capture),
            endings,
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The target: a Job where there is one, else the Deployment `demo`.
fn workload(capture: &Path) -> Value {
    let find = |file: &str, wanted: &str| {
        let text = fs::read_to_string(capture.join(file)).unwrap_or_default();
        let events = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("an event"));
        events
            .map(|event: Value| event["object"].clone())
            .find(|object| object["metadata"]["name"] == wanted)
    };
    find("jobs.watch.jsonl", "work")
        .or_else(|| find("deployments.watch.jsonl", "demo"))
        .expect("a workload")
}

/// How a pod ended, if it was deleted or its app has done its work.
fn ending(capture: &Path, truth: &Value) -> Option<Ending> {
    let second = |key: &str| truth[key].as_f64().map(|micros| micros / 1e6);
    let app = second("app_end")?;
    let from = second("deleted_seen").unwrap_or(app);
    let name = truth["pod"].as_str().expect("a name");
    let codes: BTreeMap<String, i64> =
        serde_json::from_value(truth["exit_codes"].clone()).expect("exit codes");
    let log = capture.join(format!("logs/{name}/istio-proxy.log"));
    // A proxy that nobody ended may have said nothing while it was recorded.
    let log = fs::read_to_string(log).unwrap_or_default();
    Some(Ending {
        pod: name.to_owned(),
        lines: Line::of_the_end(&log),
        codes,
        app: app - from,
        agent: second("agent_end").map(|agent| agent - from),
    })
}
