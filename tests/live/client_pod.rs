//! The log of the sidecar that the harness sends through.

use crate::namespaces::permitted;
use crate::practice::{NAMESPACE, Practice, wait_for};
use crate::signals::tell;
use crate::{NO_EXPOSURE, QUIET, ended, phase, shown};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const POD: &str = "load-1";

/// A pod beside the workload, with these containers.
fn add_pod(practice: &Practice, containers: &[&str]) {
    add_pod_that(practice, "Always", containers);
}

/// The same, with its restart policy.
fn add_pod_that(practice: &Practice, restarts: &str, containers: &[&str]) {
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
        "spec": {"nodeName": "node2", "restartPolicy": restarts, "containers": named},
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
    inside(practice, more).output().unwrap()
}

fn inside(practice: &Practice, more: &str) -> Command {
    let scenario = practice.scenario(QUIET, &format!("{NO_EXPOSURE}\n{more}"));
    let text = std::fs::read_to_string(&scenario).unwrap();
    let text = text.replace("  load:\n", "  load:\n    from: meshed-pod\n");
    std::fs::write(&scenario, text).unwrap();
    let mut command: Command = practice.command(&scenario);
    command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    command.env("HOSTNAME", POD);
    command
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
    let text = ended(&output, 2);
    let told = format!("these are not followed: {POD}/istio-proxy");
    assert!(text.contains(&told), "{text}");
}

#[test]
fn a_pod_whose_api_server_comes_late_waits_for_it() {
    let practice = Practice::start();
    add_pod(&practice, &["client", "istio-proxy"]);
    practice.api.outage(Duration::from_secs(4));
    practice.wait_for_outage();
    let mut command = inside(&practice, "");
    let text = ended(&command.arg("--dry-run").output().unwrap(), 0);
    let told = "the API server cannot be reached yet; trying for up to 30s";
    assert_eq!(text.matches(told).count(), 1, "{text}");
}

/// What happens to a run, and its exit code where that is of interest here.
type Case = (&'static str, fn(&Practice, &Child), Option<i32>);

#[test]
fn a_classic_sidecar_is_asked_to_end_however_the_run_ends() {
    let listener = TcpListener::bind("127.0.0.1:15020").expect("pilot-agent's port is free");
    listener.set_nonblocking(true).unwrap();
    let interrupt = |practice: &Practice, run: &Child| {
        practice.wait_for_event("baseline", phase("baseline"));
        tell(run, Signal::SIGTERM);
    };
    let cases: [Case; 2] = [
        ("goes its way", |_, _| {}, None),
        ("is interrupted", interrupt, Some(130)),
    ];
    for (name, happens, code) in cases {
        let practice = Practice::start();
        add_pod_that(&practice, "Never", &["client", "istio-proxy"]);
        let mut command = inside(&practice, "");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = command.spawn().unwrap();
        happens(&practice, &run);
        asked_to_end(&listener);
        assert!(
            practice.run_directory().join("report.json").exists(),
            "{name}"
        );
        let output = run.wait_with_output().unwrap();
        let text = shown(&output);
        assert!(
            text.contains("the sidecar of this pod was asked to end"),
            "{text}"
        );
        assert!(
            code.is_none() || output.status.code() == code,
            "{name}: {text}"
        );
    }
    let practice = Practice::start();
    add_pod_that(&practice, "Never", &["client", "istio-proxy"]);
    let refused = inside(&practice, "  gaets: {}");
    let text = ended(&in_a_shell(&refused).output().unwrap(), 64);
    assert!(text.contains("did you mean `gates`?"), "{text}");
    let asked = listener.accept().map_err(|error| error.kind());
    assert_eq!(
        asked.err(),
        Some(ErrorKind::WouldBlock),
        "a script needs its sidecar"
    );
    if !permitted(&["--pid"]) {
        return;
    }
    let mut run = alone(&refused);
    run.stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = run.spawn().unwrap();
    asked_to_end(&listener);
    ended(&run.wait_with_output().unwrap(), 64);
}

/// The same command as the first process of its container.
fn alone(command: &Command) -> Command {
    let mut first = Command::new("unshare");
    first.args(["--user", "--map-root-user", "--pid", "--fork"]);
    like(first, command)
}

fn in_a_shell(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\"; exit $?", "sh"]);
    like(shell, command)
}

/// Runs `command` by another, with its environment.
fn like(mut by: Command, command: &Command) -> Command {
    by.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        by.env(name, value.expect("none is taken away"));
    }
    by
}

/// Plays the agent: waits for the request to end and answers it. It has no statistics.
fn asked_to_end(listener: &TcpListener) {
    loop {
        let (stream, _) = wait_for("a request to end", || {
            listener.accept().map_err(|error| error.to_string())
        });
        stream.set_nonblocking(false).unwrap();
        let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        lines.find(|line| line.is_empty());
        let ends = first == "POST /quitquitquit HTTP/1.1";
        assert!(ends || first == "GET /stats/prometheus HTTP/1.1", "{first}");
        let status = if ends { "200 OK" } else { "404 Not Found" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        // Who had no more time for an answer is gone.
        let answered = (&stream).write_all(answer.as_bytes());
        if ends {
            return answered.unwrap();
        }
    }
}
