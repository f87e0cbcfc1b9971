//! Commands inside a lab.

use super::up::{PROGRAM, Up};
use std::process::{Command, Stdio};

/// A command that will run in the lab's network, as a program on the first node.
pub(crate) fn inside(up: &Up, words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["lab", "exec", "--lab"]).arg(up.folder());
    command.arg("--").args(words).stdin(Stdio::null());
    command
}
