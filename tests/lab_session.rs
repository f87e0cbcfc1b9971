//! A lab behaves as the recorded clusters did: what follows what when a pod is deleted, what is
//! left of it, and what is left of a lab.
//!
//! Where namespaces are not permitted the labs run in loopback mode, and what that mode cannot show
//! is not claimed.

#[path = "lab/come_up.rs"]
mod come_up;
#[path = "lab/inside.rs"]
mod inside;
#[path = "lab/namespaces.rs"]
mod namespaces;
#[path = "lab/processes.rs"]
mod processes;
#[path = "lab/wait.rs"]
mod wait;

use come_up::come_up;
use futures::StreamExt;
use inside::inside;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, LogParams, WatchEvent, WatchParams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use processes::processes_of;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;
use wait::wait_for;

const MANIFEST: &str = "
apiVersion: v1
kind: Service
metadata: {name: demo}
spec: {selector: {app: demo}, ports: [{port: 8000, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: demo}}
  template:
    metadata: {labels: {app: demo}}
    spec:
      terminationGracePeriodSeconds: GRACE
      containers:
      - name: app
        image: lastwatch/lab-app
        MORE
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
";

struct Lab {
    up: Child,
    kubeconfig: PathBuf,
    loopback: bool,
    _manifest: tempfile::TempDir,
}

impl Lab {
    fn start(grace: u32, more: &str) -> Self {
        let text = MANIFEST.replace("GRACE", &grace.to_string());
        Self::with(&text.replace("MORE", more))
    }

    fn with(text: &str) -> Self {
        Self::on_path(text, &std::env::var("PATH").expect("a PATH"))
    }

    fn on_path(text: &str, path: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = folder.path().join("demo.yaml");
        std::fs::write(&manifest, text).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastwatch"));
        let command = command.env("PATH", path).args(["lab", "up", "--manifests"]);
        let (up, kubeconfig) = come_up(command.arg(&manifest));
        let order = std::fs::read_to_string(kubeconfig.with_file_name("order.json"));
        Self {
            up,
            loopback: order.expect("an order").contains("\"isolated\":false"),
            kubeconfig,
            _manifest: folder,
        }
    }

    fn folder(&self) -> &Path {
        self.kubeconfig.parent().expect("a folder")
    }

    async fn pods(&self) -> Api<Pod> {
        let config = kube::config::Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(config, &options).await;
        let client = kube::Client::try_from(config.expect("a config")).expect("a client");
        Api::default_namespaced(client)
    }

    fn exec(&self, script: &str) -> Output {
        inside(self.folder(), &["bash", "-c", script])
            .output()
            .expect("the program runs")
    }

    fn truth(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder().join("truth.jsonl")).expect("a truth");
        let lines = text.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("JSON")).collect()
    }

    /// When the truth has this of the pod, in seconds since the epoch.
    fn when(&self, pod: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        let found = self.truth().into_iter().find(|record| {
            record["pod"] == pod && wanted.iter().all(|(key, value)| record[*key] == **value)
        });
        found
            .and_then(|record| record["t"].as_f64())
            .map(|t| t / 1e9)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = kill(pid_of(&self.up), Signal::SIGTERM);
        let _ = self.up.wait();
    }
}

fn pid_of(program: &Child) -> Pid {
    Pid::from_raw(i32::try_from(program.id()).expect("a pid"))
}

async fn until<F: Future<Output = Option<T>>, T>(
    what: &str,
    mut predicate: impl FnMut() -> F,
) -> T {
    let every = Duration::from_millis(50);
    let patience = Duration::from_secs(60);
    let asked = lastwatch::task::wait_until(what, patience, every, || {
        let answer = predicate();
        async { answer.await.ok_or_else(|| "not yet".to_owned()) }
    });
    asked.await.unwrap_or_else(|error| panic!("{error}"))
}

async fn first(pods: &Api<Pod>) -> (String, String) {
    let list = pods.list(&ListParams::default()).await.expect("pods");
    let pod = list.items.into_iter().next().expect("a pod");
    let ip = pod
        .status
        .and_then(|status| status.pod_ip)
        .expect("an address");
    (pod.metadata.name.expect("a name"), ip)
}

