//! What does Ctrl-C leave of a run in the lab, with pods that are processes, in each of its phases?
//!
//! Where namespaces are not permitted the lab runs in loopback mode, which is no different in this.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a panic is the failure report")]

#[path = "lab/processes.rs"]
mod processes;
#[path = "lab/record.rs"]
mod record;
#[path = "lab/shown.rs"]
mod shown;
#[path = "lab/wait.rs"]
mod wait;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use processes::processes_of;
use serde_json::Value;
use shown::shown;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wait::wait_for;

const SCENARIO: &str = "
apiVersion: lastwatch.dev/v1alpha1
kind: Scenario
metadata: {name: interrupted}
spec:
  target: {workload: deployment/demo, service: demo, port: http}
  load:
    rate: 50/s
    requests: [{name: fast, path: /, timeout: 2s}]
    baseline: 3s
    settle: 60s
  steps: [{scale: {to: 1}}, {wait: WAIT}]
  lab: {manifests: [MANIFEST]}
";

const PATIENCE: Duration = Duration::from_secs(90);

/// A run in a folder of its own, in which the lab's folder is as well.
struct Run {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Run {
    fn begin(wait: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = std::env::current_dir()
            .unwrap()
            .join("manifests/demo/graceful.yaml");
        let scenario = SCENARIO.replace("WAIT", wait);
        let scenario = scenario.replace("MANIFEST", manifest.to_str().unwrap());
        std::fs::write(folder.path().join("scenario.yaml"), scenario).unwrap();
        std::fs::create_dir(folder.path().join("tmp")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_lastwatch"))
            .arg("run")
            .arg(folder.path().join("scenario.yaml"))
            .args(["--lab", "--out"])
            .arg(folder.path().join("run"))
            .env("TMPDIR", folder.path().join("tmp"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let child = Some(child);
        Self { folder, child }
    }

    fn events(&self) -> Vec<Value> {
        record::events(&self.directory())
    }

    /// Where it is recorded.
    fn directory(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn wait_for_event(&self, what: &str, fits: impl Fn(&Value) -> bool) {
        wait_for(what, PATIENCE, || {
            let events = self.events();
            let there = events.iter().any(&fits);
            there
                .then_some(())
                .ok_or_else(|| format!("{:?}", events.last()))
        });
    }

    fn tell(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    }

    /// Nothing of its lab outlives it for long.
    fn leaves_no_process(&self) {
        wait_for("end of the lab", PATIENCE, || {
            let left = processes_of(self.folder.path());
            left.is_empty().then_some(()).ok_or_else(|| left.join("\n"))
        });
    }

    fn end(&mut self) -> (Option<i32>, String) {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        (output.status.code(), shown(&output))
    }
}

/// Tells a run to stop as soon as it has recorded an event that fits.
#[track_caller]
fn interrupted(wait: &str, signal: Signal, changed: bool, fits: impl Fn(&Value) -> bool) {
    let mut run = Run::begin(wait);
    run.wait_for_event("the phase", fits);
    run.tell(signal);
    let (code, text) = run.end();
    assert_eq!(code, Some(130), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(
        text.contains("restored: deployment/demo spec.replicas: `1` -> `3`"),
        changed,
        "{text}"
    );
    let last = run
        .events()
        .into_iter()
        .rev()
        .find_map(|event| event["kind"]["phase"].as_str().map(str::to_owned));
    assert_eq!(last.as_deref(), Some("interrupted"), "{text}");
    let report = record::report(&run.directory());
    assert_ne!(report["verdict"], "PASS", "{text}");
    run.leaves_no_process();
    let labs = std::fs::read_dir(run.folder.path().join("tmp")).unwrap();
    assert_eq!(labs.count(), 0, "the lab's folder is gone: {text}");
}

/// The step that changes something has done so.
fn is_scaled(event: &Value) -> bool {
    event["kind"]["step"]["step"] == "scale" && event["kind"]["step"]["state"] == "ended"
}

#[test]
fn the_baseline_is_left_at_once() {
    interrupted("1s", Signal::SIGTERM, false, |event| {
        event["kind"]["phase"] == "baseline"
    });
}

#[test]
fn a_disruption_that_has_changed_something_is_undone() {
    interrupted("60s", Signal::SIGINT, true, is_scaled);
}

#[test]
fn a_run_that_settles_is_undone() {
    interrupted("1s", Signal::SIGHUP, true, |event| {
        event["kind"]["phase"] == "settle"
    });
}

#[test]
fn a_second_signal_ends_run_and_lab_at_once() {
    let mut run = Run::begin("60s");
    run.wait_for_event("the change", is_scaled);
    run.tell(Signal::SIGINT);
    run.wait_for_event("the first signal's effect", |event| {
        event["kind"]["phase"] == "interrupted"
    });
    run.tell(Signal::SIGINT);
    let told = Instant::now();
    let (code, text) = run.end();
    assert_eq!(code, Some(130), "{text}");
    assert!(
        told.elapsed() < Duration::from_secs(12),
        "{:?}: {text}",
        told.elapsed()
    );
    assert!(text.contains("left at once"), "{text}");
    run.leaves_no_process();
}
