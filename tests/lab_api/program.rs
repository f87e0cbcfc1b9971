//! kubectl as a user runs it, and what it prints.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const PATIENCE: Duration = Duration::from_secs(60);

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
pub(crate) struct Kubectl {
    pub(crate) home: tempfile::TempDir,
}

impl Kubectl {
    /// With this kubeconfig, and a file beside it.
    pub(crate) fn new(kubeconfig: &str, file: &str, content: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config"), kubeconfig).unwrap();
        std::fs::write(home.path().join(file), content).unwrap();
        Self { home }
    }

    fn command(&self, line: &str) -> Command {
        self.at_home(program(), line)
    }

    fn at_home(&self, program: &Path, line: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(line.split_whitespace())
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("config"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn try_run(&self, line: &str) -> (bool, String) {
        Self::end_of(self.command(line)).await
    }

    /// Runs a script that finds this kubectl on its PATH.
    pub(crate) async fn try_script(&self, script: &Path, line: &str) -> (bool, String) {
        let path = std::env::var("PATH").unwrap();
        let folder = program().parent().unwrap().display();
        let mut command = self.at_home(script, line);
        command.env("PATH", format!("{folder}:{path}"));
        Self::end_of(command).await
    }

    async fn end_of(mut command: Command) -> (bool, String) {
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .unwrap_or_else(|_| panic!("{command:?} did not end"))
            .unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.success(), text.concat())
    }

    pub(crate) async fn run(&self, line: &str) -> String {
        let (success, text) = self.try_run(line).await;
        assert!(success, "`kubectl {line}` failed: {text}");
        text
    }

    /// A pod of the demo that nobody deletes: others may be gone before they can be named.
    pub(crate) async fn living_pod(&self) -> String {
        let columns = "NAME:.metadata.name,DELETED:.metadata.deletionTimestamp";
        let line = format!("get pods -l app=demo --no-headers -o custom-columns={columns}");
        let pods = self.run(&line).await;
        let living = pods.lines().find(|line| line.ends_with("<none>"));
        let living = living.unwrap_or_else(|| panic!("all are being deleted: {pods}"));
        living.split_whitespace().next().unwrap().to_owned()
    }

    /// A command that goes on, and its lines.
    pub(crate) fn follow(&self, line: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = self.command(line).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }
}

/// The first line that has all the words.
pub(crate) async fn line_with(lines: &mut Lines<BufReader<ChildStdout>>, words: &[&str]) -> String {
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
