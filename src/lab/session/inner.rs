//! What runs inside a lab?

use super::stage::tell;
use super::{LabOrder, News, apply, relay, settled};
use crate::lab::api::{Api, Server, User};
use crate::lab::controllers;
use crate::lab::loopback::{Block, Relay};
use crate::lab::mesh;
use crate::lab::net::{Fabric, NODE_ADDRESSES, NODES, node_short_name};
use crate::lab::node::{self, ApiAccess, Host, LogBook, Network, NodeClock, Recorder};
use crate::lab::proxy::{self, Dataplane};
use crate::lab::store::Store;
use crate::lab::truth::{self, Fact, Truth};
use crate::task::Scope;
use nix::mount::{MsFlags, mount};
use std::error::Error;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The port of the API server inside.
const API_PORT: u16 = 6443;

/// Runs the inside of the lab whose folder this is, until the outside ends.
pub(crate) fn main(folder: &Path) -> ExitCode {
    std::thread::spawn(|| {
        // The outside never writes: the end of the stream is its end. Everything in the lab's
        // process namespace ends with this process.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(folder)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = crate::error::Chain(error.as_ref()).to_string();
            tell(&News::Failed { text });
            ExitCode::FAILURE
        }
    }
}

type Fallible<T> = Result<T, Box<dyn Error + 'static>>;

async fn run(folder: &Path) -> Fallible<()> {
    let order: LabOrder = serde_json::from_slice(&std::fs::read(folder.join("order.json"))?)?;
    let network = if order.isolated {
        match set_up_network() {
            Ok(network) => network,
            Err(error) => {
                let text = crate::error::Chain(error.as_ref()).to_string();
                tell(&News::Forbidden { text });
                return Ok(());
            }
        }
    } else {
        Network::Loopback(Arc::new(Block::claim()?))
    };
    let store = Store::new();
    let logs = LogBook::default();
    let truth = Truth::create(&folder.join("truth.jsonl"))?;
    let api = Api::new(Arc::clone(&store), logs.clone());
    let token = api.issue_token(User::admin());
    let (ip, port) = if order.isolated {
        (NODE_ADDRESSES[0], API_PORT)
    } else {
        (Ipv4Addr::LOCALHOST, 0)
    };
    let server = Server::bind(Arc::clone(&api), SocketAddr::new(IpAddr::V4(ip), port)).await?;
    let address = server.address();
    let certificate = server.certificate();
    let access = ApiAccess {
        api,
        address,
        certificate: certificate.clone(),
    };
    let stop = CancellationToken::new();
    let mut scope = Scope::new(&stop);
    let serving = stop.clone();
    scope.spawn(
        "api",
        async move { failing("api", server.run(serving).await) },
    );
    let socket = folder.join("api.sock");
    scope.spawn("relay", async move {
        failing("relay", relay::inside(&socket, address).await)
    });
    controllers::start(&store, &mut scope);
    tell(&News::Serving {
        address,
        token,
        certificate,
    });
    let bin = link_program(folder, order.isolated)?;
    let parts = Parts {
        order: &order,
        network: &network,
        store: &store,
        logs: &logs,
        truth: &truth,
        folder,
        bin: &bin,
        access: &access,
    };
    for index in 0..NODES.len() {
        parts.start_node(index, &mut scope)?;
    }
    if let Some(envoy) = &order.envoy {
        parts.start_mesh(envoy, &mut scope)?;
    }
    tokio::select! {
        ended = scope.join() => ended?,
        result = set_up(&parts) => {
            let client = result?;
            tell(&News::Ready { client });
            scope.join().await?;
        }
    }
    Err("the lab has ended by itself".into())
}

/// Says why a part of the lab has ended, which none of them should.
fn failing<E: std::fmt::Display>(part: &str, result: Result<(), E>) {
    if let Err(error) = result {
        let text = format!("{part}: {error}");
        tell(&News::Failed { text });
    }
}

/// Applies the manifests; gives the first process of the client's pod, if there is one.
async fn set_up(parts: &Parts<'_>) -> Fallible<Option<i32>> {
    let (store, order, folder) = (parts.store, parts.order, parts.folder);
    if order.client {
        apply::client(store, order.meshed_client)?;
    }
    let block = match parts.network {
        Network::Loopback(block) => Some(block.as_ref()),
        Network::Isolated(_) => None,
    };
    for manifest in &order.plan.manifests {
        apply::apply(store, manifest, block)?;
    }
    apply::wait_ready(store, parts.logs).await?;
    if order.isolated {
        settled::wait(store, parts.truth.path()).await;
        name_services(store, folder)?;
    }
    if !order.client {
        return Ok(None);
    }
    let truth = std::fs::read_to_string(parts.truth.path())?;
    Ok(client_process(&truth))
}

/// The first process of the client's own container, by the truth: those of its sidecar may have
/// ended already.
fn client_process(truth: &str) -> Option<i32> {
    let mut pids = truth::records(truth).filter_map(|record| match record.fact {
        Fact::Started {
            pod,
            container,
            pid,
            ..
        } if pod == apply::CLIENT && container == apply::CLIENT_CONTAINER => Some(pid),
        _ => None,
    });
    pids.next_back()
}

