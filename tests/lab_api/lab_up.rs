//! The whole lab, as `lastwatch lab up` starts it: through kubectl, and held against what was
//! recorded on a real cluster.

use super::program::{Kubectl, line_with};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const PATIENCE: Duration = Duration::from_secs(150);

/// A lab that is up.
struct Up {
    child: Child,
    kubectl: Kubectl,
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Up {
    async fn start(manifest: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lastwatch"))
            .args(["lab", "up", "--manifests", manifest])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let path = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .expect("the lab comes up in time")
            .unwrap()
            .expect("it prints its kubeconfig");
        let kubeconfig = std::fs::read_to_string(path.trim()).unwrap();
        let content = std::fs::read_to_string(manifest).unwrap();
        let kubectl = Kubectl::new(&kubeconfig, "demo.yaml", &content);
        Self {
            child,
            kubectl,
            _lines: lines,
        }
    }

    /// Ends it with Ctrl-C, which must end it well.
    async fn stop(mut self) {
        let pid = i32::try_from(self.child.id().expect("it still runs")).unwrap();
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGINT,
        )
        .unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("it ends in time")
            .unwrap();
        assert!(ended.success(), "{ended:?}");
    }
}

#[tokio::test]
async fn kubectl_cannot_tell_the_lab_from_a_cluster() {
    let up = Up::start("manifests/demo/graceful.yaml").await;
    let kubectl = &up.kubectl;
    let wide = kubectl.run("get pods -o wide").await;
    let rows: Vec<Vec<&str>> = wide
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 3, "{wide}");
    for row in &rows {
        assert_eq!(row[1..4], ["1/1", "Running", "0"], "{wide}");
    }
    let pod = rows[0][0].to_owned();
    assert!(kubectl.run("get nodes -o wide").await.contains("Ready"));
    assert!(
        kubectl
            .run("apply -f demo.yaml")
            .await
            .contains("deployment.apps/demo")
    );

    let (_logs, mut log) = kubectl.follow(&format!("logs -f --timestamps {pod}"));
    let line = line_with(&mut log, &[]).await;
    let stamp = line.split(' ').next().unwrap();
    assert!(stamp.len() == 30 && stamp.ends_with('Z'), "{line}");

    let (_watch, mut changes) = kubectl.follow("get pods -w");
    line_with(&mut changes, &[&pod, "Running"]).await;
    kubectl.run("rollout restart deployment/demo").await;
    line_with(&mut changes, &[&pod, "Terminating"]).await;
    let status = kubectl
        .run("rollout status deployment/demo --timeout=55s")
        .await;
    assert!(status.contains("successfully rolled out"), "{status}");

    kubectl.run("scale deployment/demo --replicas=2").await;
    kubectl
        .run("wait --for=jsonpath={.status.replicas}=2 deployment/demo --timeout=55s")
        .await;
    let victim = kubectl.living_pod().await;
    assert!(
        kubectl
            .run(&format!("delete pod {victim} --timeout=55s"))
            .await
            .contains("deleted")
    );
    let events = kubectl.run("get events").await;
    for words in [
        "Stopping container app",
        "Successfully assigned default/demo-",
        "Scaled down replica set demo-",
    ] {
        assert!(events.contains(words), "{words} is not in {events}");
    }
    up.stop().await;
}

/// What happens to a pod and to its endpoint, and when it was first seen.
type Story = BTreeMap<&'static str, Moment>;

#[derive(Clone, Copy, Debug)]
struct Moment {
    /// Milliseconds.
    at: f64,
    /// The lab counts its changes through, so this is their true order.
    version: u64,
}

impl Moment {
    fn new(at: f64, object: &Value) -> Self {
        let version = object["metadata"]["resourceVersion"].as_str().unwrap();
        Self {
            at,
            version: version.parse().unwrap(),
        }
    }
}

/// Tells pods' stories from watch events, in the order in which they came.
#[derive(Default)]
struct Stories {
    pods: BTreeMap<String, Story>,
    in_slice: Vec<String>,
}

