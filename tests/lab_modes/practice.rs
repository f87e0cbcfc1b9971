//! A lab with one workload for each mode, and how its pods end.

use super::ending::{Ending, Line};
use super::inside::inside;
use super::namespaces::permitted;
use super::up::Up;
use futures::{AsyncReadExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, LogParams, WatchEvent, WatchParams};
use lastwatch::task::wait_until;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
const EVERY: Duration = Duration::from_millis(100);

/// What a mode's pods are called by.
const LABEL: &str = "app";

pub(super) struct Practice {
    up: Up,
    pods: Api<Pod>,
    /// Each pod's last state by the API.
    seen: Arc<Mutex<BTreeMap<String, Value>>>,
    watching: tokio::task::JoinHandle<()>,
}

impl Drop for Practice {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Practice {
    /// Starts a lab with these objects; `None`: there are no namespaces here, and so no sidecars.
    pub(super) async fn start(objects: &[Value]) -> Option<Self> {
        Self::set_up(objects, json!({})).await
    }

    /// The same, set up as the `lab` of a scenario says.
    #[expect(clippy::print_stdout, reason = "a test that compares nothing says so")]
    pub(super) async fn set_up(objects: &[Value], lab: Value) -> Option<Self> {
        // A lab that is to have sidecars does not come up in loopback mode.
        if !permitted(&["--net", "--mount", "--pid", "--fork"]) {
            println!("not compared: namespaces are not permitted here");
            return None;
        }
        let documents: Vec<_> = objects.iter().map(Value::to_string).collect();
        let up = Up::start(&documents.join("\n---\n"), lab)?;
        let pods: Api<Pod> = Api::default_namespaced(up.client().await);
        let seen = Arc::default();
        Some(Self {
            watching: tokio::spawn(watch(pods.clone(), Arc::clone(&seen))),
            up,
            pods,
            seen,
        })
    }

    /// The ready pod of a mode.
    pub(super) async fn pod(&self, mode: &str) -> String {
        let serves = |pod: &Value| is_ready(pod) && pod["status"]["podIP"].is_string();
        self.find(mode, serves).await
    }

    /// The pod of a mode, ready or not.
    pub(super) async fn created(&self, mode: &str) -> String {
        self.find(mode, |_| true).await
    }

