//! Whom can a client have been sent to, by the rules of the Service that it asks?
//!
//! With an affinity a client meets one pod as long as that one is in the routes: that it met no other
//! tells nothing of the others. With a traffic policy of `Local`, or with hints, a part of the
//! endpoints is not its to meet. Service proxies follow all three; a sidecar follows the policy and no
//! affinity, as far as Istio's does (`filterIstioEndpoint` of istio/istio,
//! <https://github.com/istio/ztunnel/issues/450>). Where the Service was not seen, nothing is known of
//! all that, and everybody can be met.

mod kept;
mod place;

use super::{Pod, is_meshed};
use crate::evidence::{
    ClientInfo, EndpointHistory, RunOffset, ServiceRules, Timeline, TrafficPolicy,
};
use kept::Kept;
use std::collections::{BTreeMap, HashMap};

/// How many endpoints of a node were ready, and how many could stand in, from each arrival on.
pub(in crate::attribution) type Totals = [(RunOffset, usize, usize)];

/// What a pod still weighs that an affinity or hints keep from a client.
const UNLIKELY: f64 = 0.2;

/// And one on another node than its traffic policy leaves it.
const FAR: f64 = 0.02;

/// Whom each client can meet, in the order of their names.
#[derive(Debug, Default)]
pub(in crate::attribution) struct Reach {
    clients: Vec<Whom>,
}

#[derive(Debug, Default)]
struct Whom {
    kept: Option<Kept>,
    near: Near,
}

/// Whom it can meet by their places.
#[derive(Debug, Default)]
enum Near {
    #[default]
    Anybody,
    /// Those of its own node: by pod, and how many there were.
    Own(Vec<bool>, Vec<(RunOffset, usize, usize)>),
    /// Those of one of these nodes: how many each had.
    OneOf(Vec<Vec<(RunOffset, usize, usize)>>),
    /// Those that hints mean for it: by pod, since when; `None`: its place is not known.
    Hinted(Option<Vec<Option<RunOffset>>>),
}

/// The pod that had this name at `at`.
fn named(pods: &[Pod], name: &str, at: RunOffset) -> Option<usize> {
    let own = |pod: &Pod| pod.life.name == name && (pod.life.initial || pod.life.first_seen <= at);
    pods.iter().rposition(own)
}

impl Reach {
    /// `hosts`: the nodes of pods by their names and by their addresses.
    pub(super) fn of(
        timeline: &Timeline,
        clients: &BTreeMap<String, ClientInfo>,
        endpoints: &EndpointHistory,
        hosts: &HashMap<String, String>,
        pods: &[Pod],
    ) -> Self {
        let service = timeline.run.service.as_deref();
        let near = |rules: &ServiceRules, client: &ClientInfo, meshed: bool| {
            let hinted = rules.policy == TrafficPolicy::Cluster && endpoints.hinted();
            if rules.policy == TrafficPolicy::Cluster && !hinted {
                return Near::Anybody;
            }
            if rules.policy == TrafficPolicy::Local {
                // Its own node's service proxy chooses, or its sidecar, which follows the policy too.
                return match place::sole(timeline, client, hosts, endpoints, pods) {
                    Some(node) => {
                        let there = pods.iter().map(|pod| place::on(endpoints, pod, node));
                        Near::Own(there.collect(), endpoints.totals_on(node))
                    }
                    None => Near::OneOf(place::nodes(timeline, client, endpoints)),
                };
            }
            if !hinted {
                return Near::OneOf(place::nodes(timeline, client, endpoints));
            }
            // Another than its node's service proxy may choose otherwise: a sidecar, or a gateway.
            let own = rules.own_proxy && !meshed;
            let node = place::node(timeline, client, hosts).filter(|_| own);
            Near::Hinted(node.map(|node| place::hinted(timeline, endpoints, node, pods)))
        };
        let whom = |client: &ClientInfo| {
            let rules = ServiceRules::of(timeline, service, client);
            let meshed = is_meshed(clients, &client.name);
            let kept = rules.affinity.filter(|_| !meshed);
            Whom {
                kept: kept.map(|lasts| match rules.own_proxy {
                    true => Kept::of(lasts, timeline, client, pods),
                    // Several nodes may each keep it with another.
                    false => Kept::default(),
                }),
                near: near(&rules, client, meshed),
            }
        };
        Self {
            clients: clients.values().map(whom).collect(),
        }
    }

    /// That this client did not meet a pod, although it was due, tells of its routes.
    pub(in crate::attribution) fn tells(&self, client: usize) -> bool {
        let whom = self.clients.get(client);
        whom.is_none_or(|whom| {
            whom.kept.is_none() && matches!(whom.near, Near::Anybody | Near::Own(..))
        })
    }

    /// What the pod weighs as the one that the client's connection of `at` was sent to.
    pub(in crate::attribution) fn weight(
        &self,
        client: usize,
        pods: &[Pod],
        pod: usize,
        at: RunOffset,
    ) -> f64 {
        let Some(whom) = self.clients.get(client) else {
            return 1.0;
        };
        let near = match &whom.near {
            Near::Own(there, _) if !there[pod] => FAR,
            Near::Hinted(Some(since)) if since[pod].is_none_or(|since| since > at) => UNLIKELY,
            _ => 1.0,
        };
        let kept = whom.kept.as_ref();
        if kept.is_some_and(|kept| !kept.fits(pods, pod, at)) {
            near * UNLIKELY
        } else {
            near
        }
    }

    /// How many endpoints its node had, where those of one node alone can be chosen; of each node that
    /// may be its own where that is not known.
    pub(in crate::attribution) fn on_its_node(&self, client: usize) -> Vec<&Totals> {
        match self.clients.get(client).map(|whom| &whom.near) {
            Some(Near::Own(_, totals)) => vec![totals],
            Some(Near::OneOf(nodes)) => nodes.iter().map(Vec::as_slice).collect(),
            _ => Vec::new(),
        }
    }

    /// It is known which node is the client's.
    pub(in crate::attribution) fn knows_its_node(&self, client: usize) -> bool {
        let near = self.clients.get(client).map(|whom| &whom.near);
        matches!(near, Some(Near::Own(..)))
    }

    /// What is said of the Service that this client asks.
    pub(in crate::attribution) fn told(&self, client: usize) -> Vec<&'static str> {
        let Some(whom) = self.clients.get(client) else {
            return Vec::new();
        };
        let near = match &whom.near {
            Near::Anybody => None,
            Near::Own(..) => Some("the Service leaves a client the pods of its own node"),
            Near::OneOf(_) => Some(
                "the Service leaves a client the pods of one node, and of which is not known: that it \
                 met no other tells nothing",
            ),
            Near::Hinted(_) => Some(
                "hints mean each endpoint for some nodes or zones: that a client met no other tells \
                 nothing",
            ),
        };
        let kept = whom.kept.as_ref().map(|_| {
            "the Service keeps a client's address with one pod: that it met no other tells nothing"
        });
        kept.into_iter().chain(near).collect()
    }
}
