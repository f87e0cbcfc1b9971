//! How long does attribution of a large record take, and with how much memory?
//!
//! `scripts/bench` runs it. A rolling restart of a large Deployment is written as a run directory:
//! every old pod is refused, vanishes or resets in its turn. A process of its own then reads and
//! explains it, so that the peak of memory is that of the reading and the explaining alone.

use jiff::Timestamp;
use lastwatch::attribution::attribute;
use lastwatch::evidence::{
    Change, ClientInfo, Clock, Connection, ConnectionKind, ErrorClass, Event, EventKind,
    FailedRequest, Interval, Origin, Outcome, RequestCounts, RequestPhase, Resource, ResponseFacts,
    RunDir, RunInfo, RunOffset, RunPhase, RunWriter, SCHEMA_VERSION, Source,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

#[path = "measure/memory.rs"]
mod memory;

/// Epoch nanoseconds at offset 0.
const STARTED_AT: i64 = 1_795_000_000_000_000_000;
/// The first old pod is deleted then.
const FIRST_DELETION: i64 = 10_000_000_000;
/// From one pod's deletion to the next one's.
const TURN: i64 = 800_000_000;

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => measure(10_000, 40),
        ["child", run] => child(Path::new(run)),
        [failures, pods] => measure(count(failures), count(pods)),
        other => say(&format!("unknown arguments {other:?}")),
    }
}

fn count(text: &str) -> usize {
    text.parse().expect("a number")
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("stdout is open");
}

/// Writes the record, has it explained, and tells what that took.
fn measure(failures: usize, pods: usize) {
    let run = std::env::temp_dir().join(format!("lastwatch-bench-{}", std::process::id()));
    Record::create(&run).write(failures, pods / 2);
    let status = Command::new(std::env::current_exe().expect("it has a path"))
        .arg("child")
        .arg(&run)
        .stdout(Stdio::inherit())
        .status();
    // What was written is of no use to anybody.
    let _ = std::fs::remove_dir_all(&run);
    assert!(status.expect("it starts").success());
}

fn child(run: &Path) {
    let begin = Instant::now();
    let timeline = RunDir::new(run).timeline().expect("the record is readable");
    let read = begin.elapsed();
    let begin = Instant::now();
    let findings = attribute(&timeline);
    let explained = begin.elapsed();
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    for attribution in &findings.failures {
        *causes.entry(attribution.cause.id().to_owned()).or_default() += 1;
    }
    say(&format!(
        "attribution: {} failures among {} events, {} pods: explained in {:.2} s (wanted: under 5), \
         read in {:.2} s, peak {:.0} MiB (wanted: under 1024)",
        findings.failures.len(),
        timeline.events.len(),
        findings.pods.len(),
        explained.as_secs_f64(),
        read.as_secs_f64(),
        memory::peak_kib("self").expect("it is this process") as f64 / 1024.0
    ));
    say(&format!("  causes: {causes:?}"));
}

/// A synthetic run.
struct Record {
    writer: RunWriter,
    version: u64,
}

/// One replaced pod and its replacement.
#[derive(Clone)]
struct Pod {
    name: String,
    uid: String,
    address: String,
    template: &'static str,
}

fn pod(index: usize, template: &'static str) -> Pod {
    let hash = if template == "old" {
        "7fd45b8fdb"
    } else {
        "86d5d95c66"
    };
    let third = if template == "old" { 1 } else { 2 };
    Pod {
        name: format!("demo-{hash}-{index:05}"),
        uid: format!("00000000-0000-4000-8000-{third:04}{index:08}"),
        address: format!("10.24{third}.{}.{}", index / 250, index % 250 + 1),
        template,
    }
}

fn stamp(at: i64) -> String {
    let seconds = (STARTED_AT + at).div_euclid(1_000_000_000);
    Timestamp::from_second(seconds)
        .expect("in range")
        .to_string()
}

impl Record {
    fn create(run: &PathBuf) -> Self {
        let info = RunInfo {
            schema_version: SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            id: "bench".to_owned(),
            origin: Origin::Live,
            argv: Vec::new(),
            started_at: STARTED_AT,
            cluster: "bench".to_owned(),
            namespace: "default".to_owned(),
            workload: Some("deployment/demo".to_owned()),
            service: Some("demo".to_owned()),
            plan: Value::Null,
        };
        let writer = RunWriter::create(run, &info).expect("the folder is writable");
        Self {
            writer,
            version: 100,
        }
    }

