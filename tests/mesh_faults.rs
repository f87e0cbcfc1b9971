//! What if the mesh itself fails: an Envoy that cannot start or crashes, an access log that tells
//! nothing, a pod without a redirect? Said clearly, and never a PASS on a gate that needed it.
//!
//! Each test needs an Envoy (`scripts/get-envoy`). Where namespaces are not permitted there is no
//! mesh, and the test says so.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a panic is the failure report")]

#[path = "lab/meshed.rs"]
mod meshed;
#[path = "lab/record.rs"]
mod record;
#[path = "lab/shown.rs"]
mod shown;
#[path = "lab/wait.rs"]
mod wait;

use serde_json::Value;
use shown::shown;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use wait::wait_for;

/// A Deployment of two injected pods whose app serves on for as long as its endpoint may be in
/// somebody's routes.
const MANIFEST: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: demo}}
  template:
    metadata: {labels: {app: demo, sidecar.istio.io/inject: "true"}}
    spec:
      containers:
        - name: app
          image: lastwatch/lab-app
          ports: [{name: http, containerPort: 8080}]
          lifecycle: {preStop: {sleep: {seconds: 3}}}
          readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: demo}
spec: {selector: {app: demo}, ports: [{name: http, port: 80, targetPort: http}]}
"#;

/// A container that has taken Envoy's admin port before Envoy starts.
const THIEF: &str =
    "        - {name: thief, image: lastwatch/lab-app, env: [{name: PORT, value: '15000'}]}\n";

const SCENARIO: &str = "
apiVersion: lastwatch.dev/v1alpha1
kind: Scenario
metadata: {name: mesh-fault}
spec:
  target: {workload: deployment/demo, service: demo, port: 80}
  load:
    rate: 100/s
    requests: [{name: fast, path: /, timeout: 4s}]
    baseline: 2s
    settle: 3s
  steps: STEPS
  observe: {logs: [istio-proxy]}
  gates: {minExposure: 1, MORE}
  lab:
    manifests: [demo.yaml]
    mesh: MESH
";

/// What is to be run, in a folder of its own.
struct Bed {
    folder: tempfile::TempDir,
    envoy: PathBuf,
}

impl Bed {
    /// `None`: there is no mesh here.
    fn new(manifest: &str, steps: &str, more: &str, mesh: &str) -> Option<Self> {
        let envoy = meshed::envoy()?;
        let folder = tempfile::tempdir().unwrap();
        let scenario = SCENARIO.replace("STEPS", steps);
        let scenario = scenario.replace("MORE", more).replace("MESH", mesh);
        std::fs::write(folder.path().join("scenario.yaml"), scenario).unwrap();
        std::fs::write(folder.path().join("demo.yaml"), manifest).unwrap();
        Some(Self { folder, envoy })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program of these shell lines.
    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn command(&self, envoy: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastwatch"));
        command
            .arg("run")
            .arg(self.path("scenario.yaml"))
            .args(["--lab", "--envoy"])
            .arg(envoy)
            .arg("--out")
            .arg(self.path("run"));
        command
    }

    fn run(&self) -> (i32, String) {
        told(&self.command(&self.envoy).output().unwrap())
    }

    fn events(&self) -> Vec<Value> {
        record::events(&self.path("run"))
    }

    fn report(&self) -> Value {
        record::report(&self.path("run"))
    }
}

fn told(output: &Output) -> (i32, String) {
    let text = shown(output);
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code().unwrap(), text)
}

const RESTART: &str = "[{rollingRestart: {}}]";

fn disturbed(events: &[Value]) -> bool {
    events
        .iter()
        .any(|event| event["kind"]["phase"] == "disruption")
}

#[test]
fn an_envoy_that_does_not_run_is_told_with_its_last_words() {
    let Some(bed) = Bed::new(MANIFEST, RESTART, "", "{}") else {
        return;
    };
    let bad = bed.program("envoy", "echo 'wrong ELF class' >&2; exit 1");
    let (code, text) = told(&bed.command(&bad).output().unwrap());
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("`istio-proxy` of pod `demo-"), "{text}");
    // What Envoy itself wrote comes through another pipe, and may be logged long before.
    assert!(
        text.contains("Envoy exited with error: exit status 1"),
        "{text}"
    );
}

#[test]
fn an_envoy_whose_port_is_taken_is_told_with_its_last_words() {
    let app = "        - name: app\n";
    let manifest = MANIFEST.replace(app, &format!("{THIEF}{app}"));
    let Some(bed) = Bed::new(&manifest, RESTART, "", "{}") else {
        return;
    };
    let (code, text) = bed.run();
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("`istio-proxy` of pod `demo-"), "{text}");
    assert!(
        text.contains("Envoy exited with error: exit status 1"),
        "{text}"
    );
}

