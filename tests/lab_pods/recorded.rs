//! What was recorded of a rollout without a mesh: the watches, and how the client's requests failed.

use super::archive::unpack;
use super::shapes::Shapes;
use super::stories::Stories;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A recording, unpacked.
pub(super) struct Recording {
    capture: PathBuf,
    _folder: tempfile::TempDir,
}

impl Recording {
    pub(super) fn of(name: &str) -> Self {
        let archive = format!("tests/testdata/recordings/{name}.tar.gz");
        let folder = unpack(Path::new(&archive));
        Self {
            capture: folder.path().join(name),
            _folder: folder,
        }
    }

    fn lines(&self, file: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.capture.join(file)).expect(file);
        let lines = text.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("JSON")).collect()
    }

    /// What became of the target's pods and endpoints.
    pub(super) fn stories(&self) -> Stories {
        let mut events = self.lines("pods.watch.jsonl");
        events.extend(self.lines("endpointslices.watch.jsonl"));
        events.retain(|event| {
            let name = event["object"]["metadata"]["name"].as_str();
            name.is_some_and(|name| name.starts_with("demo-"))
        });
        let at = |event: &Value| event["receivedAt"].as_f64().expect("a time") / 1000.0;
        events.sort_by(|one, other| at(one).total_cmp(&at(other)));
        let mut stories = Stories::default();
        for event in events {
            stories.take(at(&event), &event);
        }
        stories
    }

    /// How the requests of the client outside the mesh failed.
    pub(super) fn shapes(&self) -> Shapes {
        let mut shapes = Shapes::default();
        for failure in self.lines("client/node/failures.jsonl") {
            let word = |key: &str| failure[key].as_str().unwrap_or_default();
            shapes.count(word("connection"), word("phase"), word("error"));
        }
        shapes
    }

    /// Requests a second.
    pub(super) fn rate(&self) -> u32 {
        let summary = fs::read_to_string(self.capture.join("client/node/summary.json"));
        let summary: Value = serde_json::from_str(&summary.expect("a summary")).expect("JSON");
        summary["rate"]
            .as_u64()
            .and_then(|rate| u32::try_from(rate).ok())
            .expect("a rate")
    }
}
