//! Where do endpoints live, and for whom are they meant?
//!
//! A traffic policy of `Local` asks for an endpoint's node. Hints, which a controller writes where a
//! Service prefers near endpoints, name the nodes or zones that an endpoint is meant for. A service
//! proxy follows them only while every ready endpoint has some and at least one is meant for it; else
//! it takes any ready one (`pkg/proxy/topology.go` of kubernetes/kubernetes, `topologyModeFromHints`).

use super::endpoints::{EndpointHistory, EndpointState};
use super::object::{list, text};
use super::stamp::RunOffset;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// For whom an endpoint is meant; empty where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// By `forNodes`.
    pub nodes: BTreeSet<String>,
    /// By `forZones`.
    pub zones: BTreeSet<String>,
}

impl Hints {
    pub(super) fn of(endpoint: &Value) -> Self {
        let names = |pointer| {
            let named = list(endpoint, pointer).filter_map(|one| text(one, "/name"));
            named.map(str::to_owned).collect()
        };
        Self {
            nodes: names("/hints/forNodes"),
            zones: names("/hints/forZones"),
        }
    }
}

/// For whom the ready endpoints were meant at some time.
enum Meant {
    Node,
    Zone,
    Anybody,
}

impl EndpointHistory {
    /// What an endpoint was by the last arrival before `at`.
    fn state_at(&self, uid: &str, at: RunOffset) -> EndpointState {
        let changes = self.pods.get(uid).map_or(&[][..], Vec::as_slice);
        let next = changes.partition_point(|change| change.seen <= at);
        let last = next.checked_sub(1).and_then(|last| changes.get(last));
        last.map_or(EndpointState::GONE, |change| change.state)
    }

    fn hints_at(&self, uid: &str, at: RunOffset) -> Option<&Hints> {
        let changes = self.hints.get(uid)?;
        let next = changes.partition_point(|(seen, _)| *seen <= at);
        Some(&changes.get(next.checked_sub(1)?)?.1)
    }

    fn ready_at(&self, at: RunOffset) -> Vec<&String> {
        let uids = self.pods.keys();
        uids.filter(|uid| self.state_at(uid, at).ready).collect()
    }

    /// [`EndpointHistory::totals`] of one node: an endpoint whose node is not known may be there.
    pub fn totals_on(&self, node: &str) -> Vec<(RunOffset, usize, usize)> {
        let there = |uid: &&String| self.nodes.get(*uid).is_none_or(|own| own == node);
        let there: Vec<&String> = self.pods.keys().filter(there).collect();
        let count = |at, wanted: fn(&EndpointState) -> bool| {
            let states = there.iter().map(|uid| self.state_at(uid, at));
            states.filter(wanted).count()
        };
        let stamps = self.totals.iter().map(|(seen, _, _)| *seen);
        stamps
            .map(|at| {
                (
                    at,
                    count(at, |one| one.ready),
                    count(at, |one| one.fallback()),
                )
            })
            .collect()
    }

    /// At some time every ready endpoint was meant for somebody.
    pub fn hinted(&self) -> bool {
        let stamps = self.totals.iter().map(|(seen, _, _)| *seen);
        let hinted = |at| {
            let ready = self.ready_at(at);
            let all = |named: fn(&Hints) -> bool| {
                let mut each = ready.iter().map(|uid| self.hints_at(uid, at));
                each.all(|hints| hints.is_some_and(named))
            };
            !ready.is_empty()
                && (all(|one| !one.nodes.is_empty()) || all(|one| !one.zones.is_empty()))
        };
        !self.hints.is_empty() && stamps.into_iter().any(hinted)
    }

    /// Since when a client on this node, in this zone, may have been sent to each endpoint, by the
    /// uids of the pods.
    pub fn meant_since(&self, node: &str, zone: Option<&str>) -> BTreeMap<String, RunOffset> {
        let mut since = BTreeMap::new();
        for (at, _, _) in &self.totals {
            let ready = self.ready_at(*at);
            let hints = |uid: &str| self.hints_at(uid, *at).cloned().unwrap_or_default();
            let meant = self.meant(&ready, *at, node, zone);
            for uid in ready {
                let chosen = match (&meant, zone) {
                    (Meant::Node, _) => hints(uid).nodes.contains(node),
                    (Meant::Zone, Some(zone)) => hints(uid).zones.contains(zone),
                    _ => true,
                };
                if chosen {
                    since.entry(uid.clone()).or_insert(*at);
                }
            }
        }
        since
    }

    fn meant(&self, ready: &[&String], at: RunOffset, node: &str, zone: Option<&str>) -> Meant {
        let hints = || ready.iter().filter_map(|uid| self.hints_at(uid, at));
        let all =
            |named: fn(&Hints) -> bool| hints().filter(|one| named(one)).count() == ready.len();
        let for_zone = |one: &Hints| zone.is_some_and(|zone| one.zones.contains(zone));
        if all(|one| !one.nodes.is_empty()) && hints().any(|one| one.nodes.contains(node)) {
            Meant::Node
        } else if all(|one| !one.zones.is_empty()) && hints().any(for_zone) {
            Meant::Zone
        } else {
            Meant::Anybody
        }
    }
}

#[cfg(test)]
mod tests;