async fn gone(pods: &Api<Pod>, name: &str) {
    until("the pod is gone", || async {
        pods.get_opt(name)
            .await
            .expect("an answer")
            .is_none()
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pod_closes_then_vanishes_and_the_service_goes_on() {
    let lab = Lab::start(10, "env: [{name: ON_TERM, value: exit}]");
    let pods = lab.pods().await;
    let (name, ip) = first(&pods).await;
    let log = pods
        .logs(&name, &LogParams::default())
        .await
        .expect("a log");
    assert!(log.contains("listening on :8080"), "{log}");
    let connect = |address: &str| {
        let output = lab.exec(&format!("timeout 2 bash -c '</dev/tcp/{address}/8080'"));
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(connect(&ip).0, Some(0), "the pod accepts");
    pods.delete(&name, &DeleteParams::default())
        .await
        .expect("deleted");
    gone(&pods, &name).await;
    let after = connect(&ip);
    if lab.loopback {
        assert!(after.1.contains("refused"), "{after:?}");
    } else {
        assert_eq!(
            after.0,
            Some(124),
            "nobody answers, not even to refuse: {after:?}"
        );
    }
    let here = lab.exec("pwd");
    let own = std::env::current_dir().expect("a folder");
    assert_eq!(
        String::from_utf8_lossy(&here.stdout).trim(),
        own.to_string_lossy()
    );
    let when = |wanted: &[(&str, &str)]| {
        lab.when(&name, wanted)
            .unwrap_or_else(|| panic!("{wanted:?}"))
    };
    let order = [
        when(&[("kind", "deleting")]),
        when(&[("kind", "signal"), ("signal", "SIGTERM")]),
        when(&[("kind", "ended")]),
        when(&[("kind", "sandboxGone")]),
    ];
    assert!(order.is_sorted(), "{order:?}");
    let service = lab
        .exec("exec 3<>/dev/tcp/demo/8000 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3");
    let answer = String::from_utf8_lossy(&service.stdout).into_owned();
    if !lab.loopback {
        assert!(answer.contains("200 OK"), "{answer} {service:?}");
    }
}

/// With which code a pod's only container has ended.
fn exit_code(event: &WatchEvent<Pod>) -> Option<i32> {
    let (WatchEvent::Added(pod) | WatchEvent::Modified(pod) | WatchEvent::Deleted(pod)) = event
    else {
        return None;
    };
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let state = statuses.first()?.state.as_ref()?;
    Some(state.terminated.as_ref()?.exit_code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_process_without_a_handler_is_deaf_until_sigkill() {
    let lab = Lab::start(3, "command: [sh, -c, 'lastwatch lab app; true']");
    let pods = lab.pods().await;
    let (name, _) = first(&pods).await;
    let own = WatchParams::default()
        .fields(&format!("metadata.name={name}"))
        .timeout(60);
    let events = pods.watch(&own, "0").await.expect("a watch");
    pods.delete(&name, &DeleteParams::default())
        .await
        .expect("deleted");
    // The pod is gone so soon after its container that only a watch surely shows the end.
    let codes = events.filter_map(async |event| exit_code(&event.expect("an event")));
    let mut codes = std::pin::pin!(codes);
    let code = codes.next().await;
    assert_eq!(code, Some(137), "told before the watch's own end");
    let signal = |signal: &str| lab.when(&name, &[("kind", "signal"), ("signal", signal)]);
    let waited = signal("SIGKILL").expect("killed") - signal("SIGTERM").expect("told");
    assert!(
        (2.9..10.0).contains(&waited),
        "the grace period is 3 s, it took {waited}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pre_stop_counts_against_the_grace_period() {
    let more = "env: [{name: CLEANUP, value: 60s}]\n        lifecycle: {preStop: {exec: {command: [sleep, '2']}}}";
    let lab = Lab::start(5, more);
    let pods = lab.pods().await;
    let (name, _) = first(&pods).await;
    pods.delete(&name, &DeleteParams::default())
        .await
        .expect("deleted");
    gone(&pods, &name).await;
    let when = |wanted: &[(&str, &str)]| {
        lab.when(&name, wanted)
            .unwrap_or_else(|| panic!("{wanted:?}"))
    };
    let deleting = when(&[("kind", "deleting")]);
    let told = when(&[("kind", "signal"), ("signal", "SIGTERM")]);
    let killed = when(&[("kind", "signal"), ("signal", "SIGKILL")]);
    assert!(
        (2.0..4.0).contains(&(told - deleting)),
        "{}",
        told - deleting
    );
    assert!(
        (2.9..4.5).contains(&(killed - told)),
        "5 s less the 2 of preStop: {}",
        killed - told
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_waits_for_the_hook_of_the_one_before_it() {
    let hook = "lifecycle: {postStart: {exec: {command: [sleep, '2']}}}";
    let second =
        "      - {name: second, image: lastwatch/lab-app, env: [{name: PORT, value: '8081'}]}\n";
    let manifest = MANIFEST.replace("GRACE", "5").replace("MORE", hook) + second;
    let lab = Lab::with(&manifest);
    let (name, _) = first(&lab.pods().await).await;
    let started = |container| {
        let wanted = [("kind", "started"), ("container", container)];
        lab.when(&name, &wanted).expect("it was started")
    };
    let waited = started("second") - started("app");
    assert!((2.0..6.0).contains(&waited), "{waited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_ends_its_container_which_is_started_again() {
    let once = "if [ -e /tmp/hooked-$POD_UID ]; then rm /tmp/hooked-$POD_UID; else touch /tmp/hooked-$POD_UID; exit 1; fi";
    let more = format!(
        "env: [{{name: POD_UID, valueFrom: {{fieldRef: {{fieldPath: metadata.uid}}}}}}]\n        \
         lifecycle: {{postStart: {{exec: {{command: [sh, -c, '{once}']}}}}}}"
    );
    let lab = Lab::start(5, &more);
    let pods = lab.pods().await;
    let (name, _) = first(&pods).await;
    let status = pods
        .get(&name)
        .await
        .expect("a pod")
        .status
        .expect("a status");
    let app = &status.container_statuses.expect("containers")[0];
    assert_eq!(app.restart_count, 1);
    let events: Api<k8s_openapi::api::core::v1::Event> =
        Api::default_namespaced(pods.into_client());
    let events = events.list(&ListParams::default()).await.expect("events");
    let failed = events.items.iter().find(|event| {
        event.reason.as_deref() == Some("FailedPostStartHook")
            && event.involved_object.name.as_ref() == Some(&name)
    });
    let failed = failed.expect("the kubelet tells it");
    assert_eq!(failed.message.as_deref(), Some("PostStartHook failed"));
}

#[test]
fn a_lab_that_is_killed_leaves_no_process() {
    let mut lab = Lab::start(5, "env: []");
    let folder = lab.folder().to_owned();
    lab.up.kill().expect("killed");
    lab.up.wait().expect("reaped");
    wait_for("end of the lab", Duration::from_secs(20), || {
        let left = processes_of(&folder);
        left.is_empty().then_some(()).ok_or_else(|| left.join("\n"))
    });
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn what_runs_inside_a_lab_ends_with_the_program_that_started_it() {
    let lab = Lab::start(5, "env: []");
    let file = lab.folder().join("followed");
    std::fs::write(&file, "").expect("a file");
    let file = file.to_string_lossy();
    // It ends with this test as well, or it would hold the pipes of whoever waits for that.
    let own = format!("--pid={}", std::process::id());
    let follow = format!("tail {own} -f {file}");
    // A Ctrl-C reaches whatever the command has started, as at a terminal.
    let shell = format!("{follow}; true");
    let cases = [
        (Signal::SIGINT, vec!["bash", "-c", &shell]),
        (Signal::SIGKILL, vec!["tail", &own, "-f", &file]),
    ];
    let patience = Duration::from_secs(20);
    let following = || {
        let mut processes = processes_of(lab.folder());
        processes.retain(|command| command.starts_with("tail"));
        processes
    };
    for (signal, words) in cases {
        let mut program = inside(lab.folder(), &words).spawn().expect("it starts");
        wait_for("command", patience, || {
            let there = !following().is_empty();
            there
                .then_some(())
                .ok_or_else(|| processes_of(lab.folder()).join("\n"))
        });
        kill(pid_of(&program), signal).expect("it is there");
        program.wait().expect("reaped");
        wait_for("end of the command", patience, || {
            let left = following();
            left.is_empty().then_some(()).ok_or_else(|| left.join("\n"))
        });
    }
}

#[test]
fn an_ordinary_users_path_is_enough_for_namespaces() {
    let permitted = namespaces::permitted(&["--net", "--mount", "--pid", "--fork"]);
    let lab = Lab::on_path("", "/usr/bin:/bin");
    assert_eq!(lab.loopback, !permitted);
}
