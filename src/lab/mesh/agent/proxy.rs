//! How is Envoy started, and how is it ended?

use super::log::AgentLog;
use super::options::Options;
use crate::lab::mesh::xds;
use crate::lab::truth::Witness;
use std::io;
use std::process::{ExitStatus, Stdio};
use tokio::process::{Child, Command};

/// The agent's Envoy.
#[derive(Debug)]
pub(super) struct Envoy {
    child: Child,
    witness: Witness,
}

impl Envoy {
    /// Starts it; what it writes goes where the agent's own lines go.
    pub(super) fn start(options: &Options, log: &AgentLog) -> io::Result<Self> {
        let config = options.dir.join("envoy-rev.json");
        let cluster = format!("{}.{}", options.workload, options.namespace);
        let bootstrap = xds::bootstrap(&options.node(), &cluster, &options.dir, &options.stats);
        std::fs::write(&config, bootstrap.to_string())?;
        log.info("Starting proxy agent");
        let arguments = xds::command(&config, options.drain.envoy.as_secs());
        log.info(&format!("Envoy command: [{}]", arguments.join(" ")));
        let child = Command::new(&options.envoy)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        log.scoped(
            "info",
            "xdsproxy",
            "connected to delta upstream XDS server: istiod.istio-system.svc:15012\tid=1",
        );
        let witness = options.witness.clone();
        Ok(Self { child, witness })
    }

    /// Its end, by itself or by another's hand.
    pub(super) async fn wait(&mut self) -> String {
        match self.reap().await {
            Ok(status) => describe(status),
            Err(error) => error.to_string(),
        }
    }

    /// SIGKILL, as pilot-agent does it: what Envoy has not flushed is lost.
    pub(super) async fn kill(&mut self) -> io::Result<()> {
        self.child.start_kill()?;
        self.reap().await.map(|_| ())
    }

    async fn reap(&mut self) -> io::Result<ExitStatus> {
        let ended = self.child.wait().await;
        self.witness.proxy_ended();
        ended
    }
}

/// A process's end as Go words it.
fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => String::new(),
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "signal: killed".to_owned(),
        (None, Some(11)) => "signal: segmentation fault".to_owned(),
        (None, Some(6)) => "signal: aborted".to_owned(),
        (None, Some(15)) => "signal: terminated".to_owned(),
        (None, signal) => format!("signal: signal {}", signal.unwrap_or_default()),
    }
}
