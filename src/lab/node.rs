//! How does a node run pods, as a kubelet and a container runtime do?
//!
//! [`run`] is one node: it watches the pods that were assigned to it, gives each a [`Worker`], renews
//! its Lease and keeps its Node object. What a container is made of is in [`process`] and [`shim`],
//! what is reported in [`status`], how a pod is stopped in [`ending`].

mod action;
mod backoff;
mod clock;
mod ending;
mod environment;
mod events;
mod host;
mod inside;
mod kubelet;
mod logs;
mod probe;
mod process;
mod root;
mod serve_logs;
mod shim;
mod slot;
mod status;
mod volumes;
mod worker;

pub(crate) use clock::NodeClock;
pub(crate) use events::Recorder;
pub(crate) use host::{Host, Network, hosts};
pub(crate) use inside::main as enter_main;
pub(crate) use kubelet::run;
pub(crate) use logs::LogBook;
pub(crate) use process::{end_with_parent, program};
pub(crate) use shim::main as shim_main;
pub(crate) use volumes::ApiAccess;
