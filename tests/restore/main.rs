//! What is changed in a cluster, and that nothing of it is left: against the lab's API server and
//! controllers, without nodes.

#![expect(clippy::unwrap_used, reason = "a panic is the failure report")]

mod codes;
mod faults;
mod kill;
mod preflight;
#[path = "../lab/rest.rs"]
mod rest;
mod shop;
