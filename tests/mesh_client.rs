//! A harness behind a sidecar of its own: what that sidecar logged of a failed request is joined to
//! it, in a live run as in an imported one.
//!
//! The test needs an Envoy (`scripts/get-envoy`). Where namespaces are not permitted there is no
//! mesh, and the test says so.

#![cfg(target_os = "linux")]

#[path = "lab/namespaces.rs"]
mod namespaces;
#[path = "lab/record.rs"]
mod record;
#[path = "lab/shown.rs"]
mod shown;

use lastwatch::lab::mesh::find_envoy;
use serde_json::Value;
use shown::shown;
use std::path::Path;
use std::process::Command;

/// The lab's pod that a harness runs in.
const CLIENT: &str = "lastwatch-client";

#[test]
fn failures_of_a_live_run_quote_the_line_of_the_clients_own_sidecar() {
    if !namespaces::permitted(&["--net", "--pid", "--fork"]) {
        eprintln!("not tried: namespaces are not permitted");
        return;
    }
    let envoy = find_envoy(None).unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scenario = scenario.join("scenarios/mesh-retries-exhausted.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastwatch"));
    command.arg("run").arg(scenario).args(["--lab", "--envoy"]);
    let output = command.arg(envoy).arg("--out").arg(&run).output();
    let text = shown(&output.expect("the program runs"));
    let log = run.join("logs").join(CLIENT).join("istio-proxy.log");
    let lines = std::fs::read_to_string(log).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(lines.contains("outbound|80||demo."), "{lines}");
    let report = record::report(&run);
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
    let events = record::events(&run);
    assert!(events.iter().any(recorded), "its node places its clock");
    let pods = report["pods"].as_array().expect("a list");
    assert!(pods.iter().all(|pod| pod["pod"] != CLIENT), "{text}");
}
