//! How fast are the parsers of access lines, against a regular expression and a JSON tree?
//!
//! `cargo bench --bench parse` prints lines per second and exits with 1 when a bound of ours is
//! not met: TEXT 5 times a regular-expression parser, JSON 2 times `serde_json::Value`.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]

use lastwatch::observe::logs::parse::{IstioLine, istio_proxy};
use regex::Regex;
use serde_json::Value;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Each contestant runs this long, in turns, so that a busy moment hits all of them.
const TURN: Duration = Duration::from_millis(250);
const TURNS: usize = 8;

fn text_lines() -> Vec<String> {
    let ends = [
        r#"200 - via_upstream - "-" 0 25 3 2 "-" "lastwatch-probe" "ID" "demo.default.svc.cluster.local" "10.244.0.63:8080" inbound|8080|| 127.0.0.6:34652 10.244.0.63:8080 10.244.0.7:39862 outbound_.80_._.demo.default.svc.cluster.local default"#,
        r#"503 URX,UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused} - "delayed_connect_error:_Connection_refused" 0 121 56 - "-" "lastwatch-probe" "ID" "demo.default.svc.cluster.local" "10.244.0.15:8080" inbound|8080|| - 10.244.0.15:8080 10.244.0.7:46996 outbound_.80_._.demo.default.svc.cluster.local default"#,
        r#"503 UC upstream_reset_before_response_started{connection_termination} - "-" 0 95 3835 - "-" "lastwatch-probe" "ID" "demo.default.svc.cluster.local" "10.244.0.5:8080" outbound|80||demo.default.svc.cluster.local 10.244.0.7:33950 10.96.225.78:80 10.244.0.7:52910 - default"#,
    ];
    (0..1_000)
        .map(|index: usize| {
            let id = format!("{index:08x}-bbfe-4da1-a00c-bcd834fcdc3c");
            let end = ends[index % ends.len()].replace("ID", &id);
            format!(
                "[2026-11-24T15:25:{:02}.{:03}Z] \"GET /items/{index}?page=2 HTTP/1.1\" {end}",
                index % 60,
                index % 1_000
            )
        })
        .collect()
}

/// The same requests as Istio's JSON encoding writes them.
fn json_lines(text: &[String]) -> Vec<String> {
    text.iter()
        .map(|line| {
            let printed = lastwatch::observe::logs::parse::to_json(0, &istio_proxy(line), line);
            let mut tree: Value = serde_json::from_str(&printed).expect("we wrote JSON");
            let map = tree.as_object_mut().expect("a map");
            map.remove("line");
            map.remove("type");
            let flags: Vec<_> = map["response_flags"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let flags = flags.join(",");
            map["response_flags"] = Value::String(flags);
            tree.to_string()
        })
        .collect()
}

/// One expression for the current format, as a parser in a script would have it.
fn expression() -> Regex {
    let pattern = r#"^\[([^\]]*)\] "(\S+) (.*) (\S+)" (\d+|-) (\S+) (\S+) (\S+) "([^"]*)" (\d+|-) (\d+|-) (\d+|-) (\S+) "([^"]*)" "([^"]*)" "([^"]*)" "([^"]*)" "([^"]*)" (\S+) (\S+) (\S+) (\S+) (\S+) (\S+)$"#;
    Regex::new(pattern).expect("the pattern is fixed")
}

fn by_expression(expression: &Regex, line: &str) -> usize {
    let fields = expression.captures(line).expect("the bench's own lines");
    let numbers: [Option<u64>; 4] = [5, 10, 11, 12].map(|index| fields[index].parse().ok());
    fields
        .iter()
        .flatten()
        .map(|field| field.len())
        .sum::<usize>()
        + usize::from(black_box(numbers)[0].is_some())
}

fn ours(line: &str) -> usize {
    match istio_proxy(line) {
        IstioLine::Access(access) => usize::from(black_box(access).response_code.is_some()),
        _ => 0,
    }
}

/// Lines per second of one turn.
fn turn(lines: &[String], mut read: impl FnMut(&str) -> usize) -> f64 {
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < TURN {
        for line in lines {
            black_box(read(black_box(line)));
        }
        count += u32::try_from(lines.len()).expect("a thousand");
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

/// The best turn of each of two, taken alternately.
fn race(
    lines: &[String],
    mut first: impl FnMut(&str) -> usize,
    mut second: impl FnMut(&str) -> usize,
) -> (f64, f64) {
    (0..TURNS).fold((0.0, 0.0), |best: (f64, f64), _| {
        let one = turn(lines, &mut first);
        let other = turn(lines, &mut second);
        (best.0.max(one), best.1.max(other))
    })
}

fn report(name: &str, rival: &str, speeds: (f64, f64), bound: f64) -> bool {
    let times = speeds.0 / speeds.1;
    let held = times >= bound;
    println!(
        "{name}: {:.0} lines/s, {rival}: {:.0} lines/s, {times:.1} times (at least {bound}: {})",
        speeds.0,
        speeds.1,
        if held { "held" } else { "not held" }
    );
    held
}

fn main() -> ExitCode {
    let text = text_lines();
    let json = json_lines(&text);
    let expression = expression();
    let by_tree = |line: &str| {
        let tree: Value = serde_json::from_str(line).expect("the bench's own lines");
        usize::from(black_box(tree)["response_code"].is_u64())
    };
    let text = race(&text, ours, |line| by_expression(&expression, line));
    let json = race(&json, ours, by_tree);
    let text = report("TEXT access lines", "regular expression", text, 5.0);
    let json = report("JSON access lines", "serde_json::Value", json, 2.0);
    if text && json {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
