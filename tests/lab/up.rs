//! A lab that is up, and ends with the test.

use super::come_up::come_up;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

pub(crate) struct Up {
    child: Child,
    kubeconfig: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Up {
    fn drop(&mut self) {
        // The lab ends with the program that started it, however that ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Up {
    /// Starts a lab with these manifests, set up as the `lab` of a scenario says; `None`: it has no
    /// namespaces, and what it shows is not what a cluster shows.
    #[expect(clippy::print_stdout, reason = "a test that compares nothing says so")]
    pub(crate) fn start(manifests: &str, mut lab: Value) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = folder.path().join("manifests.yaml");
        std::fs::write(&manifest, manifests).expect("a file");
        lab["manifests"] = json!([manifest]);
        let scenario = json!({
            "apiVersion": "lastwatch.dev/v1alpha1",
            "kind": "Scenario",
            "metadata": {"name": "practice"},
            "spec": {
                "target": {"workload": "deployment/demo", "service": "demo", "port": 80},
                "load": {"rate": "1/s", "requests": [{"name": "fast", "path": "/"}]},
                "steps": [{"wait": "1s"}],
                "lab": lab,
            },
        });
        let path = folder.path().join("scenario.yaml");
        // A YAML document may be written as JSON.
        std::fs::write(&path, scenario.to_string()).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastwatch"));
        let (child, kubeconfig) = come_up(command.args(["lab", "up", "--scenario"]).arg(&path));
        let up = Self {
            child,
            kubeconfig,
            _folder: folder,
        };
        let order = std::fs::read_to_string(up.folder().join("order.json")).expect("an order");
        if order.contains("\"isolated\":true") {
            return Some(up);
        }
        // Set by `scripts/test` where it has found namespaces permitted.
        let demanded = std::env::var_os("LASTWATCH_TEST_NAMESPACES").is_some();
        assert!(!demanded, "the lab runs in loopback mode: {order}");
        println!("not compared: the lab has no namespaces here");
        None
    }

    /// The lab's own folder.
    pub(crate) fn folder(&self) -> &Path {
        self.kubeconfig.parent().expect("a folder")
    }

    /// A client of its API.
    pub(crate) async fn client(&self) -> kube::Client {
        let config = kube::config::Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(config, &options).await;
        kube::Client::try_from(config.expect("a config")).expect("a client")
    }
}
