//! Does the harness keep up with a sidecar's access log at a high rate, and with how much memory?
//!
//! `scripts/bench` runs it: one pod with a sidecar in the lab, kept connections, no disruption.
//! Harness, app and Envoy share the machine; where they cannot carry the rate, lower ones are tried
//! until one is carried. Lag is that of the recorded log behind the clock, seen from outside: the age
//! of the newest line in the run directory.

use jiff::Timestamp;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "measure/memory.rs"]
mod memory;

/// A rate that the machine cannot carry is followed by this share of it.
const LESS: f64 = 0.8;
/// The sidecar writes its log once a second, so a record is that old anyhow.
const SAMPLE: Duration = Duration::from_millis(250);
/// Load that starts and ends is not measured.
const EDGE: Duration = Duration::from_secs(5);

const MANIFEST: &str = include_str!("sidecar/one-pod.yaml");

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let number = |index: usize, otherwise: f64| {
        args.get(index)
            .map_or(otherwise, |word| word.parse().expect("a number"))
    };
    let (mut rate, seconds) = (number(0, 1_000.0), number(1, 5.0) as u64);
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("pod.yaml"), MANIFEST).expect("it is writable");
    loop {
        let round = Round::measure(folder.path(), rate, seconds);
        round.tell(rate, seconds);
        if round.carried() || rate < 100.0 {
            return;
        }
        rate = (rate * LESS).round();
    }
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("stdout is open");
}

fn scenario(rate: f64, seconds: u64) -> String {
    format!(
        "apiVersion: lastwatch.dev/v1alpha1
kind: Scenario
metadata: {{name: one-sidecar}}
spec:
  target: {{workload: deployment/demo, service: demo, port: 80}}
  load:
    rate: {rate}/s
    connections: {{new: 0%, pool: 64}}
    requests: [{{name: fast, path: /, timeout: 4s}}]
    baseline: 1s
    settle: 1s
  steps: [{{wait: {seconds}s}}]
  lab: {{manifests: [pod.yaml]}}
"
    )
}

/// What one rate gave.
struct Round {
    sent: f64,
    failed: f64,
    dropped: f64,
    slip_p99_ms: f64,
    peak_kib: u64,
    worst_lag: Duration,
    logged: u64,
}

impl Round {
    fn measure(folder: &Path, rate: f64, seconds: u64) -> Self {
        let run = folder.join(format!("run-{rate}"));
        let file = folder.join("scenario.yaml");
        fs::write(&file, scenario(rate, seconds)).expect("it is writable");
        let mut child = Command::new(env!("CARGO_BIN_EXE_lastwatch"))
            .args(["run", "--lab", "--out"])
            .args([&run, &file])
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("stderr")).expect("it is writable"))
            .spawn()
            .expect("the program starts");
        let (peak_kib, worst_lag) = watch(&mut child, &run, Duration::from_secs(seconds));
        let report = fs::read(run.join("report.json")).unwrap_or_else(|error| {
            let said = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
            panic!("the run left no report: {error}\n{said}")
        });
        let report: serde_json::Value = serde_json::from_slice(&report).expect("a report");
        let number = |path: &str| {
            let found = report.pointer(path).and_then(serde_json::Value::as_f64);
            found.unwrap_or_else(|| panic!("the report has no number at {path}"))
        };
        Self {
            sent: number("/clients/0/sent"),
            failed: number("/clients/0/failed"),
            dropped: number("/harness/dropped_arrivals"),
            slip_p99_ms: number("/harness/slip_p99_ms"),
            peak_kib,
            worst_lag,
            logged: lines(&run),
        }
    }

    /// Every arrival was sent and answered.
    fn carried(&self) -> bool {
        self.failed == 0.0 && self.dropped == 0.0
    }

    fn tell(&self, rate: f64, seconds: u64) {
        say(&format!(
            "  {rate}/s for {seconds} s: {}, {} sent, {} failed, {} dropped, slip p99 {:.1} ms; \
             {} access lines recorded, lag at most {:.2} s (wanted: under 2), harness peak {:.0} MiB (wanted: under 300)",
            if self.carried() {
                "carried"
            } else {
                "not carried by this machine"
            },
            self.sent,
            self.failed,
            self.dropped,
            self.slip_p99_ms,
            self.logged,
            self.worst_lag.as_secs_f64(),
            self.peak_kib as f64 / 1024.0
        ));
    }
}

/// Samples the harness and the record until the run ends.
fn watch(child: &mut Child, run: &Path, load: Duration) -> (u64, Duration) {
    let (mut peak, mut worst, mut begun) = (0, Duration::ZERO, None);
    while child.try_wait().expect("it can be waited for").is_none() {
        std::thread::sleep(SAMPLE);
        peak = peak.max(harness(child.id()).and_then(memory::peak_kib).unwrap_or(0));
        let Some(stamp) = newest(run) else { continue };
        let begun = *begun.get_or_insert_with(Instant::now);
        if (EDGE..load).contains(&begun.elapsed()) {
            let lag = Timestamp::now().duration_since(stamp);
            worst = worst.max(lag.try_into().unwrap_or_default());
        }
    }
    (peak, worst)
}

/// The process that runs the scenario in the lab's network: the child of the one that we started
/// whose arguments name the scenario.
fn harness(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children
        .split_whitespace()
        .filter_map(|id| id.parse().ok())
        .find(|id: &u32| {
            fs::read_to_string(format!("/proc/{id}/cmdline"))
                .is_ok_and(|line| line.contains("scenario.yaml"))
        })
}

/// The recorded logs of sidecars.
fn logs(run: &Path) -> Vec<PathBuf> {
    let pods = fs::read_dir(run.join("logs")).into_iter().flatten();
    pods.flatten()
        .map(|pod| pod.path().join("istio-proxy.log"))
        .filter(|path| path.exists())
        .collect()
}

/// The stamp of the newest recorded line.
fn newest(run: &Path) -> Option<Timestamp> {
    let stamp = |path: &PathBuf| {
        let mut file = File::open(path).ok()?;
        let from = file.metadata().ok()?.len().saturating_sub(4_096);
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut tail = String::new();
        file.read_to_string(&mut tail).ok()?;
        let whole = tail.rsplit('\n').nth(1)?;
        whole.split(' ').next()?.parse().ok()
    };
    logs(run).iter().filter_map(stamp).max()
}

fn lines(run: &Path) -> u64 {
    let count = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        memchr::memchr_iter(b'\n', &bytes).count() as u64
    };
    logs(run).iter().map(count).sum()
}