    async fn find(&self, mode: &str, holds: impl Fn(&Value) -> bool) -> String {
        wait_until(&format!("the pod of {mode}"), PATIENCE, EVERY, || async {
            let seen = self.seen.lock().expect("nothing panics in between");
            let own = |pod: &&Value| pod["metadata"]["labels"][LABEL] == mode && is_living(pod);
            let pods: Vec<_> = seen.values().filter(own).collect();
            let found = pods.iter().find(|pod| holds(pod));
            let name = found.and_then(|pod| pod["metadata"]["name"].as_str());
            name.map(str::to_owned).ok_or_else(|| {
                let statuses: Vec<_> = pods.iter().map(|pod| pod["status"].to_string()).collect();
                format!("{statuses:?}")
            })
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Has a request with a pod's app that takes so long, of which the app is told before this ends:
    /// long enough for somebody to see it at work.
    pub(super) fn send(&self, pod: &str, millis: u32) -> UnderWay {
        let pod = self.seen(pod);
        let address = pod["status"]["podIP"].as_str().expect("an address");
        let script = format!(
            "exec 3<>/dev/tcp/{address}/8080
             printf 'GET /delay?ms={millis} HTTP/1.1\\r\\nHost: demo\\r\\n\\r\\n' >&3
             for _ in {{1..100}}; do
                 exec 4<>/dev/tcp/{address}/8080
                 printf 'GET /busy HTTP/1.1\\r\\nHost: demo\\r\\nConnection: close\\r\\n\\r\\n' >&4
                 busy=$(tail -n 1 <&4)
                 [ \"$busy\" = 1 ] && break
                 sleep 0.05
             done
             [ \"$busy\" = 1 ] && echo sent || echo \"not sent: busy is '$busy'\"
             exec cat <&3"
        );
        let child = inside(self.up.folder(), &["bash", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut request = UnderWay(child);
        let mut line = String::new();
        let stdout = request.0.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "sent");
        request
    }

    /// Follows a log of the sidecar from its start to its end.
    pub(super) fn follow(&self, pod: &str) -> tokio::task::JoinHandle<String> {
        let (pods, pod) = (self.pods.clone(), pod.to_owned());
        tokio::spawn(async move {
            let params = LogParams {
                container: Some("istio-proxy".to_owned()),
                follow: true,
                ..LogParams::default()
            };
            let mut stream = pods.log_stream(&pod, &params).await.expect("a log");
            let mut text = Vec::new();
            stream.read_to_end(&mut text).await.expect("the log's end");
            String::from_utf8(text).expect("text")
        })
    }

    /// Kills a pod's Envoy, as this machine counts its processes.
    pub(super) fn kill_envoy(&self, pod: &str) {
        let pod = self.seen(pod);
        let uid = pod["metadata"]["uid"].as_str().expect("a uid");
        let configuration = format!("{uid}/envoy-rev.json");
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let envoy = processes.into_iter().find(|process| {
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&configuration)
        });
        let pid = envoy.expect("its Envoy runs").file_name();
        let pid = pid.to_string_lossy().parse().expect("a pid");
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it is killed");
    }

    /// What the sidecar has written so far.
    pub(super) async fn log(&self, pod: &str) -> String {
        self.read_log(pod, false).await
    }

    /// What the sidecar before this one has written.
    pub(super) async fn previous_log(&self, pod: &str) -> String {
        self.read_log(pod, true).await
    }

    async fn read_log(&self, pod: &str, previous: bool) -> String {
        let params = LogParams {
            container: Some("istio-proxy".to_owned()),
            previous,
            ..LogParams::default()
        };
        self.pods.logs(pod, &params).await.expect("a log")
    }

    /// Waits until a pod's sidecar has outlived its app for as long as makes it a hazard.
    pub(super) async fn outlives(&self, pod: &str, app: f64) {
        let since = || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.expect("after 1970").as_secs_f64() - app
        };
        wait_until("5 s after the app", PATIENCE, EVERY, || async move {
            if since() > 5.5 {
                Ok(())
            } else {
                Err(format!("{:.1} s", since()))
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        let ended = self.known(pod, &[("kind", "ended"), ("container", "istio-proxy")]);
        let log = self.log(pod).await;
        assert_eq!(ended, None, "the sidecar of {pod} has ended:\n{log}");
    }

    pub(super) async fn delete(&self, pod: &str) {
        let params = DeleteParams::default();
        self.pods.delete(pod, &params).await.expect("deleted");
    }

    /// Waits for a fact of the truth about a pod; gives its instant.
    pub(super) async fn truth(&self, pod: &str, wanted: &[(&str, &str)]) -> f64 {
        wait_until(&format!("{wanted:?} of {pod}"), PATIENCE, EVERY, || async {
            self.known(pod, wanted).ok_or_else(|| "not yet".to_owned())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The instant of a fact of the truth about a pod, in seconds since the epoch.
    pub(super) fn known(&self, pod: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        self.record(|record| {
            record["pod"] == pod && wanted.iter().all(|(key, value)| record[*key] == **value)
        })
    }

    fn record(&self, holds: impl Fn(&Value) -> bool) -> Option<f64> {
        let path = self.up.folder().join("truth.jsonl");
        let text = std::fs::read_to_string(path).expect("a truth");
        // The last line may still be on its way.
        let records = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let found = records.into_iter().find(holds)?;
        Some(found["t"].as_f64()? / 1e9)
    }

    /// When a port of a pod was first listened on.
    pub(super) fn listening(&self, pod: &str, port: u16) -> Option<f64> {
        let is_open = |record: &Value| {
            record["pod"] == pod && record["kind"] == "listen" && record["port"] == port
        };
        self.record(is_open)
    }

    /// Waits for a line of the sidecar with these words.
    pub(super) async fn line(&self, pod: &str, words: &str) -> String {
        wait_until(&format!("a line with {words}"), PATIENCE, EVERY, || async {
            let log = self.log(pod).await;
            let found = log.lines().find(|line| line.contains(words));
            found.map(str::to_owned).ok_or(log)
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    }

    /// How a pod has ended whose sidecar wrote `log`. `from`: what its ends are counted from.
    pub(super) fn ending(&self, pod: &str, log: &str, from: f64) -> Ending {
        let end = |container| self.known(pod, &[("kind", "ended"), ("container", container)]);
        Ending {
            pod: pod.to_owned(),
            lines: Line::of_the_end(log),
            codes: codes(&self.seen(pod)),
            app: end("app").expect("the app has ended") - from,
            agent: end("istio-proxy").map(|agent| agent - from),
        }
    }

    fn seen(&self, pod: &str) -> Value {
        let seen = self.seen.lock().expect("nothing panics in between");
        seen.get(pod).cloned().unwrap_or_default()
    }

    /// Waits until the API says of a pod what is wanted.
    pub(super) async fn until(&self, pod: &str, what: &str, holds: impl Fn(&Value) -> bool) {
        wait_until(&format!("{pod} {what}"), PATIENCE, EVERY, || async {
            let pod = self.seen(pod);
            if holds(&pod) {
                Ok(())
            } else {
                Err(pod["status"].to_string())
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A request whose client goes away with this.
pub(super) struct UnderWay(Child);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_living(pod: &Value) -> bool {
    pod["gone"] == false && pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|own| own["type"] == "Ready" && own["status"] == "True")
}

/// Keeps each pod's last state; one that is gone says so.
async fn watch(pods: Api<Pod>, seen: Arc<Mutex<BTreeMap<String, Value>>>) {
    let params = WatchParams::default().timeout(290);
    let events = pods.watch(&params, "0").await.expect("a watch");
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let (pod, gone) = match event.expect("an event") {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (pod, false),
            WatchEvent::Deleted(pod) => (pod, true),
            _ => continue,
        };
        let mut value = json!(pod);
        value["gone"] = json!(gone);
        let name = pod.metadata.name.expect("a name");
        seen.lock()
            .expect("nothing panics in between")
            .insert(name, value);
    }
}

/// The exit codes of a pod's containers that have ended.
fn codes(pod: &Value) -> BTreeMap<String, i64> {
    let statuses = ["initContainerStatuses", "containerStatuses"];
    let statuses = statuses
        .iter()
        .flat_map(|field| pod["status"][*field].as_array());
    let ended = statuses.flatten().filter_map(|status| {
        let code = status["state"]["terminated"]["exitCode"].as_i64()?;
        Some((status["name"].as_str()?.to_owned(), code))
    });
    ended.collect()
}
