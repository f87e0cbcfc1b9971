//! To which pods did somebody's routes lead, and when?
//!
//! The slices say what the controllers decided; routes follow later, and each client shows by what
//! it met when they did (facts 1.9, 8.4, 8.6, 9.13). A connect that nobody answers led to an address
//! that is gone. A pod that accepted and was not chosen any more, although it was due several times,
//! had left the routes. A pod that did not listen yet and that nobody was refused by was not in them.

mod order;

use super::Pod;
use super::demand::Demand;
use super::is_meshed;
use crate::attribution::case::FAST;
use crate::evidence::{
    ClientInfo, ClockOffsets, ConnectionKind, EndpointHistory, ErrorClass, Outcome, RequestPhase,
    RunOffset, Timeline,
};
use order::Order;
use std::collections::BTreeMap;

/// What clients met of the routes.
#[derive(Debug, Default)]
pub(in crate::attribution) struct Routes {
    /// Sendings of connects that nobody answered, of clients without a sidecar, sorted.
    vanished: Vec<RunOffset>,
    /// For each of them, the deletion of the pod that had ended last by then.
    gone: Vec<Option<RunOffset>>,
    /// Refused connects by client; of clients without a sidecar only.
    refused: Vec<Refused>,
    order: Order,
    /// By client: its connections are taken by something that relays them.
    relayed: Vec<bool>,
    demand: Demand,
    /// At most so many pods were in the routes at once.
    hosts: f64,
}

/// New connections of one client that were taken and ended at once, and connects that were refused.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    ended: u32,
    refused: u32,
}

impl Taken {
    /// Kernels refuse where nobody listens; a relay takes the connection first, then ends it.
    fn relayed(self) -> bool {
        self.refused == 0 && self.ended >= 3
    }
}

/// Refused connects of one client.
#[derive(Debug, Default)]
struct Refused {
    /// Their sendings, sorted.
    sent: Vec<RunOffset>,
    /// For each of them, the index of the first of its burst: nowhere in a burst was it quiet.
    began: Vec<usize>,
}

/// A route that leads nowhere is found by some connect within this time.
const SOON: i64 = 3_000_000_000;

/// A pod that was due so often and was never chosen was not in the routes.
const DUE: f64 = 5.0;

/// It is quiet where a pod in the routes would have been chosen so often and nobody was refused.
const QUIET: f64 = DUE / 2.0;

/// The last choice of a pod in the routes lies one turn back on average: that tells nothing.
const A_TURN: f64 = 1.0;

/// What a pod still weighs that was due ever so often and was not chosen.
const CHANCE: f64 = 0.12;

/// Routes of a quiet cluster follow the slices within this time (facts 8.15).
const USUAL: i64 = 1_200_000_000;

impl Routes {
    pub(super) fn of(
        timeline: &Timeline,
        clients: &BTreeMap<String, ClientInfo>,
        endpoints: &EndpointHistory,
        offsets: &ClockOffsets,
        pods: &[Pod],
    ) -> Self {
        let mut routes = Self {
            refused: clients.iter().map(|_| Refused::default()).collect(),
            demand: Demand::of(timeline, clients),
            ..Self::default()
        };
        let most = endpoints.totals.iter().map(|(_, ready, _)| *ready).max();
        routes.hosts = (most.unwrap_or(pods.len()).max(1) + 1) as f64;
        let names: Vec<&String> = clients.keys().collect();
        let mut taken = vec![Taken::default(); names.len()];
        for (_, request) in timeline.failed_requests() {
            let Outcome::Transport { class, .. } = &request.outcome else {
                continue;
            };
            if is_meshed(clients, &request.client) {
                continue;
            }
            let sent = request.sent.unwrap_or(request.intended);
            let client = names.binary_search(&&request.client);
            let at_once = request.connection.kind == ConnectionKind::New
                && matches!(class, ErrorClass::Reset | ErrorClass::Closed)
                && request.end.0 - sent.0 <= FAST;
            if let (true, Ok(client)) = (at_once, client) {
                taken[client].ended += 1;
            }
            if request.phase != RequestPhase::Connect {
                continue;
            }
            match class {
                ErrorClass::Timeout | ErrorClass::Unreachable => routes.vanished.push(sent),
                ErrorClass::Refused | ErrorClass::Reset => {
                    if let Ok(client) = client {
                        taken[client].refused += u32::from(*class == ErrorClass::Refused);
                        routes.refused[client].sent.push(sent);
                    }
                }
                _ => {}
            }
        }
        routes.vanished.sort_unstable();
        routes.gone = ended_last(&routes.vanished, pods);
        routes.relayed = taken.into_iter().map(Taken::relayed).collect();
        routes.mark_bursts();
        routes.order = Order::of(clients, endpoints, offsets, pods);
        routes
    }

    fn mark_bursts(&mut self) {
        for client in 0..self.refused.len() {
            self.refused[client].sent.sort_unstable();
            let sent = &self.refused[client].sent;
            let mut began = Vec::with_capacity(sent.len());
            for index in 0..sent.len() {
                let follows = index > 0 && self.due(client, sent[index - 1], sent[index]) < QUIET;
                began.push(if follows { began[index - 1] } else { index });
            }
            self.refused[client].began = began;
        }
    }

