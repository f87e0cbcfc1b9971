//! A harness behind a sidecar of its own: what that sidecar logged of a failed request is joined to
//! it, in a live run as in an imported one.
//!
//! The test needs an Envoy (`scripts/get-envoy`). Where namespaces are not permitted there is no
//! mesh, and the test says so.

#![cfg(target_os = "linux")]

#[path = "lab/meshed.rs"]
mod meshed;
#[path = "lab/record.rs"]
mod record;
#[path = "lab/shown.rs"]
mod shown;

use serde_json::Value;
use shown::shown;
use std::path::Path;
use std::process::Command;

/// The lab's pod that a harness runs in.
const CLIENT: &str = "lastwatch-client";

/// One that ships, whose harness is behind a sidecar.
const SCENARIO: &str = "scenarios/mesh-retries-exhausted.yaml";

/// Runs a scenario with the harness behind a sidecar; gives what was said.
fn run(scenario: &Path, run: &Path, envoy: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastwatch"));
    command.arg("run").arg(scenario).args(["--lab", "--envoy"]);
    let output = command.arg(envoy).arg("--out").arg(run).output();
    shown(&output.expect("the program runs"))
}

#[test]
fn failures_of_a_live_run_quote_the_line_of_the_clients_own_sidecar() {
    let Some(envoy) = meshed::envoy() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("run");
    let text = run(Path::new(SCENARIO), &directory, &envoy);
    let log = directory.join("logs").join(CLIENT).join("istio-proxy.log");
    let lines = std::fs::read_to_string(log).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(lines.contains("outbound|80||demo."), "{lines}");
    let report = record::report(&directory);
    let failures = report["failures"].as_array().expect("a list");
    let quoted = |failure: &&Value| {
        let evidence = failure["evidence"].as_array().into_iter().flatten();
        let mut lines = evidence.filter_map(|one| one["line"].as_str());
        lines.any(|line| line.starts_with(&format!("{CLIENT}/istio-proxy: ")))
    };
    let joined = failures.iter().filter(quoted).count();
    assert!(
        joined > 0,
        "of {} failures none quotes the client's line: {text}",
        failures.len()
    );
    let recorded = |event: &Value| event["kind"]["object"]["object"]["metadata"]["name"] == CLIENT;
    let events = record::events(&directory);
    assert!(events.iter().any(recorded), "its node places its clock");
    let pods = report["pods"].as_array().expect("a list");
    assert!(pods.iter().all(|pod| pod["pod"] != CLIENT), "{text}");
}

#[test]
fn an_app_that_echoes_attempts_measures_what_the_clients_sidecar_saved() {
    let Some(envoy) = meshed::envoy() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = "manifests/demo/mesh-retries-exhausted.yaml";
    let text = std::fs::read_to_string(manifest).expect("it ships");
    let echoing = text.replace(
        "env:\n",
        "env:\n            - {name: ECHO_ATTEMPTS, value: \"true\"}\n",
    );
    assert_ne!(text, echoing);
    std::fs::write(folder.path().join("echoing.yaml"), echoing).expect("a file");
    let scenario = std::fs::read_to_string(SCENARIO);
    let scenario = scenario.expect("it ships");
    let path = folder.path().join("scenario.yaml");
    let scenario = scenario.replace(&format!("../{manifest}"), "echoing.yaml");
    std::fs::write(&path, scenario).expect("a file");
    let directory = folder.path().join("run");
    let text = run(&path, &directory, &envoy);
    let report = record::report(&directory);
    let saved = report["masked"].as_u64();
    assert!(saved.is_some_and(|saved| saved > 0), "{saved:?}: {text}");
    assert!(!text.contains("not measured"), "{text}");
}
