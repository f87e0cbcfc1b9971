//! Does the demo show its FAIL and its PASS where namespaces are not permitted, as in a plain
//! container?
//!
//! The restrictions of one are imitated: no capability can be had, not even by root, and no user
//! namespace may be made. Where namespaces are not permitted anyway, nothing has to be imitated.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a panic is the failure report")]

#[path = "lab/namespaces.rs"]
mod namespaces;
#[path = "lab/shown.rs"]
mod shown;

use namespaces::permitted;
use serde_json::Value;
use shown::shown;
use std::path::Path;
use std::process::Command;

/// In a user namespace of its own, in which none may be made, without any capability.
const CONTAINER: &str = "echo 0 > /proc/sys/user/max_user_namespaces && \
    exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all -- \"$@\"";

/// A command as it would run in a plain container.
fn contained(words: &[&str]) -> Command {
    if !permitted(&[]) {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        return command;
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", CONTAINER, "sh"]);
    command.args(words);
    command
}

/// Nothing but this machine's slowness speaks against the run.
fn is_slow(report: &Value) -> bool {
    let mut reasons = report["reasons"].as_array().unwrap().iter();
    reasons.all(|why| why.to_string().contains("the harness sent too late"))
}

/// Runs a shipped scenario; gives its exit code, what was said and the report. A run whose only
/// fault is that this machine had other things to do is run again.
fn run(scenario: &str) -> (i32, String, Value) {
    let mut attempt = 1;
    loop {
        let (code, text, report) = run_once(scenario);
        if attempt == 3 || code != 2 || !is_slow(&report) {
            return (code, text, report);
        }
        attempt += 1;
    }
}

fn run_once(scenario: &str) -> (i32, String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let program = env!("CARGO_BIN_EXE_lastwatch");
    let words = [
        program,
        "run",
        scenario,
        "--lab",
        "--out",
        out.to_str().unwrap(),
    ];
    let output = contained(&words).output().unwrap();
    let text = shown(&output);
    let report = std::fs::read_to_string(out.join("report.json")).expect(&text);
    let report = serde_json::from_str(&report).unwrap();
    (output.status.code().unwrap(), text, report)
}

#[test]
fn a_plain_container_refuses_namespaces() {
    for words in [["unshare", "--user", "true"], ["unshare", "--net", "true"]] {
        let output = contained(&words).output().unwrap();
        assert!(!output.status.success(), "{words:?}: {}", shown(&output));
    }
}

#[test]
fn the_demo_fails_and_passes_in_a_plain_container_and_says_what_it_cannot_show() {
    assert!(
        Path::new("scenarios").is_dir(),
        "tests run in the package's folder"
    );
    let (code, text, report) = run("scenarios/rolling-restart-no-prestop.yaml");
    assert_eq!(code, 1, "{text}");
    // Which cause comes first is one of the things that this mode cannot show.
    let gates = report["gates"].as_array().unwrap();
    let failed = gates
        .iter()
        .find(|gate| gate["name"] == "maxFailed")
        .unwrap();
    assert_eq!(failed["status"], "broken", "{text}");
    for words in [
        "the lab runs in loopback mode: failed to unshare namespaces",
        "what this mode cannot show: a connection that a pod refuses arrives as a reset",
        "(so `endpoint-propagation` is consistent at most, never proved)",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (code, text, report) = run("scenarios/rolling-restart-graceful.yaml");
    assert_eq!(report["failures"], serde_json::json!([]), "{text}");
    let gates = report["gates"].as_array().unwrap();
    assert!(gates.iter().all(|gate| gate["status"] == "held"), "{text}");
    assert!(text.contains("what this mode cannot show"), "{text}");
    if code == 2 && is_slow(&report) {
        eprintln!("every gate held, and this machine was too busy for a verdict, three times");
        return;
    }
    assert_eq!(code, 0, "{text}");
}