impl Stories {
    fn pod(&mut self, at: f64, kind: &str, pod: &Value) {
        let Some(uid) = pod["metadata"]["uid"].as_str() else {
            return;
        };
        let story = self.pods.entry(uid.to_owned()).or_default();
        let moment = Moment::new(at, pod);
        let mut first = |word| {
            story.entry(word).or_insert(moment);
        };
        let ready = pod["status"]["conditions"].as_array().is_some_and(|all| {
            all.iter()
                .any(|own| own["type"] == "Ready" && own["status"] == "True")
        });
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        if kind == "ADDED" && pod["spec"]["nodeName"].is_null() {
            first("created");
        }
        if pod["spec"]["nodeName"].is_string() {
            first("scheduled");
        }
        if phase == "Running" {
            first("running");
        }
        if ready {
            first("ready");
        }
        if pod["metadata"]["deletionTimestamp"].is_string() {
            first("deleted");
        }
        if matches!(phase, "Succeeded" | "Failed") {
            first("ended");
        }
        if pod["metadata"]["deletionGracePeriodSeconds"] == 0 {
            first("no grace left");
        }
        if kind == "DELETED" {
            first("gone");
        }
    }

    fn slice(&mut self, at: f64, slice: &Value) {
        let mut now = Vec::new();
        let moment = Moment::new(at, slice);
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            let Some(uid) = endpoint["targetRef"]["uid"].as_str() else {
                continue;
            };
            now.push(uid.to_owned());
            let story = self.pods.entry(uid.to_owned()).or_default();
            if endpoint["conditions"]["ready"] == true {
                story.entry("endpoint ready").or_insert(moment);
            }
            if endpoint["conditions"]["terminating"] == true {
                story.entry("endpoint terminating").or_insert(moment);
            }
        }
        for uid in self.in_slice.iter().filter(|uid| !now.contains(uid)) {
            let story = self.pods.entry(uid.clone()).or_default();
            story.entry("endpoint gone").or_insert(moment);
        }
        self.in_slice = now;
    }

    /// The stories of pods that were both made and seen, from their first word.
    fn told(&self, from: &str, to: &str) -> Vec<&Story> {
        let whole = |story: &&Story| story.contains_key(from) && story.contains_key(to);
        self.pods.values().filter(whole).collect()
    }
}

/// Spans of a new pod, with their medians in the recording `nopre`: an app that exits at once,
/// without preStop, whose three pods are replaced. (Recorded on Kubernetes 1.36.2 with containerd;
/// milliseconds between the arrivals of the watch events.) An app that listens too late for its
/// first probe is ready one period later: the recording has both, and so has a busy machine.
const BEGINNING: &[(&str, &str, &[f64])] = &[
    ("created", "scheduled", &[16.0]),
    ("scheduled", "running", &[503.0]),
    ("running", "ready", &[27.0, 1004.0]),
    ("ready", "endpoint ready", &[4.0]),
];

/// The same of a deleted pod.
const ENDING: &[(&str, &str, &[f64])] = &[
    ("deleted", "endpoint terminating", &[35.0]),
    ("deleted", "ended", &[167.0]),
    ("ended", "endpoint gone", &[7.0]),
    ("ended", "no grace left", &[510.0]),
    ("no grace left", "gone", &[2.0]),
];

/// Within a factor of 3, or 200 ms.
fn is_like(own: f64, recorded: f64) -> bool {
    (own - recorded).abs() <= 200.0 || (own <= recorded * 3.0 && own >= recorded / 3.0)
}

/// In which order a deleted pod's changes came in every recording.
const ORDER: &[&str] = &[
    "deleted",
    "endpoint terminating",
    "ended",
    "endpoint gone",
    "no grace left",
    "gone",
];

/// What no machine can be too busy for, since the later follows from the earlier.
const FORCED: &[[&str; 2]] = &[
    ["deleted", "endpoint terminating"],
    ["deleted", "ended"],
    ["ended", "endpoint gone"],
    ["ended", "no grace left"],
    ["no grace left", "gone"],
];

