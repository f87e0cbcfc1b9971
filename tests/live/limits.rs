//! What if this machine has no file handle or no port left for the next connection?

use crate::namespaces::permitted;
use crate::practice::{NAMESPACE, Practice};
use crate::shown::shown;
use crate::{NO_EXPOSURE, QUIET, begin_with, ended, left_nothing, phase, phases};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A hundred new connections a second, each of which may be open for long.
fn scenario(practice: &Practice) -> PathBuf {
    let path = practice.scenario("[{wait: 12s}]", NO_EXPOSURE);
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text
        .replace("rate: 50/s", "rate: 100/s\n    connections: {new: 100%}")
        .replace("timeout: 1s", "timeout: 30s");
    std::fs::write(&path, text).unwrap();
    path
}

fn of_a_local_limit(event: &Value) -> bool {
    event["kind"]["request-failed"]["outcome"]["class"] == "local-limit"
}

/// Lets a run meet a server that stops to answer until the program has reached a limit of its own.
/// `around` is a command that starts the one after it.
fn exhausted(practice: &Practice, around: &[&str], errno: i64) {
    let scenario = scenario(practice);
    let run = begin_with(practice, &scenario, around);
    practice.wait_for_event("disruption", phase("disruption"));
    practice.hang(true);
    practice.wait_for_event("a failure of a local limit", of_a_local_limit);
    practice.hang(false);
    let text = ended(&run.wait_with_output().unwrap(), 2);
    assert_eq!(phases(practice).last().unwrap(), "finished", "{text}");
    let events = practice.events();
    let limited: Vec<&Value> = events
        .iter()
        .filter(|event| of_a_local_limit(event))
        .collect();
    for event in &limited {
        let outcome = &event["kind"]["request-failed"]["outcome"];
        assert_eq!(outcome["errno"], errno, "{outcome}");
    }
    let report = practice.report();
    for failure in report["failures"].as_array().unwrap() {
        assert_eq!(failure["cause"], "harness", "{failure:#} {text}");
    }
    let reasons = report["reasons"].to_string();
    let told = format!(
        "{} requests failed at this machine",
        report["failures"].as_array().unwrap().len()
    );
    assert!(reasons.contains(&told), "{told}: {reasons}");
    left_nothing(practice);
}

#[test]
fn too_few_file_handles_make_the_run_inconclusive() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let around = ["sh", "-c", "ulimit -n 60 && exec \"$@\"", "sh"];
    let run = begin_with(&practice, &scenario, &around);
    let text = ended(&run.wait_with_output().unwrap(), 2);
    assert!(text.contains("file handles are left"), "{text}");
    left_nothing(&practice);
}

/// Gives each pod this many containers.
fn crowd(practice: &Practice, count: usize) {
    for pod in ["demo-1-a", "demo-1-b"] {
        let set = |pod: &mut Value| {
            let names = (0..count).map(|index| format!("app-{index}"));
            let (mut specs, mut statuses) = (Vec::new(), Vec::new());
            for name in names {
                let running = pod["status"]["containerStatuses"][0]["state"].clone();
                specs.push(json!({"name": name, "image": "app"}));
                statuses.push(json!({
                    "name": name, "ready": true, "restartCount": 0, "state": running,
                }));
            }
            pod["spec"]["containers"] = json!(specs);
            pod["status"]["containerStatuses"] = json!(statuses);
            Ok(())
        };
        let pods = &practice.store;
        pods.update("pods", Some(NAMESPACE), pod, set).unwrap();
    }
}

#[test]
fn a_soft_limit_of_file_handles_is_raised_before_the_logs_of_many_pods_are_opened() {
    let practice = Practice::start();
    crowd(&practice, 40);
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let around = ["sh", "-c", "ulimit -Sn 60 && exec \"$@\"", "sh"];
    let run = begin_with(&practice, &scenario, &around);
    let text = shown(&run.wait_with_output().unwrap());
    assert_eq!(phases(&practice).last().unwrap(), "finished", "{text}");
    let of = |state: &str| {
        let events = practice.events();
        let told = events
            .iter()
            .filter(|event| event["kind"]["log"]["state"] == state);
        told.count()
    };
    assert_eq!(of("broken"), 0, "{text}");
    assert!(
        of("opened") >= 80,
        "two pods with 40 containers each: {text}"
    );
}

#[test]
fn a_run_that_runs_out_of_file_handles_blames_itself() {
    let practice = Practice::start();
    // EMFILE
    exhausted(
        &practice,
        &["sh", "-c", "ulimit -n 300 && exec \"$@\"", "sh"],
        24,
    );
}

/// Set in the network of its own in which the test below goes on.
const INSIDE: &str = "LASTWATCH_FEW_PORTS";

#[test]
fn a_run_that_runs_out_of_ports_blames_itself() {
    if !permitted(&["--net"]) {
        eprintln!("not tried: no network of its own can be had here");
        return;
    }
    let script = "ip link set lo up && echo 40000 40399 > /proc/sys/net/ipv4/ip_local_port_range \
                  && exec \"$@\"";
    let output = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "limits::with_few_ports",
            "--ignored",
            "--nocapture",
        ])
        .env(INSIDE, "yes")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = shown(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "it ran at all: {text}");
}

#[test]
#[ignore = "started by the test above, in a network of 400 ports"]
fn with_few_ports() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let practice = Practice::start();
    // EADDRNOTAVAIL
    exhausted(&practice, &[], 99);
}
