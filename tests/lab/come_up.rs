//! The start of `lastwatch lab up`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Starts a lab by this command and waits until it is up; gives its kubeconfig as well, which is in
/// the lab's own folder.
pub(crate) fn come_up(command: &mut Command) -> (Child, PathBuf) {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let kubeconfig = PathBuf::from(line.trim());
    assert!(kubeconfig.exists(), "the lab did not come up");
    (child, kubeconfig)
}
