//! What does the load generator cost, and how well does it keep its schedule?
//!
//! `scripts/bench` runs it. Each measured program is a process of its own, so that its CPU time is
//! what the kernel counted for it; the server is in this one. Without arguments it does a short
//! round of everything that needs no other program.

use lastwatch::evidence::{EventSink, RunClock};
use lastwatch::load::{Generator, LoadConfig, LoadTarget, raise_file_limit};
use lastwatch::scenario::{Arrival, Connections, LoadFrom, LoadPlan, RequestClass, Stage};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[path = "measure/memory.rs"]
mod memory;
#[path = "load/server.rs"]
mod server;

/// Kept connections in every comparison.
const CONNECTIONS: usize = 64;

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {
            schedule(5_000.0, 3, 1);
            compare(None, 50_000, 5_000.0);
        }
        ["child-load", address, rate, requests] => child_load(
            address.parse().expect("an address"),
            number(rate),
            number(requests) as u64,
        ),
        ["child-timer", rate, seconds] => child_timer(number(rate), number(seconds)),
        ["compare", oha, requests, rate] => {
            compare(Some(oha), number(requests) as u64, number(rate));
        }
        ["schedule", rate, seconds, runs] => {
            schedule(number(rate), number(seconds) as u64, number(runs) as u32);
        }
        other => say(&format!("unknown arguments {other:?}")),
    }
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("stdout is open");
}

/// What a measured process says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    ok: u64,
    failed: u64,
    dropped: u64,
    slip_p99_us: f64,
    peak_kib: u64,
}

/// Open-loop load over kept connections, without a recorder's cost.
fn child_load(address: SocketAddr, rate: f64, requests: u64) {
    let duration = Duration::from_secs_f64(requests as f64 / rate);
    let silence = Stage {
        rate: 0.0,
        duration: None,
    };
    let plan = LoadPlan {
        from: LoadFrom::Local,
        stages: vec![
            Stage {
                rate,
                duration: Some(duration),
            },
            silence,
        ],
        arrival: Arrival::Constant,
        connections: Connections {
            new: 0.0,
            pool: CONNECTIONS,
            max_requests: None,
            max_idle: None,
        },
        requests: vec![class()],
        baseline: Duration::ZERO,
        settle: Duration::ZERO,
    };
    let target = LoadTarget::plain(
        address.ip().to_string(),
        address.port(),
        address.to_string(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let summary = runtime.block_on(async {
        let (sink, mut fact_rx) = EventSink::new(RunClock::start());
        let config = LoadConfig::new("local", target, plan);
        raise_file_limit();
        let generator = Generator::start(config, sink).expect("it starts");
        let until = tokio::time::sleep(duration + Duration::from_millis(100));
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => break,
                _ = fact_rx.recv() => {}
            }
        }
        generator.stop().await.expect("it ends well")
    });
    tell(&Told {
        ok: summary.ok,
        failed: summary.failed,
        dropped: summary.dropped,
        slip_p99_us: summary.harness.slip_p99.unwrap_or_default() as f64 / 1e3,
        peak_kib: memory::peak_kib("self").expect("it is this process"),
    });
}

fn class() -> RequestClass {
    RequestClass {
        name: "main".to_owned(),
        weight: 1.0,
        method: "GET".to_owned(),
        path: "/".to_owned(),
        headers: std::collections::BTreeMap::new(),
        body: None,
        timeout: Duration::from_secs(10),
        id_in_query: false,
        expect_status: Vec::new(),
        expect_body: None,
        secret_headers: std::collections::BTreeSet::new(),
        secret_body: false,
    }
}

