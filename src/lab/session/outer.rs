//! How does the process outside the namespaces start a lab, serve it and end it?

use super::place::Place;
use super::{LabOrder, News, relay};
use crate::lab::api::kubeconfig;
use crate::lab::loopback;
use crate::lab::mesh;
use crate::lab::net::{NODES, node_short_name};
use crate::lab::node::program;
use crate::lab::truth;
use crate::scenario::LabPlan;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

/// How long the inside of a lab may take for its next news: it bounds its own waits.
const NEWS_PATIENCE: Duration = Duration::from_secs(300);

/// Why there is no lab.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its folder could not be made or written.
    #[error("failed to prepare the lab's folder")]
    Folder(#[source] io::Error),
    /// This program could not be started again.
    #[error("failed to start the lab's process")]
    Start(#[source] io::Error),
    /// It said why it cannot be.
    #[error("the lab could not be set up: {0}")]
    Failed(String),
    /// It ended without a word, or said nothing for too long.
    #[error("the lab has ended without a word")]
    Silent,
    /// There is no Envoy for the sidecars that are wanted.
    #[error(transparent)]
    Envoy(#[from] mesh::EnvoyError),
    /// The scenario's mesh cannot be had.
    #[error(transparent)]
    Mesh(#[from] mesh::SettingsError),
    /// Pods share this machine's network, so no sidecar can be between them.
    #[error(
        "the manifests ask for sidecars, which the lab cannot have in loopback mode: {0}\n\
         hint: run it where user namespaces are permitted, or as root outside a container"
    )]
    NoSidecars(String),
    /// The scenario sets the clock of a node that the lab does not have.
    #[error(
        "`spec.lab.clockSkew` names `{found}`, and the lab has no such node\n\
         hint: its nodes are {existing}"
    )]
    UnknownNode {
        /// What is written.
        found: String,
        /// The nodes that exist.
        existing: String,
    },
    /// No lab to run something in.
    #[error("no lab runs\nhint: start one with `lastwatch lab up`")]
    NoneRuns,
    /// It is not the folder of a lab that is up.
    #[error(
        "no lab runs in `{}`\nhint: name the folder of the kubeconfig that `lastwatch lab up` printed, \
         or leave `--lab` out",
        folder.display()
    )]
    NotUp {
        /// The folder.
        folder: PathBuf,
    },
    /// A command could not be run in it.
    #[error("failed to run `{program}` in the lab")]
    Run {
        /// The command.
        program: String,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// The scenario asks for what no lab has.
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::UnknownNode { .. } | Self::Mesh(_))
    }
}

/// Refuses a clock for a node that does not exist: it would be ignored.
fn check_nodes(plan: &LabPlan) -> Result<(), Error> {
    let known = |name: &String| (0..NODES.len()).any(|index| is_node(index, name));
    let Some(found) = plan.clock_skew.keys().find(|name| !known(name)) else {
        return Ok(());
    };
    let names = (0..NODES.len()).map(|index| format!("`{}`", node_short_name(index)));
    Err(Error::UnknownNode {
        found: found.clone(),
        existing: names.collect::<Vec<_>>().join(" and "),
    })
}

fn is_node(index: usize, name: &str) -> bool {
    name == NODES[index] || name == node_short_name(index)
}

/// How a lab keeps its pods apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In namespaces.
    Isolated,
    /// By addresses of this machine, for this reason.
    Loopback(String),
}

impl Mode {
    /// What this mode cannot show, and why the lab runs in it.
    pub fn warning(&self) -> Option<String> {
        let Self::Loopback(why) = self else {
            return None;
        };
        let moved = if loopback::may_listen(80) {
            String::new()
        } else {
            format!(
                "\nports below 1024 may not be listened on here, so a Service's port 80 is {}: \
                 scenarios that name its port (`port: http`) find it",
                80 + loopback::MOVED_BY
            )
        };
        Some(format!(
            "warning: the lab runs in loopback mode: {why}\n\
             what this mode cannot show: a connection that a pod refuses arrives as a reset (so \
             `endpoint-propagation` is consistent at most, never proved), nothing that is sent to a \
             pod that is gone vanishes, and no pod has a sidecar{moved}"
        ))
    }
}

/// What a lab is started with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Do without namespaces even where they can be had.
    pub loopback: bool,
    /// With a pod for a harness to run in: [`Session::run_inside`] enters that pod's network.
    pub client: bool,
    /// That pod has a sidecar.
    pub meshed_client: bool,
    /// The Envoy that the sidecars run; `None`: it is looked for, where sidecars are wanted.
    pub envoy: Option<PathBuf>,
}

/// The Envoy for the sidecars that are wanted, if any are.
fn envoy(plan: &LabPlan, settings: &Settings, mode: &Mode) -> Result<Option<PathBuf>, Error> {
    mesh::Settings::read(&plan.mesh)?;
    let wanted = settings.meshed_client || mesh::is_wanted(&plan.manifests);
    if !wanted {
        return Ok(None);
    }
    if let Mode::Loopback(why) = mode {
        return Err(Error::NoSidecars(why.clone()));
    }
    Ok(Some(mesh::find_envoy(settings.envoy.as_deref())?))
}

/// A lab that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct Session {
    place: Place,
    mode: Mode,
    inner: i32,
    client: Option<i32>,
    relay: JoinHandle<()>,
    news: Lines<BufReader<ChildStdout>>,
    // Closed before the process is reaped: the end of the pipe ends the lab.
    lifeline: Option<ChildStdin>,
    stage: Child,
}

