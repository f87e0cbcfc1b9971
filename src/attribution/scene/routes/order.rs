//! Which changes of the slices had a client's routes followed, and which surely not yet?
//!
//! A service proxy applies the states of the slices in their order, several at once where it is late
//! (facts 1.9, 9.13); so does a mesh's. A client that was answered by a pod has its routes at least
//! at the state that brought the pod, one that still chose a pod has them before the state that took
//! it. And while its routes lead to a pod they lead to every pod that was withdrawn later: where
//! those accept and none of them is chosen, the routes have left them all.

use super::Demand;
use crate::attribution::scene::Pod;
use crate::evidence::{ClientInfo, ClockOffsets, EndpointHistory, RunOffset};
use std::collections::BTreeMap;

/// So many pods that left together with one are asked.
const TOGETHER: usize = 8;

/// What clients met of the order of the slices' states.
#[derive(Debug, Default)]
pub(super) struct Order {
    clients: Vec<Met>,
}

/// What one client met.
#[derive(Debug, Default)]
struct Met {
    /// When slices showed a pod as ready, sorted; the earliest answer of such a pod or a later one.
    reached: Vec<(RunOffset, RunOffset)>,
    /// When slices withdrew a pod, sorted; the latest choice of such a pod or an earlier one.
    kept: Vec<(RunOffset, RunOffset)>,
    /// By pod: those that are in the routes as long as it is.
    together: Vec<Together>,
}

/// Pods that are in the routes as long as one of them is, and that accept.
#[derive(Debug, Default)]
struct Together {
    /// The client's last choice of each, and until when it accepts; sorted.
    pods: Vec<(RunOffset, RunOffset)>,
    /// At most so many pods are in these routes.
    hosts: f64,
}

impl Order {
    pub(super) fn of(
        clients: &BTreeMap<String, ClientInfo>,
        endpoints: &EndpointHistory,
        offsets: &ClockOffsets,
        pods: &[Pod],
    ) -> Self {
        let accepted: Vec<Option<RunOffset>> =
            pods.iter().map(|pod| pod.accepted_until(offsets)).collect();
        let met = |name: &String| Met::of(name, endpoints, pods, &accepted);
        Self {
            clients: clients.keys().map(met).collect(),
        }
    }

    /// By `at` the client's routes had followed the change that slices showed at `change`.
    pub(super) fn followed(&self, client: usize, change: RunOffset, at: RunOffset) -> bool {
        let Some(met) = self.clients.get(client) else {
            return false;
        };
        let later = met.reached.partition_point(|(routed, _)| *routed < change);
        met.reached
            .get(later)
            .is_some_and(|(_, answered)| *answered <= at)
    }

    /// At `at` the client's routes had not followed the change that slices showed at `change`.
    pub(super) fn behind(&self, client: usize, change: RunOffset, at: RunOffset) -> bool {
        let Some(met) = self.clients.get(client) else {
            return false;
        };
        let earlier = met.kept.partition_point(|(taken, _)| *taken <= change);
        let last = earlier.checked_sub(1).map(|last| met.kept[last]);
        last.is_some_and(|(_, chosen)| chosen >= at)
    }

    /// How often, by `at`, a client whose routes lead to the pod would have chosen one that accepts
    /// and that is in the routes together with it, since it last did.
    pub(super) fn missed(&self, demand: &Demand, client: usize, pod: usize, at: RunOffset) -> f64 {
        let together = self
            .clients
            .get(client)
            .and_then(|met| met.together.get(pod));
        let Some(together) = together else {
            return 0.0;
        };
        let mut most = 0.0_f64;
        for (index, (since, _)) in together.pods.iter().enumerate() {
            // None of these was chosen any more.
            let own = together.pods[..=index].iter();
            let due = own.map(|(_, until)| demand.between(client, *since, at.min(*until)));
            most = most.max(due.sum::<f64>() / together.hosts);
        }
        most
    }
}

impl Met {
    fn of(
        client: &str,
        endpoints: &EndpointHistory,
        pods: &[Pod],
        accepted: &[Option<RunOffset>],
    ) -> Self {
        let pairs = |one: fn(&Pod) -> Option<RunOffset>,
                     met: &dyn Fn(&Pod) -> Option<RunOffset>| {
            let both = pods.iter().filter_map(|pod| Some((one(pod)?, met(pod)?)));
            let mut both: Vec<_> = both.collect();
            both.sort_unstable();
            both
        };
        let mut reached = pairs(|pod| pod.routed, &|pod| {
            pod.answers.first.get(client).copied()
        });
        for index in (1..reached.len()).rev() {
            reached[index - 1].1 = reached[index - 1].1.min(reached[index].1);
        }
        let mut kept = pairs(|pod| pod.withdrawn, &|pod| {
            pod.answers.chosen.get(client).copied()
        });
        for index in 1..kept.len() {
            kept[index].1 = kept[index].1.max(kept[index - 1].1);
        }
        let mut order: Vec<(Option<RunOffset>, RunOffset, RunOffset)> = pods
            .iter()
            .zip(accepted)
            .filter_map(|(pod, until)| {
                let chosen = *pod.answers.chosen.get(client)?;
                let until = (*until)?;
                (until > chosen).then_some((pod.withdrawn, chosen, until))
            })
            .collect();
        order.sort_unstable_by_key(|(_, chosen, _)| *chosen);
        let together = pods
            .iter()
            .zip(accepted)
            .map(|(pod, until)| Together::of(client, endpoints, pod, *until, &order))
            .collect();
        Self {
            reached,
            kept,
            together,
        }
    }
}

impl Together {
    fn of(
        client: &str,
        endpoints: &EndpointHistory,
        pod: &Pod,
        until: Option<RunOffset>,
        order: &[(Option<RunOffset>, RunOffset, RunOffset)],
    ) -> Self {
        let totals = endpoints.totals.iter();
        let Some(withdrawn) = pod.withdrawn else {
            let chosen = pod.answers.chosen.get(client).copied();
            let most = totals.map(|(_, ready, _)| *ready).max();
            return Self {
                pods: chosen.zip(until).into_iter().collect(),
                hosts: (most.unwrap_or(1).max(1) + 1) as f64,
            };
        };
        let before = totals.take_while(|(seen, _, _)| *seen <= withdrawn);
        let most = before.map(|(_, ready, _)| *ready).max();
        let later = order
            .iter()
            .filter(|(taken, _, _)| taken.is_some_and(|taken| taken >= withdrawn));
        Self {
            pods: later
                .map(|(_, chosen, until)| (*chosen, *until))
                .take(TOGETHER)
                .collect(),
            hosts: most.unwrap_or(1).max(1) as f64,
        }
    }
}
