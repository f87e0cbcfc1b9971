//! The lab's API server through the real kubectl.

use super::cluster::Practice;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const PATIENCE: Duration = Duration::from_secs(60);

const MANIFEST: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: demo}}
  template:
    metadata: {labels: {app: demo}}
    spec:
      containers:
      - name: app
        image: lastwatch/lab-app:1
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: demo}
spec:
  selector: {app: demo}
  ports: [{name: http, port: 80, targetPort: http}]
";

/// The program, fetched once for all tests.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let output = std::process::Command::new("scripts/get-kubectl")
            .stderr(Stdio::inherit())
            .output()
            .expect("scripts/get-kubectl starts");
        assert!(
            output.status.success(),
            "no kubectl: scripts/get-kubectl says why above"
        );
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

/// kubectl with a home of its own.
struct Kubectl {
    home: tempfile::TempDir,
}

impl Kubectl {
    fn new(practice: &Practice) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = practice.kubeconfig(&practice.admin);
        std::fs::write(home.path().join("config"), config).unwrap();
        std::fs::write(home.path().join("demo.yaml"), MANIFEST).unwrap();
        Self { home }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(program());
        command
            .args(line.split_whitespace())
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("config"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn try_run(&self, line: &str) -> (bool, String) {
        let output = tokio::time::timeout(PATIENCE, self.command(line).output())
            .await
            .unwrap_or_else(|_| panic!("`kubectl {line}` did not end"))
            .unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.success(), text.concat())
    }

    async fn run(&self, line: &str) -> String {
        let (success, text) = self.try_run(line).await;
        assert!(success, "`kubectl {line}` failed: {text}");
        text
    }

    /// A command that goes on, and its lines.
    fn follow(&self, line: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = self.command(line).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }
}

/// The first line that has all the words.
async fn line_with(lines: &mut Lines<BufReader<ChildStdout>>, words: &[&str]) -> String {
    let mut seen = Vec::new();
    let read = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if words.iter().all(|word| line.contains(word)) {
                return Some(line);
            }
            seen.push(line);
        }
        None
    };
    let found = tokio::time::timeout(PATIENCE, read).await.ok().flatten();
    found.unwrap_or_else(|| panic!("no line with {words:?} in {seen:#?}"))
}

#[tokio::test]
async fn kubectl_applies_shows_follows_restarts_scales_and_deletes() {
    let practice = Practice::start().await;
    let kubectl = Kubectl::new(&practice);
    let applied = kubectl.run("apply -f demo.yaml").await;
    assert!(
        applied.contains("deployment.apps/demo created"),
        "{applied}"
    );
    assert!(applied.contains("service/demo created"), "{applied}");
    kubectl
        .run("rollout status deployment/demo --timeout=50s")
        .await;
    let again = kubectl.run("apply -f demo.yaml").await;
    assert!(again.contains("deployment.apps/demo unchanged"), "{again}");

    let wide = kubectl.run("get pods -o wide").await;
    let header: Vec<&str> = wide
        .lines()
        .next()
        .unwrap()
        .split("  ")
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    assert_eq!(
        header,
        [
            "NAME",
            "READY",
            "STATUS",
            "RESTARTS",
            "AGE",
            "IP",
            "NODE",
            "NOMINATED NODE",
            "READINESS GATES"
        ]
    );
    assert_eq!(
        wide.lines()
            .filter(|line| line.contains("1/1")
                && line.contains("Running")
                && line.contains("10.244.0."))
            .count(),
        2,
        "{wide}"
    );
    let nodes: Vec<bool> = ["node1", "node2"].map(|node| wide.contains(node)).into();
    assert_eq!(nodes, [true, true], "spread: {wide}");
    assert!(kubectl.run("get deployments").await.contains("2/2"));
    assert!(kubectl.run("get nodes").await.contains("Ready"));

    let pod = wide
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    let (_logs, mut lines) = kubectl.follow(&format!("logs -f --timestamps {pod}"));
    let line = line_with(&mut lines, &["first of"]).await;
    assert!(
        line.starts_with("2026-01-02T03:04:05.000000001Z "),
        "{line}"
    );

    let (_watch, mut changes) = kubectl.follow("get pods -w");
    line_with(&mut changes, &["NAME", "STATUS"]).await;
    kubectl.run("rollout restart deployment/demo").await;
    line_with(&mut changes, &[&pod, "Terminating"]).await;
    let status = kubectl
        .run("rollout status deployment/demo --timeout=50s")
        .await;
    assert!(status.contains("successfully rolled out"), "{status}");
    assert!(
        kubectl
            .run("rollout history deployment/demo")
            .await
            .contains('2')
    );

    assert!(
        kubectl
            .run("scale deployment/demo --replicas=3")
            .await
            .contains("scaled")
    );
    kubectl
        .run("wait --for=jsonpath={.status.readyReplicas}=3 deployment/demo --timeout=50s")
        .await;
    let names = kubectl.run("get pods -l app=demo -o name").await;
    let victim = names.lines().next().unwrap().to_owned();
    assert!(
        kubectl
            .run(&format!("delete {victim} --timeout=50s"))
            .await
            .contains("deleted")
    );
    let (found, text) = kubectl.try_run(&format!("get {victim}")).await;
    assert!(!found && text.contains("NotFound"), "{text}");

    let events = kubectl.run("get events").await;
    for words in [
        "LAST SEEN",
        "Successfully assigned default/",
        "Scaled up replica set demo-",
        "SuccessfulDelete",
    ] {
        assert!(events.contains(words), "{words} is not in {events}");
    }
    assert!(
        kubectl
            .run("events --for deployment/demo")
            .await
            .contains("ScalingReplicaSet")
    );
    practice.stop().await;
}

