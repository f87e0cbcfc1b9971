//! `lastwatch` drives a rollout of a Kubernetes workload under load and proves that it dropped
//! nothing, or names, for each dropped request, the shutdown race that dropped it.
//!
//! The way of the data: a *scenario* becomes a plan, a *run* records events, and everything after
//! that is a pure function of the frozen record:
//!
//! ```text
//! scenario -> run { load, observe, disrupt } --Event--> Timeline -> attribution -> verdict -> report
//! ```
//!
//! Newcomers start at [`cli`], go to [`run`], and from there to [`attribution`] and [`verdict`].
//! `ARCHITECTURE.md` names the layers; `tests/layering.rs` holds them.

pub mod attribution;
pub mod cli;
pub mod cluster;
pub mod disrupt;
pub mod error;
pub mod evidence;
pub mod lab;
pub mod load;
pub mod observe;
pub mod report;
pub mod run;
pub mod scenario;
pub mod task;
pub mod verdict;
