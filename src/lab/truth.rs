//! What really happened in the lab, by first-hand knowledge?
//!
//! Everyone in the lab who knows something at first hand writes it to one [`Truth`]: the node when
//! it sends a signal, the shim when a process has died, the service proxy when its rules changed,
//! istiod when it replaced a file of a proxy, and two watchers of the kernel: one of connection
//! tracking (which pod a connection was sent to), one of listeners. What runs in pods writes too: the
//! agent when its Envoy has ended, each Envoy of the requests that failed at it, the test app of its
//! own errors and of the calls it lost. All on this machine's one clock. The harness never reads it;
//! `lab::score` does.

mod conntrack;
mod diagnosis;
mod listeners;
mod record;
mod witness;

pub(crate) use conntrack::{follow_connections, subscribe};
pub(crate) use listeners::{Listening, follow_listeners};
pub(crate) use record::{Fact, Proxied, Record, Truth, gather, records, whole_lines};
pub(crate) use witness::{VARIABLES, Witness};

/// Now, in epoch nanoseconds of this machine.
pub(crate) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("before the year 2262")
}
