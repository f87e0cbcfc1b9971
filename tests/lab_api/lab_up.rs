//! The whole lab, as `lastwatch lab up` starts it, through kubectl.

use super::program::{Kubectl, line_with};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const PATIENCE: Duration = Duration::from_secs(150);

/// A lab that is up.
pub(crate) struct Up {
    child: Child,
    pub(crate) kubectl: Kubectl,
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Up {
    pub(crate) async fn start(manifest: &str) -> Self {
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
    pub(crate) async fn stop(mut self) {
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