    /// Something takes this client's connections and relays them.
    pub(in crate::attribution) fn relayed(&self, client: usize) -> bool {
        self.relayed.get(client).copied().unwrap_or(false)
    }

    /// How likely it is to have met no pod that accepts since, if this client's routes led to the pod
    /// at `at`. Chance alone can be otherwise, so it never rules the pod out.
    pub(in crate::attribution) fn unmet(&self, pod: usize, client: usize, at: RunOffset) -> f64 {
        let missed = self.order.missed(&self.demand, client, pod, at);
        (-(missed - A_TURN).max(0.0)).exp().max(CHANCE)
    }

    /// By `at` this client's routes had followed the change that slices showed at `change`.
    pub(in crate::attribution) fn followed(
        &self,
        client: usize,
        change: RunOffset,
        at: RunOffset,
    ) -> bool {
        self.order.followed(client, change, at)
    }

    /// At `at` this client's routes had not followed the change that slices showed at `change`.
    pub(in crate::attribution) fn behind(
        &self,
        client: usize,
        change: RunOffset,
        at: RunOffset,
    ) -> bool {
        self.order.behind(client, change, at)
    }

    /// How likely it is that this client's routes led at `at` to a pod that slices showed as ready
    /// since `ready` and that refused until `until`: it must then have refused its share.
    pub(in crate::attribution) fn arrived(
        &self,
        client: usize,
        ready: RunOffset,
        at: RunOffset,
        until: RunOffset,
    ) -> f64 {
        let Some(refused) = self.refused.get(client) else {
            return 1.0;
        };
        let first = refused.sent.partition_point(|sent| *sent <= at);
        let later = refused.sent[first..].partition_point(|sent| *sent <= until);
        at_most(later, self.due(client, at, until)) * self.risen(client, ready, at)
    }

    /// Where slices had shown the pod as ready for longer than routes usually need, and nobody was
    /// refused before this burst began, the burst is more likely another's.
    fn risen(&self, client: usize, ready: RunOffset, at: RunOffset) -> f64 {
        let refused = &self.refused[client];
        let own = refused.sent.partition_point(|sent| *sent <= at);
        let Some(began) = own.checked_sub(1).map(|own| refused.began[own]) else {
            return 1.0;
        };
        let begun = refused.sent[began];
        if begun.0 - ready.0 <= USUAL {
            return 1.0;
        }
        let before = began.checked_sub(1).map(|before| refused.sent[before]);
        let quiet = before.map_or(ready, |before| before.max(ready));
        if self.due(client, quiet, begun) >= QUIET {
            0.3
        } else {
            1.0
        }
    }

    /// How often a pod in the routes of this client is chosen between two instants.
    fn due(&self, client: usize, from: RunOffset, to: RunOffset) -> f64 {
        self.demand.between(client, from, to) / self.hosts
    }

    /// A connect that was sent soon after `at` still led to an address that was gone: then the routes
    /// led there at `at` as well. A pod whose deletion came later tells nothing of that time.
    pub(in crate::attribution) fn dead_after(&self, at: RunOffset) -> bool {
        let next = self.vanished.partition_point(|sent| *sent < at);
        let soon = self.vanished[next..]
            .iter()
            .zip(&self.gone[next..])
            .take_while(|(sent, _)| sent.0 - at.0 <= SOON);
        soon.into_iter()
            .any(|(_, deleted)| deleted.is_none_or(|deleted| deleted <= at))
    }

    /// A connect that was sent around `at` led to an address that was gone.
    pub(in crate::attribution) fn dead_around(&self, at: RunOffset) -> bool {
        let next = self.vanished.partition_point(|sent| sent.0 < at.0 - SOON);
        self.vanished.get(next).is_some_and(|sent| *sent <= at)
    }
}

/// For each sending, the deletion of the pod that had ended last by then: routes leave pods in the
/// order of the slices, so that one is the likeliest to be in them still.
fn ended_last(sent: &[RunOffset], pods: &[Pod]) -> Vec<Option<RunOffset>> {
    let mut ends: Vec<(RunOffset, RunOffset)> = pods
        .iter()
        .filter_map(|pod| Some((pod.app_end?.at.lo, pod.deleted?.lo)))
        .collect();
    ends.sort_unstable();
    sent.iter()
        .map(|sent| {
            let by_then = ends.partition_point(|(end, _)| end <= sent);
            by_then.checked_sub(1).map(|last| ends[last].1)
        })
        .collect()
}

/// How likely it is to see at most so many where `due` are expected (Poisson).
fn at_most(seen: usize, due: f64) -> f64 {
    let seen = seen as f64;
    if due <= seen {
        return 1.0;
    }
    if due > 50.0 {
        // Far from the middle of a wide distribution there is next to nothing.
        return if seen + 2.0 * due.sqrt() >= due {
            1.0
        } else {
            0.0
        };
    }
    let mut term = (-due).exp();
    let mut sum = term;
    for count in 1..=seen as u32 {
        term *= due / f64::from(count);
        sum += term;
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::at_most;

    #[test]
    fn few_where_many_are_due_are_unlikely() {
        assert!((at_most(0, 3.0) - 0.0498).abs() < 1e-3);
        assert!((at_most(2, 3.0) - 0.4232).abs() < 1e-3);
        assert!(at_most(5, 3.0) >= 1.0);
        assert!(at_most(10, 400.0) <= 0.0);
    }
}
