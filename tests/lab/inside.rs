//! Commands inside a lab.

use std::path::Path;
use std::process::{Command, Stdio};

/// A command that will run in the network of the lab of this folder, as a program on its first node.
pub(crate) fn inside(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastwatch"));
    command.args(["lab", "exec", "--lab"]).arg(folder);
    command.arg("--").args(words).stdin(Stdio::null());
    command
}
