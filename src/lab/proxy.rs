//! How does a Service address reach a pod, and how late does a node learn of a change?
//!
//! [`run`] is one node's kube-proxy: it watches Services and slices, and lets each change take
//! effect when its [`Pace`] says so, in the node's own nftables rules or, in loopback mode, in a
//! relay.

mod endpoints;
mod pace;
mod rules;

pub(crate) use endpoints::{Routes, ServicePort, routes};

use crate::lab::loopback::Relay;
use crate::lab::net::{self, Fabric};
use crate::lab::store::{Status, Store};
use crate::lab::truth::{Fact, Truth};
use crate::scenario::Delay;
use nix::sched::CloneFlags;
use pace::Pace;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Where a node's routes become real.
#[derive(Debug)]
pub(crate) enum Dataplane {
    /// The rules of a network namespace; `None`: the lab's own.
    Nftables(Option<OwnedFd>),
    /// Relays in the lab process.
    Relay(Relay),
}

impl Dataplane {
    /// The rules of a node.
    pub(crate) fn of(fabric: &Fabric, node: usize) -> io::Result<Self> {
        let ns = fabric.node(node).map(|ns| ns.try_clone_to_owned());
        Ok(Self::Nftables(ns.transpose()?))
    }

    /// Makes these the routes. Connections that are established keep their endpoint.
    pub(crate) fn install(&mut self, routes: &Routes) -> Result<(), net::Error> {
        match self {
            Self::Nftables(ns) => {
                let spaces: Vec<_> = ns
                    .iter()
                    .map(|ns| (ns.as_raw_fd(), CloneFlags::CLONE_NEWNET))
                    .collect();
                let mut command = net::tool("nft");
                let command = net::enter(command.args(["-f", "-"]), &spaces);
                net::feed("nft", command, &rules::ruleset(routes))
            }
            Self::Relay(relay) => relay.install(routes),
        }
    }
}

/// Keeps a node's routes until `stop`.
pub(crate) async fn run(
    node: &str,
    store: Arc<Store>,
    mut dataplane: Dataplane,
    delay: Option<Delay>,
    truth: Truth,
    stop: CancellationToken,
) -> Result<(), Status> {
    let mut pace = Pace::new(delay, Instant::now());
    let mut routes = Routes::new();
    let mut services = store.watch("services", None, None)?;
    let mut slices = store.watch("endpointslices", None, None)?;
    loop {
        let now = Instant::now();
        let due = pace.due(now);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            change = services.next() => { change?; }
            change = slices.next() => { change?; }
            () = sleep_until(due) => {
                let before = routes.clone();
                pace.apply(&mut routes, Instant::now());
                dataplane = install(dataplane, node, &before, &routes, &truth).await;
                continue;
            }
        }
        while services.try_next()?.is_some() {}
        while slices.try_next()?.is_some() {}
        let (_, services) = store.list("services", None);
        let (_, slices) = store.list("endpointslices", None);
        pace.ask(endpoints::routes(&services, &slices), Instant::now());
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Makes the routes real, off the runtime's threads, and writes down what changed.
async fn install(
    mut dataplane: Dataplane,
    node: &str,
    before: &Routes,
    routes: &Routes,
    truth: &Truth,
) -> Dataplane {
    if before == routes {
        return dataplane;
    }
    let wanted = routes.clone();
    let installing = tokio::task::spawn_blocking(move || {
        let result = dataplane.install(&wanted);
        (dataplane, result)
    });
    let (dataplane, result) = installing
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    if let Err(error) = result {
        tracing::error!(node, "{}", crate::error::Chain(&error));
        return dataplane;
    }
    for (port, endpoints) in routes {
        if before.get(port) != Some(endpoints) {
            truth.tell(Fact::Rules {
                node: node.to_owned(),
                service: port.id.clone(),
                endpoints: endpoints.iter().map(ToString::to_string).collect(),
            });
        }
    }
    dataplane
}