impl Session {
    /// Starts a lab, applies its manifests and waits until what they ask for is there.
    pub async fn start(plan: &LabPlan, settings: &Settings) -> Result<Self, Error> {
        check_nodes(plan)?;
        if settings.loopback {
            let mode = Mode::Loopback("it was asked for".to_owned());
            return Self::launch(plan, settings, mode).await;
        }
        match Self::launch(plan, settings, Mode::Isolated).await {
            Err(Error::Failed(text)) if text.starts_with(FORBIDDEN) => {
                let why = text[FORBIDDEN.len()..].to_owned();
                Self::launch(plan, settings, Mode::Loopback(why)).await
            }
            other => other,
        }
    }

    async fn launch(plan: &LabPlan, settings: &Settings, mode: Mode) -> Result<Self, Error> {
        let place = Place::new().map_err(Error::Folder)?;
        let order = LabOrder {
            plan: plan.clone(),
            isolated: mode == Mode::Isolated,
            client: settings.client,
            meshed_client: settings.meshed_client,
            envoy: envoy(plan, settings, &mode)?,
        };
        let text = serde_json::to_vec(&order).expect("an order is plain data");
        std::fs::write(place.path().join("order.json"), text).map_err(Error::Folder)?;
        let mut command = Command::new(program());
        command.args(["lab", "stage"]).arg(place.path());
        if !order.isolated {
            command.arg("--loopback");
        }
        let mut stage = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the harness first: the lab must be there while it restores.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::Start)?;
        let lifeline = stage.stdin.take();
        let stdout = stage.stdout.take().expect("stdout is a pipe");
        let mut news = BufReader::new(stdout).lines();
        let (mut inner, mut relay) = (0, None);
        let client = loop {
            match next(&mut news).await? {
                News::Inner { pid } => inner = pid,
                News::Serving {
                    address,
                    token,
                    certificate,
                } => {
                    let pass = |address| kubeconfig(address, &certificate, &token);
                    relay = Some(open_relay(place.path(), address, pass).await?);
                }
                News::Forbidden { text } => {
                    return Err(Error::Failed(format!("{FORBIDDEN}{text}")));
                }
                News::Failed { text } => return Err(Error::Failed(text)),
                News::Ready { client } => break client,
            }
        };
        Ok(Self {
            place,
            mode,
            inner,
            client,
            relay: relay.ok_or(Error::Silent)?,
            news,
            lifeline,
            stage,
        })
    }

    /// How it keeps its pods apart.
    pub const fn mode(&self) -> &Mode {
        &self.mode
    }

    /// The kubeconfig for programs outside the lab's network.
    pub fn kubeconfig(&self) -> PathBuf {
        self.place.path().join("kubeconfig")
    }

    /// The kubeconfig for programs inside.
    pub fn kubeconfig_inside(&self) -> PathBuf {
        self.place.path().join("kubeconfig-inside")
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.place.path()
    }

    /// Writes its record of what really happened to a file.
    pub fn write_truth(&self, to: &Path) -> io::Result<()> {
        let truth = truth::gather(&self.place.path().join("truth.jsonl"))?;
        std::fs::write(to, truth)
    }

    /// The inside's first process, and the client's as the inside counts it.
    pub(super) const fn processes(&self) -> (i32, Option<i32>) {
        (self.inner, self.client)
    }

    /// Comes back when the lab ends by itself, with what it said.
    pub async fn ended(&mut self) -> Error {
        loop {
            match self.news.next_line().await {
                Ok(Some(line)) => match serde_json::from_str(&line) {
                    Ok(News::Failed { text }) => return Error::Failed(text),
                    _ => continue,
                },
                _ => return Error::Silent,
            }
        }
    }

    /// Ends the lab and everything in it.
    pub async fn stop(mut self) {
        self.relay.abort();
        drop(self.lifeline.take());
        let _ = tokio::time::timeout(Duration::from_secs(10), self.stage.wait()).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

/// How a failure begins that loopback mode can make good.
const FORBIDDEN: &str = "namespaces are not permitted here: ";

async fn next(news: &mut Lines<BufReader<ChildStdout>>) -> Result<News, Error> {
    let line = tokio::time::timeout(NEWS_PATIENCE, news.next_line()).await;
    match line {
        Ok(Ok(Some(line))) => serde_json::from_str(&line).map_err(|_| Error::Silent),
        _ => Err(Error::Silent),
    }
}

/// Writes both kubeconfigs and starts the relay for programs outside.
async fn open_relay(
    folder: &Path,
    inside: SocketAddr,
    pass: impl Fn(SocketAddr) -> String,
) -> Result<JoinHandle<()>, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(Error::Folder)?;
    let outside = listener.local_addr().map_err(Error::Folder)?;
    for (file, address) in [("kubeconfig-inside", inside), ("kubeconfig", outside)] {
        std::fs::write(folder.join(file), pass(address)).map_err(Error::Folder)?;
    }
    let socket = folder.join("api.sock");
    Ok(tokio::spawn(async move {
        if let Err(error) = relay::outside(listener, socket).await {
            tracing::warn!(%error, "the lab's API cannot be reached from outside any more");
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_a_node_that_does_not_exist_is_refused_with_those_that_do() {
        let skewed = |name: &str| LabPlan {
            clock_skew: [(name.to_owned(), 3.0)].into(),
            ..LabPlan::default()
        };
        for name in ["node1", NODES[1]] {
            check_nodes(&skewed(name)).expect("it exists");
        }
        let error = check_nodes(&skewed("node3")).expect_err("there are two");
        assert!(error.is_usage());
        let text = error.to_string();
        assert!(text.contains("names `node3`"), "{text}");
        assert!(
            text.contains("hint: its nodes are `node1` and `node2`"),
            "{text}"
        );
    }
}
