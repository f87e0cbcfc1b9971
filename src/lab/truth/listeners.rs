//! When did each listener of a pod open and close?

use super::{Fact, Truth};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often listeners are looked at: the resolution of their truth.
const EVERY: Duration = Duration::from_millis(10);

/// Whose listeners are followed.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    /// The pod.
    pub(crate) pod: String,
    /// Its uid.
    pub(crate) uid: String,
    /// A process in the pod's network namespace.
    pub(crate) pid: i32,
    /// Only listeners on this address: pods that share the lab's network have one each.
    pub(crate) address: Option<Ipv4Addr>,
}

/// Writes down each change of a pod's listeners until `stop`, and at the end that they are closed.
/// `/proc` tells them while the process lives.
pub(crate) async fn follow_listeners(truth: Truth, whose: Listening, stop: CancellationToken) {
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
            listeners(whose.pid, whose.address)
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

fn listeners(pid: i32, address: Option<Ipv4Addr>) -> BTreeMap<u16, usize> {
    let mut found = BTreeMap::new();
    for table in ["tcp", "tcp6"] {
        for port in parse(&beginning(pid, table), address) {
            *found.entry(port).or_insert(0) += 1;
        }
    }
    found
}

/// The first lines of a table: the kernel lists listeners before everything else.
fn beginning(pid: i32, table: &str) -> String {
    let mut buffer = vec![0; 4096];
    let read = File::open(format!("/proc/{pid}/net/{table}"))
        .and_then(|mut file| file.read(&mut buffer))
        .unwrap_or(0);
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

/// The ports of the listening sockets (state 0A) in a table of `/proc/net`.
fn parse(table: &str, address: Option<Ipv4Addr>) -> Vec<u16> {
    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(3) == Some(&"0A"))
        .filter_map(|fields| {
            let (host, port) = fields[1].split_once(':')?;
            let wanted = address.is_none_or(|address| {
                u32::from_str_radix(host, 16)
                    .is_ok_and(|host| Ipv4Addr::from(host.swap_bytes()) == address)
            });
            wanted.then(|| u16::from_str_radix(port, 16).ok()).flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1
   1: 0500007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1
   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4713 1
";

    #[test]
    fn only_listening_sockets_of_the_asked_address_count() {
        assert_eq!(parse(TABLE, None), [8080, 8081]);
        let own = Some(Ipv4Addr::new(127, 0, 0, 5));
        assert_eq!(parse(TABLE, own), [8081]);
    }

    #[test]
    fn a_port_that_disappears_is_a_change_to_no_sockets() {
        let known = BTreeMap::from([(80, 1), (81, 1)]);
        let found = BTreeMap::from([(81, 2), (82, 1)]);
        assert_eq!(changes(&known, &found), [(81, 2), (82, 1), (80, 0)]);
    }
}