/// Whether both happened, in this order.
fn follows(story: &Story, [earlier, later]: [&str; 2]) -> bool {
    let version = |word| story.get(word).map(|moment| moment.version);
    matches!((version(earlier), version(later)), (Some(earlier), Some(later)) if earlier < later)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The two watches, as kubectl prints them.
struct Watches {
    pods: Lines<BufReader<ChildStdout>>,
    slices: Lines<BufReader<ChildStdout>>,
    pod_text: String,
    slice_text: String,
    _children: [Child; 2],
}

impl Watches {
    fn open(kubectl: &Kubectl) -> Self {
        let watch = "-w -o json --output-watch-events";
        let (first, pods) = kubectl.follow(&format!("get pods -l app=demo {watch}"));
        let of_demo = "endpointslices -l kubernetes.io/service-name=demo";
        let (second, slices) = kubectl.follow(&format!("get {of_demo} {watch}"));
        Self {
            pods,
            slices,
            pod_text: String::new(),
            slice_text: String::new(),
            _children: [first, second],
        }
    }

    /// Reads until three pods have each of the stories `from` .. `to`.
    async fn read(&mut self, stories: &mut Stories, until: &[[&str; 2]]) {
        let began = Instant::now();
        let at = || began.elapsed().as_secs_f64() * 1000.0;
        while until
            .iter()
            .any(|[from, to]| stories.told(from, to).len() < 3)
        {
            tokio::select! {
                line = self.pods.next_line() => {
                    let line = line.unwrap().expect("the watch goes on");
                    if let Some(event) = whole(&mut self.pod_text, &line) {
                        stories.pod(at(), event["type"].as_str().unwrap(), &event["object"]);
                    }
                }
                line = self.slices.next_line() => {
                    let line = line.unwrap().expect("the watch goes on");
                    if let Some(event) = whole(&mut self.slice_text, &line) {
                        stories.slice(at(), &event["object"]);
                    }
                }
            }
        }
    }
}

/// What is unlike the recordings: the order of changes, and the medians of their spacing.
fn unlike(stories: &Stories) -> Vec<String> {
    let new = stories.told("created", "endpoint ready");
    let old = stories.told("deleted", "gone");
    let mut faults = Vec::new();
    for story in &old {
        if !ORDER
            .windows(2)
            .all(|pair| follows(story, [pair[0], pair[1]]))
        {
            faults.push(format!("in another order: {story:?}"));
        }
    }
    for (stories, spans) in [(&new, BEGINNING), (&old, ENDING)] {
        for (from, to, recorded) in spans {
            let span = |story: &&Story| Some(story.get(to)?.at - story.get(from)?.at);
            let own = median(stories.iter().filter_map(span).collect());
            if !recorded.iter().any(|recorded| is_like(own, *recorded)) {
                faults.push(format!(
                    "from {from} to {to}: {own:.0} ms, recorded {recorded:?} ms"
                ));
            }
        }
    }
    faults
}

/// A busy machine slows the lab down, so the best of some rollouts shows its own pace.
const ROUNDS: usize = 5;

#[tokio::test]
async fn pods_and_slices_change_in_the_order_and_at_the_pace_of_a_real_cluster() {
    let up = Up::start("manifests/demo/no-prestop.yaml").await;
    let mut watches = Watches::open(&up.kubectl);
    // What happens before kubectl watches is not seen as a change.
    let mut before = Stories::default();
    let there = [["ready", "endpoint ready"]];
    tokio::time::timeout(PATIENCE, watches.read(&mut before, &there))
        .await
        .expect("three pods are there in time");
    let mut in_slice = before.in_slice;
    let mut faults = Vec::new();
    let replaced = [["deleted", "gone"], ["created", "endpoint ready"]];
    for round in 1..=ROUNDS {
        let mut stories = Stories {
            in_slice,
            ..Stories::default()
        };
        // Not `rollout restart`: two of them in one second are one.
        let patch = format!(
            r#"{{"spec":{{"template":{{"metadata":{{"annotations":{{"round":"{round}"}}}}}}}}}}"#
        );
        up.kubectl
            .run(&format!("patch deployment demo -p {patch}"))
            .await;
        tokio::time::timeout(PATIENCE, watches.read(&mut stories, &replaced))
            .await
            .expect("three pods are replaced in time");
        for story in stories.told("deleted", "gone") {
            for [earlier, later] in FORCED {
                let seen = story.contains_key(earlier) && story.contains_key(later);
                assert!(!seen || follows(story, [earlier, later]), "{story:?}");
            }
        }
        faults = unlike(&stories);
        if faults.is_empty() {
            break;
        }
        in_slice = stories.in_slice;
    }
    assert!(
        faults.is_empty(),
        "in {ROUNDS} rollouts, at last: {faults:#?}"
    );
    up.stop().await;
}

/// A JSON object that is whole with this line.
fn whole(text: &mut String, line: &str) -> Option<Value> {
    text.push_str(line);
    text.push('\n');
    let ends = line == "}" || (line.starts_with('{') && line.ends_with('}'));
    let value = ends.then(|| serde_json::from_str(text).ok()).flatten();
    if value.is_some() {
        text.clear();
    }
    value
}
