//! What does a client see?
//!
//! An open-loop HTTP/1.1 load generator that hides nothing: arrivals come from a [`schedule`] and
//! never from the answers before them, latency counts from the intended send time, a request is
//! sent once and never again, and every failure is told in full ([`crate::evidence::FailedRequest`]).
//!
//! [`Generator::start`] runs it in threads of its own, [`prove`] shows beforehand that it would see
//! a failure. The way of one arrival:
//!
//! ```text
//! schedule -> pacer -> lane (pool) -> carry { dial, exchange over wire } -> tally -> monitor --Event--> recorder
//! ```
//!
//! What its numbers mean: an arrival that asks for a kept connection opens one while fewer than
//! `connections.pool` are kept, so that they spread over the pods; else the one that was idle
//! longest carries it; with none idle and the pool full the arrival is dropped and counted.
//! Attempts to connect that hang do not count as kept. The first request on a kept connection is
//! of the kind `new`, as its fate is that of a new connection.

mod answer;
mod carry;
mod config;
mod dial;
mod ending;
mod error;
mod exchange;
mod failure;
mod generator;
mod host;
mod lane;
mod monitor;
mod pacer;
mod pool;
mod proof;
mod request;
mod schedule;
mod tally;
mod tls;
mod wire;

#[cfg(test)]
mod tests;

pub use config::{LoadConfig, LoadTarget, SAMPLE_STRIDE};
pub use error::Error;
pub use generator::{Generator, Progress, Summary};
pub use host::raise_file_limit;
pub use proof::{Marked, prove, send_marked};