/// A bare loop of sleeps on the same schedule that does nothing when it wakes.
fn child_timer(rate: f64, seconds: f64) {
    let begin = Instant::now();
    let arrivals = (rate * seconds) as u64;
    let mut slips: Vec<Duration> = Vec::with_capacity(arrivals as usize);
    for arrival in 0..arrivals {
        let due = begin + Duration::from_secs_f64(arrival as f64 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        slips.push(due.elapsed());
    }
    slips.sort_unstable();
    let p99 = slips[slips.len() * 99 / 100];
    tell(&Told {
        ok: arrivals,
        failed: 0,
        dropped: 0,
        slip_p99_us: p99.as_secs_f64() * 1e6,
        peak_kib: memory::peak_kib("self").expect("it is this process"),
    });
}

fn tell(told: &Told) {
    say(&serde_json::to_string(told).expect("plain numbers"));
}

/// A finished process: what it printed and the CPU time that the kernel counted for it.
struct Measured {
    stdout: String,
    cpu: Duration,
}

fn measure(command: &mut Command) -> Measured {
    let before = children_cpu();
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        output.status
    );
    Measured {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        cpu: children_cpu() - before,
    }
}

fn children_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("it is counted");
    let used = usage.user_time() + usage.system_time();
    Duration::from_micros(used.num_microseconds().unsigned_abs())
}

/// This program with other arguments.
fn own(args: &[String]) -> (Told, Duration) {
    let program = std::env::current_exe().expect("it has a path");
    let measured = measure(Command::new(program).args(args));
    let told = serde_json::from_str(measured.stdout.trim()).expect("a child tells its numbers");
    (told, measured.cpu)
}

fn load(address: SocketAddr, rate: f64, requests: u64) -> (Told, Duration) {
    own(&[
        "child-load".to_owned(),
        address.to_string(),
        rate.to_string(),
        requests.to_string(),
    ])
}

/// CPU time per request beside that of `oha`, over the same connections to the same server.
fn compare(oha: Option<&str>, requests: u64, rate: f64) {
    let address = server::start();
    say(&format!(
        "load: {requests} requests over {CONNECTIONS} kept connections to one local server"
    ));
    let (told, cpu) = load(address, rate, requests);
    let per_request = cpu.as_secs_f64() * 1e6 / told.ok.max(1) as f64;
    say(&format!(
        "  lastwatch open loop {rate}/s: {per_request:.1} us CPU a request, peak {:.1} MiB, \
         {} ok, {} failed, {} dropped, slip p99 {:.0} us",
        told.peak_kib as f64 / 1024.0,
        told.ok,
        told.failed,
        told.dropped,
        told.slip_p99_us
    ));
    let Some(oha) = oha else { return };
    let total = requests.to_string();
    let connections = CONNECTIONS.to_string();
    let url = format!("http://{address}/");
    for (name, limit) in [
        (format!("open loop {rate}/s"), Some(rate.to_string())),
        ("closed loop".to_owned(), None),
    ] {
        let mut command = Command::new(oha);
        command.args(["--no-tui", "-n", &total, "-c", &connections]);
        if let Some(limit) = &limit {
            command.args(["-q", limit]);
        }
        let measured = measure(command.arg(&url));
        let theirs = measured.cpu.as_secs_f64() * 1e6 / requests as f64;
        say(&format!(
            "  oha {name}: {theirs:.1} us CPU a request; lastwatch / oha = {:.2}",
            per_request / theirs
        ));
    }
}

/// The schedule's slip beside that of a bare loop of sleeps, run by run.
fn schedule(rate: f64, seconds: u64, runs: u32) {
    let address = server::start();
    say(&format!(
        "schedule: {rate}/s for {seconds} s over {CONNECTIONS} kept connections, {runs} runs"
    ));
    let mut best: Option<f64> = None;
    for run in 1..=runs {
        let (told, cpu) = load(address, rate, (rate * seconds as f64) as u64);
        let bare = [
            "child-timer".to_owned(),
            rate.to_string(),
            seconds.min(10).to_string(),
        ];
        let (timer, _) = own(&bare);
        say(&format!(
            "  run {run}: slip p99 {:.0} us, bare timer loop {:.0} us ({} ok, {} dropped, {:.2} cores)",
            told.slip_p99_us,
            timer.slip_p99_us,
            told.ok,
            told.dropped,
            cpu.as_secs_f64() / seconds as f64
        ));
        best = Some(best.map_or(told.slip_p99_us, |best| best.min(told.slip_p99_us)));
    }
    if let Some(best) = best {
        say(&format!(
            "  best of {runs}: slip p99 {best:.0} us (wanted: under 2000)"
        ));
    }
}
