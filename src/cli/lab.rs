//! `lastwatch lab`: a cluster to practise on.

use crate::lab;
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with the embedded lab.
#[derive(Debug, Subcommand)]
pub(super) enum LabCommand {
    /// The test app, as a container of the image `lastwatch/lab-app` runs it.
    #[command(hide = true)]
    App,
}

/// Carries out a `lab` command.
pub(super) fn main(command: LabCommand) -> ExitCode {
    match command {
        LabCommand::App => lab::app::main(),
    }
}
