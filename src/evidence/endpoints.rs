//! Who was in the Service's endpoints, and since when?
//!
//! [`EndpointHistory`] follows one Service through all its slices (an endpoint may move between
//! them) and keeps, per pod, each change of `ready`, `serving` and `terminating` with its arrival.
//! A slice says what the controllers decided; the routes of a node or a proxy follow later (facts
//! 9.13), so an arrival here is a lower bound of the withdrawal.

use super::asked;
use super::event::{Change, EventKind, Resource};
use super::places::Hints;
use super::stamp::RunOffset;
use super::timeline::Timeline;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// An endpoint's conditions; absent from every slice is [`EndpointState::GONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointState {
    /// Routes may send to it.
    pub ready: bool,
    /// It answers its readiness probe.
    pub serving: bool,
    /// It is being deleted.
    pub terminating: bool,
    /// Some slice lists it.
    pub listed: bool,
}

impl EndpointState {
    /// In no slice.
    pub const GONE: Self = Self {
        ready: false,
        serving: false,
        terminating: false,
        listed: false,
    };

    /// The service proxy may choose it while nobody is ready (facts 1.9).
    pub const fn fallback(self) -> bool {
        self.serving && self.terminating
    }
}

/// One change of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndpointChange {
    /// When the watch showed it.
    pub seen: RunOffset,
    /// The event that showed it.
    pub event: u64,
    /// What it is from then on.
    pub state: EndpointState,
}

/// What the slices of one Service showed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointHistory {
    /// Changes by the uid of the pod.
    pub pods: BTreeMap<String, Vec<EndpointChange>>,
    /// Name of each pod by its uid, for pods that only slices show.
    pub names: BTreeMap<String, String>,
    /// Addresses by the uid of the pod.
    pub addresses: BTreeMap<String, String>,
    /// The TCP ports that routes lead to, by the uid of the pod: those that clients ask for, where that
    /// is known.
    pub ports: BTreeMap<String, BTreeSet<u16>>,
    /// Nodes by the uid of the pod.
    pub nodes: BTreeMap<String, String>,
    /// For whom each was meant, from each arrival on, by the uid of the pod; none where never anything
    /// was said.
    pub hints: BTreeMap<String, Vec<(RunOffset, Hints)>>,
    /// How many endpoints were ready and how many could serve as a fallback, from each arrival on.
    pub totals: Vec<(RunOffset, usize, usize)>,
    /// Slices of the Service were seen at all.
    pub seen: bool,
}

impl EndpointHistory {
    /// Follows the slices of `service`; without a name those of all Services.
    pub fn of(timeline: &Timeline, service: Option<&str>) -> Self {
        let mut history = Self::default();
        let asked = service.and_then(|service| asked::names(timeline, service));
        let mut slices: BTreeMap<String, BTreeMap<String, EndpointState>> = BTreeMap::new();
        let mut current: BTreeMap<String, EndpointState> = BTreeMap::new();
        for event in &timeline.events {
            let EventKind::Object {
                resource: Resource::EndpointSlices,
                change,
                object,
            } = &event.kind
            else {
                continue;
            };
            let owner = object
                .pointer("/metadata/labels")
                .and_then(|labels| labels.get("kubernetes.io/service-name"))
                .and_then(Value::as_str);
            if service.is_some() && owner != service {
                continue;
            }
            let Some(name) = text(object, "/metadata/name") else {
                continue;
            };
            history.seen = true;
            if *change == Change::Deleted {
                slices.remove(name);
            } else {
                let listed = history.read(event.at.hi, object, asked.as_ref());
                slices.insert(name.to_owned(), listed);
            }
            history.merge(event.seq, event.at.hi, &slices, &mut current);
        }
        history
    }

    fn read(
        &mut self,
        seen: RunOffset,
        slice: &Value,
        asked: Option<&BTreeSet<String>>,
    ) -> BTreeMap<String, EndpointState> {
        let mut listed = BTreeMap::new();
        let ports = ports(slice, asked);
        let endpoints = slice.get("endpoints").and_then(Value::as_array);
        for endpoint in endpoints.into_iter().flatten() {
            let Some(uid) = text(endpoint, "/targetRef/uid") else {
                continue;
            };
            if let Some(name) = text(endpoint, "/targetRef/name") {
                self.names.insert(uid.to_owned(), name.to_owned());
            }
            if let Some(address) = text(endpoint, "/addresses/0") {
                self.addresses.insert(uid.to_owned(), address.to_owned());
            }
            if let Some(node) = text(endpoint, "/nodeName") {
                self.nodes.insert(uid.to_owned(), node.to_owned());
            }
            self.hint(seen, uid, Hints::of(endpoint));
            let known = self.ports.entry(uid.to_owned()).or_default();
            known.extend(&ports);
            let condition = |name| {
                let conditions = endpoint.get("conditions")?;
                conditions.get(name)?.as_bool()
            };
            let ready = condition("ready").unwrap_or(true);
            let state = EndpointState {
                ready,
                serving: condition("serving").unwrap_or(ready),
                terminating: condition("terminating").unwrap_or(false),
                listed: true,
            };
            listed.insert(uid.to_owned(), state);
        }
        listed
    }

