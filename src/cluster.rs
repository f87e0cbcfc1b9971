//! How do we reach the API, find a workload's objects, and own what we create?
//!
//! [`Cluster`] is the way to the API: [`Cluster::connect`] finds it, [`Cluster::exchange`] makes one
//! call and keeps its instants. [`ResolvedTarget`] is what a scenario's target means in that
//! cluster. [`RunLock`] is the Lease that keeps two runs away from one workload, and
//! [`rights`] the table of every verb that this program uses.

mod connect;
mod error;
mod exchange;
mod lock;
#[cfg(test)]
pub(crate) mod mock;
mod names;
mod own;
mod pace;
mod pods;
mod proxy;
pub mod rights;
mod service;
mod target;
mod workload;

pub use connect::{Cluster, Reach};
pub use error::Error;
pub use exchange::{Call, Exchange, PatchKind};
pub use lock::{LockError, LockHolder, RunLock, Upkeep};
pub use own::{MANAGER, RUN_LABEL, is_ours, ownership_labels};
pub use pace::Pace;
pub use pods::{Ownership, PodView};
pub use service::ResolvedService;
pub use target::{ContainerView, ResolvedTarget, TargetError};
pub use workload::{WorkloadView, api_path};