#[tokio::test]
async fn kubectl_patches_edits_and_is_told_what_is_wrong() {
    let practice = Practice::start().await;
    let kubectl = Kubectl::new(&practice);
    kubectl.run("apply --server-side -f demo.yaml").await;
    kubectl
        .run("rollout status deployment/demo --timeout=50s")
        .await;
    assert!(
        kubectl
            .run("set image deployment/demo app=lastwatch/lab-app:2")
            .await
            .contains("image updated")
    );
    assert!(
        kubectl
            .run("get deployment demo -o jsonpath={.spec.template.spec.containers[0].image}")
            .await
            .contains("lab-app:2")
    );
    assert!(
        kubectl
            .run("rollout undo deployment/demo")
            .await
            .contains("rolled back")
    );
    kubectl.run("annotate deployment demo note=x").await;
    kubectl.run("label pods -l app=demo extra=y").await;
    assert!(
        kubectl
            .run("describe deployment demo")
            .await
            .contains("StrategyType:")
    );
    let names = kubectl.run("get pods -l extra=y -o name").await;
    let pod = names.lines().next().unwrap();
    let pods = kubectl.run(&format!("describe {pod}")).await;
    assert!(pods.contains("Successfully assigned"), "{pods}");
    assert!(
        kubectl
            .run("describe service demo")
            .await
            .contains("Endpoints:")
    );
    assert!(
        kubectl
            .run("get all")
            .await
            .contains("replicaset.apps/demo-")
    );
    assert!(kubectl.run("auth can-i delete pods").await.contains("yes"));
    assert!(
        kubectl
            .run("api-resources")
            .await
            .contains("endpointslices")
    );
    assert!(kubectl.run("cordon node1").await.contains("cordoned"));
    assert!(
        kubectl
            .run("get nodes")
            .await
            .contains("SchedulingDisabled")
    );
    assert!(
        kubectl
            .run("drain node1 --timeout=50s --force")
            .await
            .contains("drained")
    );
    kubectl
        .run("create configmap settings --from-literal=a=1")
        .await;
    assert!(
        kubectl
            .run("get configmap settings -o yaml")
            .await
            .contains("a: \"1\"")
    );
    assert!(
        kubectl
            .run("create token default")
            .await
            .starts_with("lab-")
    );

    let bad = MANIFEST.replace("periodSeconds", "periodMoments");
    std::fs::write(kubectl.home.path().join("bad.yaml"), bad).unwrap();
    let (success, text) = kubectl.try_run("apply -f bad.yaml").await;
    assert!(
        !success
            && text.contains(
                "unknown field \"spec.template.spec.containers[0].readinessProbe.periodMoments\""
            ),
        "{text}"
    );
    let (success, text) = kubectl.try_run("get pod nobody").await;
    assert!(
        !success && text.contains("pods \"nobody\" not found"),
        "{text}"
    );
    assert!(kubectl.run("delete -f demo.yaml").await.contains("deleted"));
    kubectl
        .run("wait --for=delete pods -l app=demo --timeout=50s")
        .await;
    practice.stop().await;
}
