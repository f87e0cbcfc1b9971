//! What a user types, and what comes back: exit codes, streams, hints.

#[path = "lab/archive.rs"]
mod archive;

use assert_cmd::Command;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const SCENARIO: &str = "scenarios/rolling-restart-graceful.yaml";

fn lastwatch() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lastwatch"))
}

/// Runs it; gives the exit code, stdout and stderr.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = lastwatch().args(args).output().expect("the program starts");
    (
        output.status.code().expect("it ends by itself"),
        String::from_utf8(output.stdout).expect("text"),
        String::from_utf8(output.stderr).expect("text"),
    )
}

/// The smallest capture in which something can be said: one client, 100 requests, one of them
/// refused.
fn capture(folder: &Path) {
    let client = folder.join("client/node");
    fs::create_dir_all(&client).expect("a folder");
    let start = 1_767_225_600_000_000_i64;
    let lines: String = (0..100)
        .map(|n| {
            let at = start + n * 10_000;
            let outcome = if n == 50 { "connect/refused" } else { "200" };
            format!("{at}\t{}\t{}\tnew\t{outcome}\t-\n", at + 10, at + 900)
        })
        .collect();
    fs::write(client.join("requests.tsv"), lines).expect("a file");
    let at = start + 500_000;
    let failure = serde_json::json!({
        "request_id": "0b0b0b0b-1111-4222-8333-444444444444", "path": "/", "scheduled": at,
        "sent": at + 10, "end": at + 900, "connection": "new", "connection_id": 0,
        "connection_age_us": 0, "requests_before": 0, "idle_us": 0, "local": ":4000",
        "remote": "10.96.0.1:80", "phase": "connect", "error": "refused",
        "error_text": "connect: connection refused",
    });
    fs::write(client.join("failures.jsonl"), format!("{failure}\n")).expect("a file");
}

fn imported() -> (TempDir, String) {
    let temp = TempDir::new().expect("a folder");
    capture(&temp.path().join("capture"));
    let run_dir = temp.path().join("run").to_string_lossy().into_owned();
    let capture = temp.path().join("capture").to_string_lossy().into_owned();
    let (code, out, err) = run(&["import", &capture, "--out", &run_dir]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    (temp, run_dir)
}

#[test]
fn usage_faults_end_with_64_and_say_what_would_be_right() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["replai"], "replay"),
        (
            &["replay", "/nowhere"],
            "hint: `/nowhere` should be the directory of a run",
        ),
        (
            &["replay", "/nowhere", "--report", "html5=x"],
            "one of terminal, json, junit, markdown",
        ),
        (&["replay", "/nowhere", "--report", "json"], "FORMAT=FILE"),
        (
            &["import", "/nowhere", "--out", "/nowhere/too"],
            "caused by: No such file or directory (os error 2)\nhint: name the folder",
        ),
        (
            &["replay", "/nowhere", "--report", "json=/nowhere/x"],
            "the report `/nowhere/x` has no folder",
        ),
        (
            &["replay", "/nowhere", "--report", "json=/tmp"],
            "is a folder",
        ),
        (
            &["explain", "/nowhere", "x", "--svg", "/nowhere/x.svg"],
            "the picture `/nowhere/x.svg` has no folder",
        ),
        (
            &["run", SCENARIO, "--report", "json=/nowhere/x", "--lab"],
            "the report `/nowhere/x` has no folder",
        ),
        (
            &["run", "/nowhere.yaml"],
            "error: 1 fault in `/nowhere.yaml`",
        ),
        (&["lab", "score", "/nowhere"], "hint: `/nowhere` should be"),
        (&["restore", "/nowhere"], "hint: `/nowhere` should be"),
    ];
    for (args, hint) in cases {
        let (code, out, err) = run(args);
        assert_eq!(code, 64, "{args:?}: {err}");
        assert_eq!(out, "", "{args:?}: stdout carries data only");
        assert!(err.contains(hint), "{args:?} says: {err}");
    }
}

