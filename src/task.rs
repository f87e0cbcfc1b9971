//! How do tasks start, stop and report panics?
//!
//! [`Scope`] owns its tasks: each has a name, gets a token to stop by, and is awaited; a panic in
//! one comes back as an error of the scope and is never dropped. [`Shutdown`] is the two-stage
//! stop: the first signal asks, the second leaves at once. [`wait_until`] is the bounded wait on a
//! predicate that says what it last saw. [`Panics`] hears of a panic in any thread at once.

mod panics;
mod scope;
mod shutdown;
mod wait;

pub use panics::Panics;
pub use scope::{Scope, TaskError};
pub use shutdown::{Hangup, Shutdown};
pub use wait::{WaitTimeout, wait_until};