    fn event(&mut self, at: i64, source: Source, kind: EventKind) {
        let event = Event {
            seq: 0,
            at: Interval::point(RunOffset(at)),
            clock: Clock::Harness,
            source,
            kind,
        };
        self.writer.append(event).expect("the disk has room");
    }

    fn object(&mut self, at: i64, resource: Resource, change: Change, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let kind = EventKind::Object {
            resource,
            change,
            object,
        };
        self.event(at, Source::Watch, kind);
    }

    /// `turns` old pods are replaced one after the other; each loses its share of the failures.
    fn write(mut self, failures: usize, turns: usize) {
        let client = ClientInfo {
            name: "local".to_owned(),
            meshed: false,
            pod: None,
            target: Some("10.96.0.10:80".to_owned()),
            counted: true,
        };
        self.event(0, Source::Run, EventKind::Client(client));
        self.event(0, Source::Run, EventKind::Phase(RunPhase::Baseline));
        let mut serving: Vec<Pod> = (0..turns).map(|index| pod(index, "old")).collect();
        for pod in serving.clone() {
            self.pod(0, Change::Added, &pod, None);
        }
        self.slice(0, &serving, None);
        let deletion = |turn: usize| FIRST_DELETION + turn as i64 * TURN;
        self.counts(0, deletion(0), &serving);
        self.event(
            deletion(0),
            Source::Run,
            EventKind::Phase(RunPhase::Disruption),
        );
        for turn in 0..turns {
            let at = deletion(turn);
            let (old, new) = (pod(turn, "old"), pod(turn, "new"));
            self.pod(at - 50_000_000, Change::Added, &new, None);
            serving.push(new);
            self.slice(at - 40_000_000, &serving, None);
            self.pod(at, Change::Modified, &old, Some((at, None)));
            self.slice(at + 60_000_000, &serving, Some(&old.uid));
            serving.retain(|pod| pod.uid != old.uid);
            self.log(at, &old);
            self.counts(at, at + TURN, &serving);
            let share = failures / turns + usize::from(turn < failures % turns);
            self.failures(at, share);
            self.pod(
                at + 700_000_000,
                Change::Modified,
                &old,
                Some((at, Some(at))),
            );
            self.pod(
                at + 720_000_000,
                Change::Deleted,
                &old,
                Some((at, Some(at))),
            );
            self.slice(at + 750_000_000, &serving, None);
        }
        let end = deletion(turns);
        self.event(end, Source::Run, EventKind::Phase(RunPhase::Settle));
        self.counts(end, end + 5_000_000_000, &serving);
        self.event(
            end + 5_000_000_000,
            Source::Run,
            EventKind::Phase(RunPhase::Finished),
        );
        self.writer.flush().expect("the disk has room");
    }

