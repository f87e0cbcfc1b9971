//! How are the lab's nodes and pods wired, so that the kernel gives the semantics of a real node?
//!
//! [`Fabric`] holds two nodes. The first node's network namespace is the lab's own, the second has
//! one of its own, a cable joins them. Each pod has a namespace and a veth pair, and the node a
//! route to that one address. Below those routes lies one for the node's whole pod range into a
//! cable that nobody listens to: what is sent to a pod whose sandbox is gone vanishes without a
//! word, as in a real cluster, and the sender waits.

mod namespace;
mod wiring;

pub(crate) use wiring::{feed, tool};

pub(crate) use namespace::{enter, in_namespace, isolate, share_nothing};

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// What went wrong with the lab's network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A program that the lab needs is not there.
    #[error("failed to run `{program}`")]
    Program {
        /// Its name.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A program refused what it was given.
    #[error("`{program}` refused: {text}")]
    Refused {
        /// Its name.
        program: &'static str,
        /// What it wrote.
        text: String,
    },
    /// A Service's relay cannot listen (loopback mode).
    #[error("failed to listen on {address} for service `{service}`")]
    Listen {
        /// The Service.
        service: String,
        /// Its address.
        address: SocketAddrV4,
        /// Why not.
        source: io::Error,
    },
    /// A namespace could not be made or entered.
    #[error("failed to {what}")]
    Namespace {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// The names of the lab's nodes, in order.
pub(crate) const NODES: [&str; 2] = ["lab-node-1", "lab-node-2"];

/// What a scenario calls a node: `node1`, `node2`.
pub(crate) fn node_short_name(index: usize) -> String {
    format!("node{}", index + 1)
}

/// The addresses of the lab's nodes, in order.
pub(crate) const NODE_ADDRESSES: [Ipv4Addr; 2] =
    [Ipv4Addr::new(172, 18, 0, 2), Ipv4Addr::new(172, 18, 0, 3)];

/// The nodes' networks.
#[derive(Debug)]
pub(crate) struct Fabric {
    nodes: Vec<NodeNet>,
}

#[derive(Debug)]
struct NodeNet {
    /// `None`: the lab process's own namespace.
    ns: Option<OwnedFd>,
    index: u8,
    next_pod: AtomicU32,
}

/// A pod's network: it ends with [`Fabric::remove_pod`].
#[derive(Debug)]
pub(crate) struct PodNet {
    /// The pod's address.
    pub(crate) address: Ipv4Addr,
    ns: OwnedFd,
    link: String,
    node: usize,
}

impl Fabric {
    /// Wires two nodes in the network namespace of this process, which must be the lab's own.
    pub(crate) fn new() -> Result<Self, Error> {
        let second = namespace::fresh()?;
        wiring::base(&second)?;
        let nodes = [None, Some(second)];
        let nodes = nodes.into_iter().zip(0..).map(|(ns, index)| NodeNet {
            ns,
            index,
            next_pod: AtomicU32::new(2),
        });
        Ok(Self {
            nodes: nodes.collect(),
        })
    }

    /// The namespace of a node; `None`: the lab's own.
    pub(crate) fn node(&self, node: usize) -> Option<BorrowedFd<'_>> {
        self.nodes[node].ns.as_ref().map(AsFd::as_fd)
    }

    /// Gives a pod a namespace and an address that no pod had lately.
    pub(crate) fn add_pod(&self, node: usize) -> Result<PodNet, Error> {
        let net = &self.nodes[node];
        let number = net.next_pod.fetch_add(1, Ordering::Relaxed);
        let host = u8::try_from(number % 250 + 2).expect("below 252");
        let pod = PodNet {
            address: Ipv4Addr::new(10, 244, net.index, host),
            ns: namespace::fresh()?,
            link: format!("pod{number}"),
            node,
        };
        wiring::plug(net.ns.as_ref(), NODE_ADDRESSES[node], &pod)?;
        Ok(pod)
    }

    /// Takes a pod's address away: what is sent to it from now on vanishes.
    pub(crate) fn remove_pod(&self, pod: &PodNet) -> Result<(), Error> {
        wiring::unplug(self.nodes[pod.node].ns.as_ref(), &pod.link)
    }
}

impl PodNet {
    /// The pod's namespace.
    pub(crate) fn ns(&self) -> BorrowedFd<'_> {
        self.ns.as_fd()
    }
}