/// The harness finds Services by name, as a pod would.
fn name_services(store: &Store, folder: &Path) -> Fallible<()> {
    let (_, services) = store.list("services", None);
    let node = serde_json::json!({"metadata": {"name": NODES[0], "namespace": "default"}});
    let path = folder.join("hosts");
    std::fs::write(&path, node::hosts(&node, NODE_ADDRESSES[0], &services))?;
    let bind = MsFlags::MS_BIND;
    mount(Some(&path), "/etc/hosts", None::<&str>, bind, None::<&str>)?;
    Ok(())
}

fn set_up_network() -> Fallible<Network> {
    // The old /proc tells of processes as they are counted outside.
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)?;
    let fabric = Fabric::new()?;
    for node in 0..NODES.len() {
        // The first rules show whether nftables can be had, and switch connection tracking on.
        Dataplane::of(&fabric, node)?.install(&proxy::Routes::new())?;
    }
    Ok(Network::Isolated(Arc::new(fabric)))
}

/// What a node is made of.
struct Parts<'a> {
    order: &'a LabOrder,
    network: &'a Network,
    store: &'a Arc<Store>,
    logs: &'a LogBook,
    truth: &'a Truth,
    folder: &'a Path,
    bin: &'a Path,
    access: &'a ApiAccess,
}

impl Parts<'_> {
    /// Starts the kubelet, the service proxy and the witness of a node.
    fn start_node(&self, index: usize, scope: &mut Scope) -> Fallible<()> {
        let name = NODES[index];
        let dir = self.folder.join(name);
        std::fs::create_dir(&dir)?;
        let skews = &self.order.plan.clock_skew;
        let short = node_short_name(index);
        let ahead = skews.get(&short).or_else(|| skews.get(name)).copied();
        let clock = NodeClock::ahead(ahead.unwrap_or(0.0));
        let host = Arc::new(Host {
            index,
            name,
            address: NODE_ADDRESSES[index],
            clock,
            store: Arc::clone(self.store),
            network: self.network.clone(),
            truth: self.truth.clone(),
            logs: self.logs.clone(),
            recorder: Recorder::new(Arc::clone(self.store), name, clock),
            api: self.access.clone(),
            dir,
            bin: self.bin.to_owned(),
            relisted: Instant::now(),
        });
        let stop = scope.token();
        scope.spawn(&format!("kubelet {name}"), async move {
            failing("kubelet", node::run(host, stop).await);
        });
        self.start_proxy(index, scope)
    }

    /// Lets new pods have sidecars, and starts their control plane.
    fn start_mesh(&self, envoy: &Path, scope: &mut Scope) -> Fallible<()> {
        let settings = mesh::Settings::read(&self.order.plan.mesh)?;
        let dir = self.folder.join("mesh");
        std::fs::create_dir(&dir)?;
        self.store.set_injector(mesh::Injector {
            settings: settings.clone(),
            envoy: envoy.to_owned(),
            dir: dir.clone(),
        });
        let (store, stop) = (Arc::clone(self.store), scope.token());
        let (delay, truth) = (self.order.plan.mesh_propagation, self.truth.clone());
        scope.spawn("istiod", async move {
            let istiod = mesh::run_istiod(store, settings, delay, dir, truth, stop);
            failing("istiod", istiod.await);
        });
        Ok(())
    }

    fn start_proxy(&self, index: usize, scope: &mut Scope) -> Fallible<()> {
        let dataplane = match self.network {
            Network::Isolated(fabric) => {
                let events = truth::subscribe(fabric.node(index))?;
                let follow = truth::follow_connections(self.truth.clone(), events, scope.token());
                scope.spawn("connections", follow);
                Dataplane::of(fabric, index)?
            }
            Network::Loopback(_) if index == 0 => Dataplane::Relay(Relay::new(self.truth.clone())),
            Network::Loopback(_) => return Ok(()), // One network, one relay.
        };
        let (store, truth) = (Arc::clone(self.store), self.truth.clone());
        let (delay, stop) = (self.order.plan.endpoint_propagation, scope.token());
        scope.spawn("service proxy", async move {
            let proxy = proxy::run(NODES[index], store, dataplane, delay, truth, stop);
            failing("service proxy", proxy.await);
        });
        Ok(())
    }
}

/// A folder that can be put before `PATH`, in which this program is `lastwatch`. Bound there where
/// that can be: what a container mounts may lie over the place where the program is.
fn link_program(folder: &Path, isolated: bool) -> io::Result<PathBuf> {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin)?;
    let (program, link) = (node::program(), bin.join("lastwatch"));
    if isolated {
        std::fs::write(&link, "")?;
        let bind = MsFlags::MS_BIND;
        mount(Some(&program), &link, None::<&str>, bind, None::<&str>)?;
    } else {
        std::os::unix::fs::symlink(program, link)?;
    }
    Ok(bin)
}