    fn hint(&mut self, seen: RunOffset, uid: &str, hints: Hints) {
        let last = self.hints.get(uid).and_then(|changes| changes.last());
        if last.map_or(&Hints::default(), |(_, hints)| hints) != &hints {
            let changes = self.hints.entry(uid.to_owned()).or_default();
            changes.push((seen, hints));
        }
    }

    fn merge(
        &mut self,
        event: u64,
        seen: RunOffset,
        slices: &BTreeMap<String, BTreeMap<String, EndpointState>>,
        current: &mut BTreeMap<String, EndpointState>,
    ) {
        let mut now: BTreeMap<String, EndpointState> = BTreeMap::new();
        for listed in slices.values() {
            for (uid, state) in listed {
                let merged = now.entry(uid.clone()).or_insert(EndpointState::GONE);
                merged.ready |= state.ready;
                merged.serving |= state.serving;
                merged.terminating |= state.terminating;
                merged.listed = true;
            }
        }
        let uids: BTreeSet<&String> = now.keys().chain(current.keys()).collect();
        for uid in uids {
            let state = now.get(uid).copied().unwrap_or(EndpointState::GONE);
            if current.get(uid) != Some(&state) {
                let changes = self.pods.entry(uid.clone()).or_default();
                changes.push(EndpointChange { seen, event, state });
            }
        }
        let count =
            |wanted: fn(&EndpointState) -> bool| now.values().filter(|state| wanted(state)).count();
        let ready = count(|state| state.ready);
        let fallback = count(|state| state.fallback());
        self.totals.push((seen, ready, fallback));
        *current = now;
    }

    /// The first arrival that shows the endpoint as no longer ready, after it was.
    pub fn withdrawn(&self, uid: &str) -> Option<EndpointChange> {
        let changes = self.pods.get(uid)?;
        let last_ready = changes.iter().rposition(|change| change.state.ready)?;
        changes.get(last_ready + 1).copied()
    }

    /// The first arrival that shows the endpoint as ready.
    pub fn first_ready(&self, uid: &str) -> Option<EndpointChange> {
        self.pods
            .get(uid)?
            .iter()
            .find(|change| change.state.ready)
            .copied()
    }

    /// The first arrival that shows the endpoint as terminating.
    pub fn terminating(&self, uid: &str) -> Option<EndpointChange> {
        self.pods
            .get(uid)?
            .iter()
            .find(|change| change.state.terminating)
            .copied()
    }

    /// The arrival that shows it in no slice any more, after it was in one.
    pub fn gone(&self, uid: &str) -> Option<EndpointChange> {
        let last = self.pods.get(uid)?.last()?;
        (!last.state.listed).then_some(*last)
    }

    /// Ready endpoints and fallbacks as the last arrival before `at` showed them.
    pub fn totals_at(&self, at: RunOffset) -> Option<(usize, usize)> {
        let next = self.totals.partition_point(|(seen, _, _)| *seen <= at);
        let (_, ready, fallback) = self.totals.get(next.checked_sub(1)?)?;
        Some((*ready, *fallback))
    }
}

/// The numbers of the TCP ports that a slice lists: those of the pods, not the Service's; only those of
/// these names, where they are given.
fn ports(slice: &Value, names: Option<&BTreeSet<String>>) -> BTreeSet<u16> {
    let ports = slice.get("ports").and_then(Value::as_array);
    let wanted = |port: &&Value| {
        asked::is_tcp(port) && names.is_none_or(|names| names.contains(asked::port_name(port)))
    };
    let tcp = ports.into_iter().flatten().filter(wanted);
    let numbers = tcp.filter_map(|port| port.get("port")?.as_u64());
    numbers
        .filter_map(|port| u16::try_from(port).ok())
        .collect()
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}
