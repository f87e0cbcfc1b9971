//! What does the truth say of a pod at an instant?

use crate::lab::mesh::{INBOUND_PORT, INIT, PROXY, endpoints_file};
use crate::lab::truth::{Fact, Proxied, Record};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;

/// How long a killed Envoy may take from its last socket's end to its own, in nanoseconds.
const TEARDOWN: i64 = 200_000_000;

/// How long an Envoy may take from a file to what it does, in nanoseconds.
const TAKING_UP: i64 = 500_000_000;

/// The truth, arranged by pod and by connection.
#[derive(Debug, Default)]
pub(super) struct History {
    pods: Vec<PodHistory>,
    /// By source port, in the order of time.
    connections: BTreeMap<u16, Vec<Connection>>,
    /// What proxies know of a failed request, by what the client calls it: when it began, and what.
    proxied: BTreeMap<String, Vec<(i64, Proxied)>>,
    /// By proxy and file: when it was given endpoints, and whether there were any.
    pushed: BTreeMap<(String, String), Vec<(i64, bool)>>,
}

/// A connection that was let through.
#[derive(Clone, Copy, Debug)]
struct Connection {
    at: i64,
    from: SocketAddrV4,
    to: SocketAddrV4,
    chosen: SocketAddrV4,
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
    /// It has a sidecar.
    pub(super) meshed: bool,
    /// The ends of its sidecar's Envoy.
    pub(super) proxy_ends: Vec<i64>,
    /// When its address led nowhere any more.
    gone: Option<i64>,
    /// Errors of its app's own: request and status.
    answered: BTreeMap<String, u16>,
    /// When its app lost calls that it made.
    pub(super) lost: Vec<i64>,
    /// Containers that got SIGKILL from the kubelet.
    pub(super) sigkilled: Vec<String>,
    /// Its app has ended well and was not started again.
    pub(super) done: bool,
    /// The exit codes of its containers' last ends.
    pub(super) codes: BTreeMap<String, i32>,
}

impl PodHistory {
    /// The newest change of a port by an instant: when, and its open sockets since.
    fn newest(&self, port: u16, at: i64) -> Option<(i64, usize)> {
        let mut changes = self.listens.iter();
        let newest = changes.rfind(|(when, own, _)| *own == port && *when <= at);
        newest.map(|(when, _, sockets)| (*when, *sockets))
    }

    /// Whether a port was open at an instant.
    pub(super) fn listening(&self, port: u16, at: i64) -> bool {
        self.open(port, at, &[])
    }

    /// Whether its app took connections on a port at an instant. Listeners are looked at now and
    /// then, but a process's end is known to the moment.
    pub(super) fn accepting(&self, port: u16, at: i64) -> bool {
        self.open(port, at, &self.ends)
    }

    /// Whether a port was open at an instant, and none of these ends had come since.
    fn open(&self, port: u16, at: i64, ends: &[i64]) -> bool {
        self.newest(port, at).is_some_and(|(since, sockets)| {
            sockets > 0 && !ends.iter().any(|end| (since..=at).contains(end))
        })
    }

    /// Whether a port had ever been open before an instant.
    pub(super) fn listened(&self, port: u16, before: i64) -> bool {
        self.listens
            .iter()
            .any(|(when, own, sockets)| *own == port && *when <= before && *sockets > 0)
    }

    /// When a port closed that was open not long before an instant. A big process takes its time
    /// from the end of its sockets to the moment in which its parent learns of it.
    fn closed(&self, port: u16, by: i64) -> Option<i64> {
        let (at, sockets) = self.newest(port, by)?;
        (sockets == 0 && by - at <= TEARDOWN).then_some(at)
    }

    /// The first end of the app at or after an instant.
    pub(super) fn end_after(&self, at: i64) -> Option<i64> {
        self.ends.iter().copied().find(|end| *end >= at)
    }

    /// The last end of the app before an instant.
    pub(super) fn end_before(&self, at: i64) -> Option<i64> {
        self.ends.iter().copied().rfind(|end| *end < at)
    }

    /// The first end of the proxy at or after an instant.
    pub(super) fn proxy_end_after(&self, at: i64) -> Option<i64> {
        self.proxy_ends.iter().copied().find(|end| *end >= at)
    }

    /// Whether the proxy had ended before an instant and no other had come.
    pub(super) fn proxy_gone(&self, at: i64) -> bool {
        let ended = self.proxy_ends.iter().any(|end| *end < at);
        ended && !self.open(INBOUND_PORT, at, &self.proxy_ends)
    }

    /// Whether its address led nowhere at an instant.
    pub(super) fn vanished(&self, at: i64) -> bool {
        self.gone.is_some_and(|gone| gone <= at)
    }

