//! A rollout of the lab, recorded with `scripts/capture` as somebody without this tool would, and
//! imported.

use super::lab_up::Up;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    text.lines().map(str::to_owned).collect()
}

/// The pods that a watch of them saw in one kind of change.
fn pods(capture: &Path, change: &str) -> BTreeSet<String> {
    let events = lines(&capture.join("pods.watch.jsonl"));
    let events = events
        .iter()
        .map(|line| serde_json::from_str(line).unwrap());
    events
        .filter(|event: &Value| event["type"] == change)
        .map(|event| {
            event["object"]["metadata"]["name"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_rollout_that_the_script_recorded_becomes_a_run() {
    let up = Up::start("manifests/demo/graceful.yaml").await;
    let capture = up.kubectl.home.path().join("capture");
    let script = fs::canonicalize("scripts/capture").unwrap();
    let options = "--before 1 --after 1 --limit 50 --manifest demo.yaml --out capture";
    let line = format!("{options} -- kubectl rollout restart deployment/demo");
    let (success, said) = up.kubectl.try_script(&script, &line).await;
    assert!(success, "{said}");

    let old = pods(&capture, "DELETED");
    assert_eq!(old.len(), 3, "{said}\n{old:?}");
    let all = pods(&capture, "ADDED");
    assert_eq!(all.len(), 6, "{all:?}");
    for pod in &all {
        let log = lines(&capture.join("logs").join(pod).join("app.log"));
        let stamps: BTreeSet<&str> = log
            .iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(
            stamps.len(),
            log.len(),
            "a line of {pod} came twice: {log:#?}"
        );
        let ends = log
            .iter()
            .filter(|line| line.contains("shutdown complete"))
            .count();
        assert_eq!(ends, usize::from(old.contains(pod)), "{pod}: {log:#?}");
    }

    let run = up.kubectl.home.path().join("run");
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_lastwatch"))
        .arg("import")
        .args([&capture, Path::new("--out"), &run])
        .output()
        .await
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(!told.contains("line "), "every line could be read: {told}");
    let info: Value =
        serde_json::from_str(&fs::read_to_string(run.join("run.json")).unwrap()).unwrap();
    assert_eq!(info["workload"], "deployment/demo", "{info}");
    assert_eq!(info["service"], "demo", "{info}");
    up.stop().await;
}
