//! Holds the Roles of `manifests/cluster/` against what a run really asks of the API server: the lab
//! writes down each request.

#![expect(
    clippy::unwrap_used,
    reason = "a panic in a test's helper is the failure report, too"
)]

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lastwatch");

/// A run with each step that a Role grants something for; how it ends is of no interest here.
const SCENARIO: &str = "
apiVersion: lastwatch.dev/v1alpha1
kind: Scenario
metadata: {name: rights}
spec:
  target: {workload: deployment/demo, service: demo, port: 80}
  load:
    rate: 20/s
    requests: [{path: /, timeout: 2s}]
    baseline: 1s
    settle: 1s
  steps:
    - rollingRestart: {}
    - scale: {to: 2}
    - deletePod: {pods: 1}
    - evict: {pods: 1}
";

/// A lab that is up; it ends with the test.
struct Lab {
    process: Child,
    kubeconfig: PathBuf,
}

impl Lab {
    fn up(manifest: &str) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(["lab", "up", "--manifests", manifest])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        if line.is_empty() {
            let mut told = String::new();
            let mut stderr = process.stderr.take().unwrap();
            stderr.read_to_string(&mut told).unwrap();
            panic!("the lab did not come up: {told}");
        }
        Self {
            process,
            kubeconfig: PathBuf::from(line.trim_end()),
        }
    }

    async fn requests(&self) -> Vec<Value> {
        let config = kube::config::Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(config, &options)
            .await
            .unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let request = http::Request::get("/lab/requests")
            .body(Vec::new())
            .unwrap();
        let answer: Value = client.request(request).await.unwrap();
        answer["requests"].as_array().unwrap().clone()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

/// `group/resource verb` of a request, where it is one that a Role is needed for.
fn asked(request: &Value) -> Option<String> {
    let text = |key: &str| request[key].as_str().unwrap_or_default();
    let resource = match text("subresource") {
        "" => text("resource").to_owned(),
        subresource => format!("{}/{subresource}", text("resource")),
    };
    // Everybody may ask what he may do.
    (!resource.is_empty() && resource != "selfsubjectaccessreviews")
        .then(|| format!("{}/{resource} {}", text("group"), text("verb")))
}

fn granted(path: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(path)).unwrap();
    let mut granted = BTreeSet::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let document: Value = serde::Deserialize::deserialize(document).unwrap();
        let rules: Option<Vec<PolicyRule>> =
            serde_json::from_value(document["rules"].clone()).unwrap();
        for rule in rules.unwrap_or_default() {
            for group in rule.api_groups.iter().flatten() {
                for resource in rule.resources.iter().flatten() {
                    for verb in &rule.verbs {
                        granted.insert(format!("{group}/{resource} {verb}"));
                    }
                }
            }
        }
    }
    granted
}

#[tokio::test]
async fn a_run_asks_for_exactly_what_the_roles_grant() {
    let lab = Lab::up("manifests/demo/no-prestop.yaml");
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("rights.yaml");
    std::fs::write(&scenario, SCENARIO).unwrap();
    let before = lab.requests().await.len();
    let run = Command::new(PROGRAM)
        .args(["lab", "exec", "--lab"])
        .arg(lab.kubeconfig.parent().unwrap())
        .args(["--", PROGRAM, "run"])
        .arg(&scenario)
        .args(["--yes", "--out"])
        .arg(folder.path().join("run"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.code().is_some_and(|code| code <= 2),
        "the run had no verdict: {told}"
    );

    let requests = lab.requests().await;
    let requests = &requests[before..];
    let of = |outside: bool| -> BTreeSet<String> {
        requests
            .iter()
            .filter(|request| (request["namespace"] != "default") == outside)
            .filter_map(asked)
            .collect()
    };
    assert_eq!(of(false), granted("manifests/cluster/rbac.yaml"), "{told}");
    assert_eq!(of(true), granted("manifests/cluster/nodes.yaml"), "{told}");
}