    /// A pod's object; `ending` has its deletion and, once it is over, its end.
    fn pod(&mut self, at: i64, change: Change, pod: &Pod, ending: Option<(i64, Option<i64>)>) {
        let hash = pod.name.split('-').nth(1).expect("a hash");
        let ended = ending.and_then(|(_, end)| end);
        let state = match ended {
            Some(end) => json!({"terminated": {"exitCode": 0, "reason": "Completed",
                "startedAt": stamp(-60_000_000_000), "finishedAt": stamp(end)}}),
            None => json!({"running": {"startedAt": stamp(at.min(0) - 60_000_000_000)}}),
        };
        let ready = if ended.is_some() { "False" } else { "True" };
        let mut object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod.name, "namespace": "default", "uid": pod.uid,
                "creationTimestamp": stamp(at.min(0) - 61_000_000_000),
                "labels": {"app": "demo", "pod-template-hash": hash},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                    "name": format!("demo-{hash}"), "uid": format!("rs-{}", pod.template),
                    "controller": true}]},
            "spec": {"containers": [{"name": "app", "image": "app:1",
                "ports": [{"name": "http", "containerPort": 8080}],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}}],
                "terminationGracePeriodSeconds": 30, "nodeName": "node1"},
            "status": {"phase": "Running", "podIP": pod.address,
                "conditions": [{"type": "Ready", "status": ready,
                    "lastTransitionTime": stamp(at.min(0) - 59_000_000_000)}],
                "containerStatuses": [{"name": "app", "ready": ended.is_none(), "restartCount": 0,
                    "started": true, "state": state}]}
        });
        if let Some((deleted, _)) = ending {
            object["metadata"]["deletionTimestamp"] = json!(stamp(deleted + 30_000_000_000));
            object["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        }
        self.object(at, Resource::Pods, change, object);
    }

    fn slice(&mut self, at: i64, pods: &[Pod], terminating: Option<&str>) {
        let endpoints: Vec<Value> = pods
            .iter()
            .map(|pod| {
                let leaving = terminating == Some(pod.uid.as_str());
                json!({"addresses": [pod.address], "nodeName": "node1",
                    "conditions": {"ready": !leaving, "serving": true, "terminating": leaving},
                    "targetRef": {"kind": "Pod", "namespace": "default", "name": pod.name, "uid": pod.uid}})
            })
            .collect();
        let object = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "demo-abcde", "namespace": "default", "uid": "slice",
                "labels": {"kubernetes.io/service-name": "demo"}},
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]
        });
        let change = if at == 0 {
            Change::Added
        } else {
            Change::Modified
        };
        self.object(at, Resource::EndpointSlices, change, object);
    }

    fn log(&mut self, deleted: i64, pod: &Pod) {
        let lines = (0..20).map(|line| (deleted - 1_000_000_000 + line, "served 100 requests"));
        for (at, text) in lines.chain([(deleted + 20_000_000, "received SIGTERM, exiting")]) {
            let nanos = i128::from(STARTED_AT + at);
            let stamp = Timestamp::from_nanosecond(nanos).expect("in range");
            let line = format!("{stamp} {text}");
            self.writer
                .append_log(&pod.name, "app", &line)
                .expect("the disk has room");
        }
    }

    /// Answers of every serving pod in every bucket of a span.
    fn counts(&mut self, from: i64, to: i64, serving: &[Pod]) {
        const WIDTH: i64 = 100_000_000;
        for bucket in (from..to).step_by(WIDTH as usize) {
            for pod in serving {
                let counts = RequestCounts {
                    client: "local".to_owned(),
                    bucket: RunOffset(bucket),
                    width: WIDTH,
                    class: "main".to_owned(),
                    connection: ConnectionKind::New,
                    pod: Some(pod.name.clone()),
                    ok: 5,
                    failed: 0,
                    attempts_told: 0,
                    retried: 0,
                    latest_sent: Some(RunOffset(bucket + WIDTH / 2)),
                    earliest_end: Some(RunOffset(bucket + WIDTH / 10)),
                    latest_end: Some(RunOffset(bucket + WIDTH)),
                };
                self.event(bucket + WIDTH, Source::Load, EventKind::Requests(counts));
            }
        }
    }

    /// What the pod deleted at `deleted` lost: refused, without an answer, or cut.
    fn failures(&mut self, deleted: i64, count: usize) {
        for index in 0..count {
            let after = 40_000_000 + 600_000_000 * index as i64 / count.max(1) as i64;
            let sent = deleted + after;
            let shape = index % 10;
            let (phase, class, errno, took) = match shape {
                0..7 => (
                    RequestPhase::Connect,
                    ErrorClass::Refused,
                    Some(111),
                    500_000,
                ),
                7..9 => (
                    RequestPhase::Connect,
                    ErrorClass::Timeout,
                    None,
                    12_000_000_000,
                ),
                _ => (
                    RequestPhase::WaitHeaders,
                    ErrorClass::Closed,
                    None,
                    1_000_000,
                ),
            };
            let kept = shape == 9;
            let failed = FailedRequest {
                request_id: format!("10000000-0000-4000-8000-{deleted:012x}{index:06}"),
                client: "local".to_owned(),
                class: "main".to_owned(),
                method: "GET".to_owned(),
                path: "/".to_owned(),
                intended: RunOffset(sent - 100_000),
                sent: Some(RunOffset(sent)),
                connected: None,
                written: kept.then_some(RunOffset(sent + 50_000)),
                first_byte: None,
                end: RunOffset(sent + took),
                connection: Connection {
                    kind: if kept {
                        ConnectionKind::Reused
                    } else {
                        ConnectionKind::New
                    },
                    id: index as u64,
                    age: if kept { 5_000_000_000 } else { 0 },
                    requests_before: u64::from(kept) * 50,
                    idle: if kept { 80_000_000 } else { 0 },
                },
                local: Some(format!("10.0.0.1:{}", 32_768 + index % 28_000)),
                remote: Some("10.96.0.10:80".to_owned()),
                phase,
                outcome: Outcome::Transport {
                    class,
                    errno,
                    text: "as the library says".to_owned(),
                },
                response: ResponseFacts::default(),
            };
            let kind = EventKind::RequestFailed(Box::new(failed));
            self.event(sent + took, Source::Load, kind);
        }
    }
}
