//! What has a run put down in its directory?

use serde_json::Value;
use std::path::Path;

/// The events so far; the last line may still be on its way.
pub(crate) fn events(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("events.jsonl")).unwrap_or_default();
    let lines = text.lines().map(serde_json::from_str);
    lines.filter_map(Result::ok).collect()
}

/// The report of a run that has ended.
pub(crate) fn report(run: &Path) -> Value {
    let text = std::fs::read_to_string(run.join("report.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}
