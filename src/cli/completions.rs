//! How does a shell complete our commands?

use super::{Exit, Printer};
use clap::Command;
use clap_complete::Shell;

/// The arguments of `lastwatch completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// `lastwatch completions SHELL`: prints the completion script of `command`.
pub(super) fn run(args: &CompletionsArgs, mut command: Command, printer: Printer) -> Exit {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    printer.data(&String::from_utf8_lossy(&script));
    Exit::Pass
}