    /// The status with which its app itself answered a request with an error.
    pub(super) fn answered(&self, id: &str) -> Option<u16> {
        self.answered.get(id).copied()
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
            Fact::SandboxGone { uid, .. } => self.change(&uid, |pod| pod.gone = Some(t)),
            Fact::Started { uid, container, .. } => self.change(&uid, |pod| {
                pod.meshed |= container == PROXY;
                pod.done &= !is_app(&container);
            }),
            Fact::Signal {
                uid,
                container,
                signal,
                handled,
                ..
            } => self.change(&uid, |pod| match signal.as_str() {
                "SIGTERM" if is_app(&container) => pod.told = Some((t, handled)),
                "SIGKILL" => {
                    if is_app(&container) {
                        pod.killed = Some(t);
                    }
                    pod.sigkilled.push(container);
                }
                _ => {}
            }),
            Fact::Ended {
                uid,
                container,
                code,
                ..
            } => self.change(&uid, |pod| {
                if is_app(&container) {
                    pod.ends.push(t);
                    pod.done = code == 0;
                }
                // An agent that is killed takes its Envoy with it and says nothing. After an end
                // that was told, the listener may still be taken for open.
                if container == PROXY && pod.open(INBOUND_PORT, t, &pod.proxy_ends) {
                    pod.proxy_ends.push(t);
                }
                pod.codes.insert(container, code);
            }),
            Fact::ProxyEnded { uid, .. } => self.change(&uid, |pod| {
                let end = pod.closed(INBOUND_PORT, t).unwrap_or(t);
                pod.proxy_ends.push(end);
            }),
            Fact::Answered { uid, id, code, .. } => {
                self.change(&uid, |pod| {
                    pod.answered.insert(id, code);
                });
            }
            Fact::Pushed {
                uid,
                file,
                endpoints,
                ..
            } => {
                let pushes = self.pushed.entry((uid, file)).or_default();
                pushes.push((t, !endpoints.is_empty()));
            }
            Fact::CallLost { uid, .. } => self.change(&uid, |pod| pod.lost.push(t)),
            Fact::Proxied(record) => {
                let all = self.proxied.entry(record.id.clone()).or_default();
                all.push((t, record));
            }
            Fact::Listen {
                uid, port, sockets, ..
            } => {
                self.change(&uid, |pod| pod.listens.push((t, port, sockets)));
            }
            Fact::Connection { from, to, chosen } => {
                let by_port = self.connections.entry(from.port()).or_default();
                by_port.push(Connection {
                    at: t,
                    from,
                    to,
                    chosen,
                });
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
        let newest = connections
            .iter()
            .rfind(|own| own.to == to && (from..=until).contains(&own.at))?;
        let pod = self.owner(newest.chosen, newest.at)?;
        Some((pod, newest.chosen.port()))
    }

    /// The pod that had an address at an instant.
    pub(super) fn owner(&self, address: SocketAddrV4, at: i64) -> Option<&PodHistory> {
        let ip = address.ip().to_string();
        let mut pods = self.pods.iter();
        pods.rfind(|pod| pod.address == ip && pod.since <= at)
    }

    /// What the sidecar of the client knows of a request.
    pub(super) fn of_client(&self, id: &str) -> Option<&(i64, Proxied)> {
        let mut records = self.proxied.get(id)?.iter();
        records.rfind(|(_, record)| !is_inbound(record))
    }

    /// What the sidecar of a pod knows of a request that came to it.
    pub(super) fn of_server(&self, id: &str, pod: &PodHistory) -> Option<&Proxied> {
        let records = self.proxied.get(id)?.iter().map(|(_, record)| record);
        let mut own = records.filter(|record| is_inbound(record) && record.uid == pod.uid);
        own.next_back()
    }

    /// Whether a proxy had been given endpoints of the cluster that it sent a request to.
    pub(super) fn knew_endpoints(&self, record: &Proxied, at: i64) -> bool {
        let mut parts = record.cluster.split('|').skip(1);
        let (port, host) = (parts.next(), parts.nth(1));
        let (Some(port), Some(host)) = (port, host) else {
            return false;
        };
        let file = endpoints_file(host, port);
        let Some(pushes) = self.pushed.get(&(record.uid.clone(), file)) else {
            return false;
        };
        let known = |by: i64| {
            let mut pushes = pushes.iter();
            pushes
                .rfind(|(when, _)| *when <= by)
                .is_some_and(|(_, any)| *any)
        };
        known(at) && known(at - TAKING_UP)
    }

    /// The connections that a proxy opened to pods between two instants: when, and to whom.
    pub(super) fn attempts(&self, proxy: &str, from: i64, until: i64) -> Vec<(i64, SocketAddrV4)> {
        let own = self.pods.iter().find(|pod| pod.uid == proxy);
        let address = own.map(|pod| pod.address.as_str()).unwrap_or_default();
        let all = self.connections.values().flatten();
        let mut attempts: Vec<_> = all
            .filter(|own| (from..=until).contains(&own.at) && own.from.ip().to_string() == address)
            .map(|own| (own.at, own.chosen))
            .collect();
        attempts.sort_unstable();
        attempts
    }

    /// Every pod.
    pub(super) fn pods(&self) -> &[PodHistory] {
        &self.pods
    }
}

fn is_inbound(record: &Proxied) -> bool {
    record.cluster.to_lowercase().starts_with("inbound")
}

/// What a request is for: neither the sidecar nor what prepares its way.
fn is_app(container: &str) -> bool {
    container != PROXY && container != INIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::score::testing::{at, born, end_of, listen_on, proxy_end, started};

    fn proxy_ends(more: Vec<Record>) -> Vec<i64> {
        let mut records = vec![born(0), started(1, PROXY), listen_on(2, INBOUND_PORT, 2)];
        records.extend(more);
        let history = History::new(records);
        history.pods()[0].proxy_ends.clone()
    }

    #[test]
    fn a_proxy_that_ended_before_its_agent_has_ended_once() {
        let told = vec![proxy_end(5_000), end_of(5_003, PROXY, 0)];
        assert_eq!(proxy_ends(told), [at(5_000)]);
    }

    #[test]
    fn an_agent_that_is_killed_takes_its_proxy_with_it() {
        let killed = vec![end_of(5_000, PROXY, 137), listen_on(5_008, INBOUND_PORT, 0)];
        assert_eq!(proxy_ends(killed), [at(5_000)]);
    }
}
