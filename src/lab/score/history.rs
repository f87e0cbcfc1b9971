//! What does the truth say of a pod at an instant?

use crate::lab::truth::{Fact, Record};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;

/// The truth, arranged by pod and by connection.
#[derive(Debug, Default)]
pub(super) struct History {
    pods: Vec<PodHistory>,
    /// By source port: when, for whom, and to whom.
    connections: BTreeMap<u16, Vec<(i64, SocketAddrV4, SocketAddrV4)>>,
}

/// A pod's truth, all in epoch nanoseconds.
#[derive(Debug, Default)]
pub(super) struct PodHistory {
    pub(super) name: String,
    uid: String,
    address: String,
    since: i64,
    pub(super) deleting: Option<i64>,
    /// When the app was told to end, and whether it had a handler for that.
    pub(super) told: Option<(i64, bool)>,
    pub(super) killed: Option<i64>,
    /// The ends of its app.
    pub(super) ends: Vec<i64>,
    /// Changes of its listeners: when, port, open sockets.
    listens: Vec<(i64, u16, usize)>,
}

impl PodHistory {
    /// Whether a port was open at an instant.
    pub(super) fn listening(&self, port: u16, at: i64) -> bool {
        let mut changes = self.listens.iter();
        let newest = changes.rfind(|(when, own, _)| *own == port && *when <= at);
        newest.is_some_and(|(_, _, sockets)| *sockets > 0)
    }

    /// Whether a port had ever been open before an instant.
    pub(super) fn listened(&self, port: u16, before: i64) -> bool {
        self.listens
            .iter()
            .any(|(when, own, sockets)| *own == port && *when <= before && *sockets > 0)
    }

    /// The first end of the app at or after an instant.
    pub(super) fn end_after(&self, at: i64) -> Option<i64> {
        self.ends.iter().copied().find(|end| *end >= at)
    }

    /// The last end of the app before an instant.
    pub(super) fn end_before(&self, at: i64) -> Option<i64> {
        self.ends.iter().copied().rfind(|end| *end < at)
    }

    /// Whether it was being deleted at an instant.
    pub(super) fn terminating(&self, at: i64) -> bool {
        self.deleting.is_some_and(|deleting| deleting <= at)
    }
}

impl History {
    pub(super) fn new(mut records: Vec<Record>) -> Self {
        records.sort_by_key(|record| record.t);
        let mut history = Self::default();
        for record in records {
            history.take(record);
        }
        history
    }

    fn take(&mut self, Record { t, fact }: Record) {
        match fact {
            Fact::Pod { pod, uid, address } => self.pods.push(PodHistory {
                name: pod,
                uid,
                address,
                since: t,
                ..PodHistory::default()
            }),
            Fact::Deleting { uid, .. } => self.change(&uid, |pod| pod.deleting = Some(t)),
            Fact::Signal {
                uid,
                container,
                signal,
                handled,
                ..
            } if is_app(&container) => {
                self.change(&uid, |pod| match signal.as_str() {
                    "SIGTERM" => pod.told = Some((t, handled)),
                    _ => pod.killed = Some(t),
                });
            }
            Fact::Ended { uid, container, .. } if is_app(&container) => {
                self.change(&uid, |pod| pod.ends.push(t));
            }
            Fact::Listen {
                uid, port, sockets, ..
            } => {
                self.change(&uid, |pod| pod.listens.push((t, port, sockets)));
            }
            Fact::Connection { from, to, chosen } => {
                let by_port = self.connections.entry(from.port()).or_default();
                by_port.push((t, to, chosen));
            }
            _ => {}
        }
    }

    fn change(&mut self, uid: &str, change: impl FnOnce(&mut PodHistory)) {
        if let Some(pod) = self.pods.iter_mut().find(|pod| pod.uid == uid) {
            change(pod);
        }
    }

    /// The pod to which the newest connection from `port` to `to` between two instants was sent,
    /// and the port of that pod.
    pub(super) fn chosen(
        &self,
        port: u16,
        to: SocketAddrV4,
        from: i64,
        until: i64,
    ) -> Option<(&PodHistory, u16)> {
        let connections = self.connections.get(&port)?;
        let (at, _, chosen) = connections
            .iter()
            .rfind(|(at, asked, _)| *asked == to && (from..=until).contains(at))?;
        let address = chosen.ip().to_string();
        let mut pods = self.pods.iter();
        let pod = pods.rfind(|pod| pod.address == address && pod.since <= *at)?;
        Some((pod, chosen.port()))
    }
}

/// Sidecars are not what a request is for.
fn is_app(container: &str) -> bool {
    container != "istio-proxy"
}
