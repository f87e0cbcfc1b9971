//! The lab's API server and controllers, met as a client meets them: through `kube` and `kubectl`.
//!
//! The nodes are imitated (`cluster.rs`), but for `lab_up.rs` and `capture.rs`, which start the whole lab. What was
//! recorded on a real cluster is compared in `tests/lab_pods.rs` and `tests/lab_modes.rs`.

#![expect(clippy::unwrap_used, reason = "a panic is a test's failure report")]

#[path = "lab_api/capture.rs"]
mod capture;
#[path = "lab_api/client.rs"]
mod client;
#[path = "lab_api/cluster.rs"]
mod cluster;
#[path = "lab_api/faults.rs"]
mod faults;
#[path = "lab_api/kubectl.rs"]
mod kubectl;
#[path = "lab_api/lab_up.rs"]
mod lab_up;
#[path = "lab_api/program.rs"]
mod program;
#[path = "lab_api/rollout.rs"]
mod rollout;
#[path = "lab_api/subresources.rs"]
mod subresources;
#[path = "lab_api/watches.rs"]
mod watches;
