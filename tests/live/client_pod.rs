//! The log of the sidecar that the harness sends through.

use crate::practice::{NAMESPACE, Practice};
use crate::{NO_EXPOSURE, QUIET, shown};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const POD: &str = "load-1";

/// A pod beside the workload, with these containers.
fn add_pod(practice: &Practice, containers: &[&str]) {
    let named: Vec<Value> = containers
        .iter()
        .map(|name| json!({"name": name, "image": "load"}))
        .collect();
    let running = json!({"running": {"startedAt": "2026-11-28T12:00:00Z"}});
    let started: Vec<Value> = containers
        .iter()
        .map(|name| json!({"name": name, "ready": true, "restartCount": 0, "state": running}))
        .collect();
    let pod = json!({
        "metadata": {"name": POD, "namespace": NAMESPACE},
        "spec": {"nodeName": "node2", "containers": named},
    });
    practice.store.create("pods", pod).unwrap();
    let set = |pod: &mut Value| {
        pod["status"] = json!({"phase": "Running", "containerStatuses": started});
        Ok(())
    };
    practice
        .store
        .update("pods", Some(NAMESPACE), POD, set)
        .unwrap();
}

/// A run that believes to be in that pod.
fn run_inside(practice: &Practice, more: &str) -> Output {
    let scenario = practice.scenario(QUIET, &format!("{NO_EXPOSURE}\n{more}"));
    let text = std::fs::read_to_string(&scenario).unwrap();
    let text = text.replace("  load:\n", "  load:\n    from: meshed-pod\n");
    std::fs::write(&scenario, text).unwrap();
    let mut command: Command = practice.command(&scenario);
    command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    command.env("HOSTNAME", POD).output().unwrap()
}

fn log(practice: &Practice, pod: &str, container: &str) -> PathBuf {
    let logs = practice.run_directory().join("logs");
    logs.join(Path::new(pod)).join(format!("{container}.log"))
}

#[test]
fn the_sidecar_that_requests_leave_through_is_read_and_its_pod_is_none_of_the_workloads() {
    let practice = Practice::start();
    add_pod(&practice, &["client", "istio-proxy"]);
    let text = shown(&run_inside(&practice, ""));
    let read = std::fs::read_to_string(log(&practice, POD, "istio-proxy"));
    assert!(read.expect("its log").contains("listening"), "{text}");
    assert!(!log(&practice, POD, "client").exists(), "{text}");
    assert!(log(&practice, "demo-1-a", "app").exists(), "{text}");
    let recorded = |event: &Value| event["kind"]["object"]["object"]["metadata"]["name"] == POD;
    let events = practice.events();
    assert!(events.iter().any(recorded), "its node places its clock");
    let told = practice.report()["pods"].to_string();
    assert!(!told.contains(POD), "{told}");
}

#[test]
fn a_harness_whose_pod_has_no_sidecar_is_told_and_is_at_fault_where_that_log_is_needed() {
    let practice = Practice::start();
    add_pod(&practice, &["client"]);
    let text = shown(&run_inside(&practice, ""));
    let what = format!("logs/{POD}/istio-proxy");
    assert_eq!(practice.blind(&what).len(), 1, "{text}");
    std::fs::remove_dir_all(practice.run_directory()).unwrap();
    let output = run_inside(&practice, "  observe: {logs: [istio-proxy]}");
    let text = crate::ended(&output, 2);
    let told = format!("these are not followed: {POD}/istio-proxy");
    assert!(text.contains(&told), "{text}");
}
