//! Which requests did a proxy try more than once, and which of them reached two apps?
//!
//! A line is of one proxy and one request: the client's (`outbound`) counts the pods that were tried,
//! the server's (`inbound`) the attempts at its own app. Both may tell of the same request, so it is
//! ids that are counted.

use super::masked;
use crate::observe::logs::parse::AccessLine;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A line: the index of its log, and its start by the node's clock.
pub(in crate::attribution) type Sighting = (usize, Option<i64>);

/// What the lines of all proxies tell of attempts. Ids are kept as hashes: a run has millions.
#[derive(Debug, Default)]
pub(in crate::attribution) struct Attempts {
    /// By pod: outbound lines that count attempts.
    outbound: HashMap<String, Saved>,
    /// Inbound lines that do.
    inbound: Option<Saved>,
    /// By id: the pod whose app it reached first.
    reached: HashMap<u64, u64>,
    /// Ids that reached the apps of two pods, and the line of the second.
    doubled: HashMap<u64, Sighting>,
}

/// Requests that were tried again and then answered well.
#[derive(Clone, Debug, Default)]
struct Saved {
    ids: HashMap<u64, Sighting>,
    /// Those without an id, which nothing tells apart.
    unnamed: Vec<Sighting>,
}

impl Attempts {
    /// Counts a line of a pod's proxy, in the log of this index.
    pub(super) fn count(&mut self, pod: &str, log: usize, line: &AccessLine<'_>) {
        let id = line.id().map(|id| hash(&masked(id)));
        let seen = (log, line.start);
        if let Some(attempts) = line.attempts {
            let saved = if line.is_inbound() {
                self.inbound.get_or_insert_default()
            } else {
                self.outbound.entry(pod.to_owned()).or_default()
            };
            if attempts > 1 && answered_well(line) {
                match id {
                    Some(id) => _ = saved.ids.entry(id).or_insert(seen),
                    None => saved.unnamed.push(seen),
                }
            }
        }
        let Some(id) = id.filter(|_| reached_app(line)) else {
            return;
        };
        let pod = hash(pod);
        if *self.reached.entry(id).or_insert(pod) != pod {
            self.doubled.entry(id).or_insert(seen);
        }
    }

    /// Requests that failed at their client were not saved.
    pub(super) fn leave_out(&mut self, failed: &HashSet<String>) {
        for id in failed.iter().map(|id| hash(id)) {
            self.doubled.remove(&id);
            for saved in self.outbound.values_mut().chain(&mut self.inbound) {
                saved.ids.remove(&id);
            }
        }
    }

    /// The outbound lines of this pod count attempts.
    pub(in crate::attribution) fn counted_by(&self, pod: &str) -> bool {
        self.outbound.contains_key(pod)
    }

    /// Inbound lines count attempts.
    pub(in crate::attribution) const fn counted_inbound(&self) -> bool {
        self.inbound.is_some()
    }

    /// Requests that were saved, as the server's proxies and these pods' count attempts. What other
    /// pods send is not sent by a client of ours.
    pub(in crate::attribution) fn saved(&self, clients: &[&str]) -> Vec<Sighting> {
        let (ids, unnamed) = self.counted(clients);
        ids.into_values().chain(unnamed).collect()
    }

    /// The same, and those that reached two apps.
    pub(in crate::attribution) fn seen_saved(&self, clients: &[&str]) -> Vec<Sighting> {
        let (mut ids, unnamed) = self.counted(clients);
        ids.extend(&self.doubled);
        ids.into_values().chain(unnamed).collect()
    }

    fn counted(&self, clients: &[&str]) -> (HashMap<u64, Sighting>, Vec<Sighting>) {
        let outbound = clients.iter().filter_map(|pod| self.outbound.get(*pod));
        let (mut ids, mut unnamed) = (HashMap::new(), Vec::new());
        for saved in outbound {
            ids.extend(&saved.ids);
            unnamed.extend(&saved.unnamed);
        }
        if let Some(saved) = &self.inbound {
            ids.extend(&saved.ids);
            // Without ids the client's lines may tell of the same requests.
            if saved.unnamed.len() > unnamed.len() {
                unnamed.clone_from(&saved.unnamed);
            }
        }
        (ids, unnamed)
    }

    /// Successful requests that reached the apps of two pods.
    pub(in crate::attribution) fn doubled(&self) -> Vec<Sighting> {
        self.doubled.values().copied().collect()
    }
}

/// The answer came through, and the proxy has nothing to say against it: a gRPC failure has 200 too,
/// and a request whose client left has 0.
fn answered_well(line: &AccessLine<'_>) -> bool {
    let code = line.response_code.unwrap_or(0);
    (100..500).contains(&code) && line.response_flags.is_empty()
}

/// The app got the request: it answered, or its established connection ended under it.
fn reached_app(line: &AccessLine<'_>) -> bool {
    let cut = line.response_flags.iter().any(|flag| flag == "UC");
    let answered = line.upstream_service_time_ms.is_some();
    line.is_inbound() && (answered || cut && line.upstream_local_address.is_some())
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