#[test]
fn an_import_can_be_told_its_target_and_the_gates_that_judge_it() {
    let temp = TempDir::new().expect("a folder");
    capture(&temp.path().join("capture"));
    let path = |name: &str| temp.path().join(name).to_string_lossy().into_owned();
    let (capture, out, scenario) = (path("capture"), path("run"), path("scenario.yaml"));
    let text = fs::read_to_string("scenarios/app-fails-by-itself.yaml").expect("it ships");
    let (spec, _) = text.split_once("  lab:").expect("its last part");
    let text = format!("{spec}  gates: {{maxFailed: 1}}\n");
    fs::write(&scenario, text).expect("a file");
    let words = ["import", &capture, "--out", &out, "--workload"];

    let (code, _, err) = run(&[&words[..], &["demo"]].concat());
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("hint: write it as `deployment/demo`"), "{err}");

    let told = [
        "deployment/cart",
        "--service",
        "web",
        "--scenario",
        &scenario,
    ];
    let (code, _, err) = run(&[&words[..], &told].concat());
    assert_eq!(code, 0, "{err}");
    let info = fs::read_to_string(Path::new(&out).join("run.json")).expect("written");
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!(info["workload"], "deployment/cart");
    assert_eq!(info["service"], "web");
    let (_, report, _) = run(&["replay", &out, "--report", "json=-"]);
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let gates = report["gates"].as_array().expect("gates");
    let gate = gates.iter().find(|gate| gate["name"] == "maxFailed");
    assert_eq!(gate.expect("it is there")["limit"], 1.0, "{gates:?}");
}

#[test]
fn an_import_refuses_a_target_that_the_capture_lacks_and_names_those_it_has() {
    let temp = archive::unpack(Path::new("tests/testdata/recordings/nopre.tar.gz"));
    let path = |name: &str| temp.path().join(name).to_string_lossy().into_owned();
    let (capture, out) = (path("nopre"), path("run"));
    let cases: &[(&[&str], &str)] = &[
        (
            &["--workload", "nonsense/demo"],
            "hint: it has `deployment/demo`, `deployment/peer`",
        ),
        (
            &["--workload", "deployment/"],
            "has no name of an object after the `/`",
        ),
        (
            &["--workload", "deployment/Demo"],
            "in lower case, for instance `demo`",
        ),
        (
            &["--workload", "deployment/nope"],
            "hint: it has `deployment/demo`, `deployment/peer`",
        ),
        (
            &["--service", "nope"],
            "hint: it has `demo`, `kubernetes`, `peer`",
        ),
    ];
    for (target, hint) in cases {
        let (code, _, err) = run(&[&["import", &capture, "--out", &out], *target].concat());
        assert_eq!(code, 64, "{target:?}: {err}");
        assert!(err.contains(hint), "{target:?} says: {err}");
        assert!(!Path::new(&out).exists(), "{target:?}");
    }
    let told = [
        "import",
        &capture,
        "--out",
        &out,
        "--workload",
        "deploy/demo",
    ];
    let (code, _, err) = run(&told);
    assert_eq!(code, 0, "{err}");
    assert!(
        err.contains("(workload deployment/demo, service demo)"),
        "{err}"
    );
}

#[test]
fn a_log_filter_that_cannot_be_read_is_refused() {
    let output = lastwatch()
        .arg("schema")
        .env("LASTWATCH_LOG", "lastwatch=loud")
        .output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("`LASTWATCH_LOG=lastwatch=loud` is no filter"),
        "{told}"
    );
    let output = lastwatch()
        .arg("schema")
        .env("LASTWATCH_LOG", "lastwatch=debug")
        .output();
    assert_eq!(output.expect("it starts").status.code(), Some(0));
}

#[test]
fn an_access_log_format_that_reads_no_line_is_refused_with_its_place() {
    let temp = TempDir::new().expect("a folder");
    let path = temp
        .path()
        .join("scenario.yaml")
        .to_string_lossy()
        .into_owned();
    let text = fs::read_to_string(SCENARIO).expect("it ships");
    let (spec, _) = text.split_once("  lab:").expect("its last part");
    for (format, told) in [
        ("%START", "`%START` has an operator that no `%` closes"),
        ("hello", "`hello` names nothing of a request"),
    ] {
        fs::write(
            &path,
            format!("{spec}  observe: {{accessLogFormat: '{format}'}}\n"),
        )
        .expect("a file");
        let (code, _, err) = run(&["run", &path, "--dry-run"]);
        assert_eq!(code, 64, "{err}");
        assert!(
            err.contains(&format!("spec.observe.accessLogFormat: {told}")),
            "{err}"
        );
        assert!(
            err.contains("hint: copy `meshConfig.accessLogFormat`"),
            "{err}"
        );
    }
}