#[test]
fn a_pod_that_may_not_redirect_its_traffic_is_told() {
    let Some(bed) = Bed::new(MANIFEST, RESTART, "", "{}") else {
        return;
    };
    // As a container without NET_ADMIN meets it; the lab's own rules are let pass.
    let script = "case \"$*\" in *15006*) echo 'Operation not permitted' >&2; exit 1;; esac\n\
                  PATH=${PATH#*:}:/usr/sbin:/sbin exec nft \"$@\"";
    bed.program("nft", script);
    let path = std::env::var("PATH").unwrap();
    let mut command = bed.command(&bed.envoy);
    command.env("PATH", format!("{}:{path}", bed.folder.path().display()));
    let (code, text) = told(&command.output().unwrap());
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("`istio-init` of pod `demo-"), "{text}");
    assert!(
        text.contains("failed to redirect the pod's traffic: Operation not permitted"),
        "{text}"
    );
}

#[test]
fn an_access_log_without_request_ids_stops_a_run_that_needs_it_before_it_disturbs_anything() {
    for (mesh, words) in [
        (
            "{accessLogFormat: '[%START_TIME%] %REQ(:METHOD)% %RESPONSE_CODE%'}",
            "does its format name the request's id (`%REQ(X-REQUEST-ID)%`)?",
        ),
        (
            "{accessLog: false}",
            "`meshConfig.accessLogFile: /dev/stdout`",
        ),
    ] {
        let Some(bed) = Bed::new(MANIFEST, RESTART, "", mesh) else {
            return;
        };
        let (code, text) = bed.run();
        assert_eq!(code, 2, "{text}");
        assert!(
            text.contains("0 of 10 were found in the logs of `istio-proxy`"),
            "{text}"
        );
        assert!(text.contains(words), "{text}");
        assert!(text.contains("nothing was disturbed"), "{text}");
        let events = bed.events();
        assert!(!events.is_empty() && !disturbed(&events), "{text}");
    }
}

#[test]
fn a_log_in_an_unknown_format_is_blindness_and_no_pass_on_a_gate_that_reads_it() {
    let mesh = "{accessLogFormat: 'what %REQ(X-REQUEST-ID)% came to: %RESPONSE_CODE%'}";
    let Some(bed) = Bed::new(MANIFEST, RESTART, "maxMasked: 0", mesh) else {
        return;
    };
    let (code, text) = bed.run();
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("declare it with `spec.observe.accessLogFormat`"),
        "{text}"
    );
    let report = bed.report();
    let gates = report["gates"].as_array().unwrap();
    let masked = gates
        .iter()
        .find(|gate| gate["name"] == "maxMasked")
        .unwrap();
    assert_eq!(masked["status"], "inconclusive", "{text}");
    assert_eq!(
        masked["missing"],
        serde_json::json!(["access logs"]),
        "{text}"
    );
    let blind = report["blindness"].as_array().unwrap();
    assert!(
        blind
            .iter()
            .any(|blind| blind["what"] == "access-log-format"),
        "{text}"
    );
}

#[test]
fn a_sidecar_that_crashes_in_mid_run_is_a_crash_and_no_rollouts_fault() {
    let Some(bed) = Bed::new(MANIFEST, "[{wait: 8s}]", "", "{}") else {
        return;
    };
    // One Envoy ends itself by a signal when the file is there, for which it looks two minutes.
    let (once, now) = (bed.path("once"), bed.path("now"));
    let script = format!(
        "if mkdir {once} 2>/dev/null; then\n\
         (for _ in $(seq 1200); do [ -e {now} ] && kill -KILL $$ && break; sleep 0.1; done) &\n\
         fi\nexec {envoy} \"$@\"",
        once = once.display(),
        now = now.display(),
        envoy = bed.envoy.display()
    );
    let fragile = bed.program("envoy", &script);
    let mut command = bed.command(&fragile);
    let running = std::thread::spawn(move || command.output().unwrap());
    wait_for("disruption", Duration::from_secs(120), || {
        let events = bed.events();
        disturbed(&events)
            .then_some(())
            .ok_or_else(|| format!("{:?}", events.last()))
    });
    std::fs::write(now, "").unwrap();
    let (code, text) = told(&running.join().unwrap());
    assert_eq!(code, 1, "requests were dropped: {text}");
    let report = bed.report();
    let causes = report["causes"].as_array().unwrap();
    assert_eq!(causes[0]["cause"], "container-crashed", "{text}");
    let crashed = report["pods"].as_array().unwrap();
    assert_eq!(crashed.len(), 1, "{text}");
}
