//! `lastwatch lab agent`: what runs in the lab's sidecars.

use crate::lab::mesh;
use clap::Subcommand;
use std::process::ExitCode;

/// The parts of pilot-agent.
#[derive(Debug, Subcommand)]
pub(super) enum AgentCommand {
    /// PID 1 of `istio-proxy`.
    Proxy,
    /// The redirect, as `istio-init` installs it.
    Redirect,
    /// Asks the agent of the own pod, as `pilot-agent request` does.
    Request {
        /// HTTP method.
        method: String,
        /// `drain` or `quitquitquit`.
        path: String,
    },
    /// Waits until the proxy of the own pod is ready, as `pilot-agent wait` does.
    Wait,
}

/// Runs one of them.
pub(super) fn main(command: &AgentCommand) -> ExitCode {
    match command {
        AgentCommand::Proxy => mesh::agent_main(),
        AgentCommand::Redirect => mesh::redirect_main(),
        AgentCommand::Request { method, path } => mesh::agent_request(method, path),
        AgentCommand::Wait => mesh::agent_wait(),
    }
}
