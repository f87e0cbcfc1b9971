//! When did each listener of a pod open and close?

use super::diagnosis::Diagnosis;
use super::{Fact, Truth};
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often listeners are looked at: the resolution of their truth.
const EVERY: Duration = Duration::from_millis(10);

/// Whose listeners are followed.
#[derive(Debug)]
pub(crate) struct Listening {
    pod: String,
    uid: String,
    address: Option<Ipv4Addr>,
    diagnosis: Diagnosis,
}

impl Listening {
    /// The listeners of a pod in its network namespace (`None`: the lab's own). With an address,
    /// only those on it: pods that share the lab's network have one each.
    pub(crate) fn of(
        pod: &str,
        uid: &str,
        ns: Option<BorrowedFd<'_>>,
        address: Option<Ipv4Addr>,
    ) -> io::Result<Self> {
        Ok(Self {
            pod: pod.to_owned(),
            uid: uid.to_owned(),
            address,
            diagnosis: Diagnosis::open(ns)?,
        })
    }
}

/// Writes down each change of a pod's listeners until `stop`, and at the end that they are closed.
pub(crate) async fn follow_listeners(truth: Truth, mut whose: Listening, stop: CancellationToken) {
    let mut known = BTreeMap::new();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let stopped = tokio::select! {
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let found = if stopped {
            BTreeMap::new()
        } else {
            match whose.diagnosis.listeners(whose.address) {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(pod = whose.pod, %error, "listeners are not followed any more");
                    return;
                }
            }
        };
        for (port, sockets) in changes(&known, &found) {
            truth.tell(Fact::Listen {
                pod: whose.pod.clone(),
                uid: whose.uid.clone(),
                port,
                sockets,
            });
        }
        if stopped {
            return;
        }
        known = found;
    }
}

fn changes(known: &BTreeMap<u16, usize>, found: &BTreeMap<u16, usize>) -> Vec<(u16, usize)> {
    let opened = found
        .iter()
        .filter(|(port, sockets)| known.get(port) != Some(sockets));
    let closed = known.keys().filter(|port| !found.contains_key(port));
    opened
        .map(|(port, sockets)| (*port, *sockets))
        .chain(closed.map(|port| (*port, 0)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_disappears_is_a_change_to_no_sockets() {
        let known = BTreeMap::from([(80, 1), (81, 1)]);
        let found = BTreeMap::from([(81, 2), (82, 1)]);
        assert_eq!(changes(&known, &found), [(81, 2), (82, 1), (80, 0)]);
    }
}