#[test]
fn an_imported_run_is_not_restored_and_a_newer_or_damaged_one_is_told_apart() {
    let (_temp, run_dir) = imported();
    let (code, _, err) = run(&["restore", &run_dir]);
    assert_eq!(code, 64, "no cluster is asked: {err}");
    assert!(err.contains("was imported"), "{err}");
    let place = Path::new(&run_dir);
    let events = fs::read_to_string(place.join("events.jsonl")).expect("a record");
    fs::write(place.join("events.jsonl"), format!("{{x\n{events}")).expect("damaged");
    let (code, _, err) = run(&["replay", &run_dir]);
    assert_eq!(code, 64, "{err}");
    assert!(
        err.ends_with("hint: this line is damaged; take the directory from a backup\n"),
        "without the line the run could pass: {err}"
    );
    let info = fs::read_to_string(place.join("run.json")).expect("a record");
    let mut info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    info["schemaVersion"] = 99.into();
    fs::write(place.join("run.json"), info.to_string()).expect("newer");
    let (code, _, err) = run(&["replay", &run_dir]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("hint: use a newer lastwatch"), "{err}");
}

#[test]
fn a_lab_that_is_not_up_is_named() {
    let (code, _, err) = run(&["lab", "exec", "--lab", "/nowhere", "--", "true"]);
    assert_eq!(code, 69, "{err}");
    assert!(err.contains("no lab runs in `/nowhere`"), "{err}");
}

#[test]
fn help_and_version_are_data() {
    for args in [["--help"], ["--version"]] {
        let (code, out, err) = run(&args);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("lastwatch"));
    }
}

#[test]
fn a_replay_is_byte_identical_and_exits_by_its_verdict() {
    let (temp, run_dir) = imported();
    let (code, first, _) = run(&["replay", &run_dir, "--report", "json=-"]);
    assert_eq!(code, 1, "one request was dropped: {first}");
    let stored = fs::read_to_string(Path::new(&run_dir).join("report.json")).expect("stored");
    let (_, again, _) = run(&["replay", &run_dir, "--report", "json=-"]);
    assert_eq!(first, stored);
    assert_eq!(first, again);
    let file = temp.path().join("report.md").to_string_lossy().into_owned();
    let (code, out, _) = run(&["replay", &run_dir, "--report", &format!("markdown={file}")]);
    assert_eq!(code, 1);
    assert!(out.starts_with("FAIL"), "the verdict comes first: {out}");
    let markdown = fs::read_to_string(file).expect("written");
    assert!(markdown.contains("FAIL"));
}

#[test]
fn a_record_of_the_first_version_is_still_read_and_judged_alike() {
    let (_temp, run_dir) = imported();
    let (_, now, _) = run(&["replay", &run_dir, "--report", "json=-"]);
    let path = Path::new(&run_dir).join("run.json");
    let info = fs::read_to_string(&path).expect("a record");
    let mut info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    info["schemaVersion"] = 1.into();
    fs::write(path, info.to_string()).expect("as an older one wrote it");
    let (code, then, err) = run(&["replay", &run_dir, "--report", "json=-"]);
    assert_eq!((code, then), (1, now), "{err}");
}

#[test]
fn a_request_is_explained_by_the_beginning_of_its_id() {
    let (_temp, run_dir) = imported();
    let (code, out, err) = run(&["explain", &run_dir, "0b0b"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("refused in connect on a new connection"),
        "{out}"
    );
    let (code, out, err) = run(&["explain", &run_dir, "ffff"]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("hint: for example `0b0b0b0b-"), "{err}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (_temp, run_dir) = imported();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_lastwatch"))
        .args(["replay", &run_dir, "--report", "json=-"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
