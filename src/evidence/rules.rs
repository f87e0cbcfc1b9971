//! What does a Service's own object say of whom its clients are sent to?
//!
//! `sessionAffinity: ClientIP` keeps a client's address with one pod; a traffic policy of `Local`
//! leaves it the pods of its own node, or of the node that it asks from outside. Both are said to
//! service proxies: whoever asks through a gateway is sent on by that one's rules, and a headless
//! Service has none. Where the Service's object was not seen nothing is known of either.

use super::asked;
use super::event::ClientInfo;
use super::object::{list, text};
use super::timeline::Timeline;
use serde_json::Value;

/// How long an affinity holds where the Service does not say: the API server's default.
const USUAL_AFFINITY: i64 = 10_800;

/// What one Service's object says for one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceRules {
    /// A client's address stays with its pod for so many nanoseconds after its last connection.
    pub affinity: Option<i64>,
    /// Whether only the endpoints of one node can be chosen.
    pub policy: TrafficPolicy,
    /// The client asks the Service itself: the service proxy of its own node chooses for it.
    pub own_proxy: bool,
}

/// The traffic policy that applies to a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Every endpoint can be chosen.
    #[default]
    Cluster,
    /// Those of the client's own node.
    Local,
    /// Those of one node, at some time or for some clients; of which is not known.
    MaybeLocal,
}

/// The way by which a client asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the Service's own address or name.
    Inside,
    /// By something that leads into the cluster and to the Service.
    Outside,
    /// By something that is not the Service's.
    Gateway,
    /// Not told.
    Unknown,
}

impl ServiceRules {
    /// What all that was seen of the Service says for this client.
    pub fn of(timeline: &Timeline, service: Option<&str>, client: &ClientInfo) -> Self {
        let seen = service.into_iter();
        let seen = seen.flat_map(|service| asked::objects(timeline, service));
        let each: Vec<Self> = seen
            .map(|object| Self::said(object, way(object, client.target.as_deref())))
            .collect();
        let mut all = Self {
            own_proxy: !each.is_empty() && each.iter().all(|rules| rules.own_proxy),
            ..Self::default()
        };
        for rules in &each {
            all.affinity = match (all.affinity, rules.affinity) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        let local = |rules: &&Self| rules.policy == TrafficPolicy::Local;
        let cluster = |rules: &&Self| rules.policy == TrafficPolicy::Cluster;
        all.policy = match each.len() {
            count if each.iter().filter(cluster).count() == count => TrafficPolicy::Cluster,
            count if each.iter().filter(local).count() == count => TrafficPolicy::Local,
            _ => TrafficPolicy::MaybeLocal,
        };
        all
    }

    fn said(service: &Value, way: Way) -> Self {
        if way == Way::Gateway || text(service, "/spec/clusterIP") == Some("None") {
            return Self::default();
        }
        let sticky = text(service, "/spec/sessionAffinity") == Some("ClientIP");
        let told = service.pointer("/spec/sessionAffinityConfig/clientIP/timeoutSeconds");
        let told = told.and_then(Value::as_i64).unwrap_or(USUAL_AFFINITY);
        let local = |policy: &str| text(service, policy) == Some("Local");
        let internal = local("/spec/internalTrafficPolicy");
        let external = local("/spec/externalTrafficPolicy");
        let policy = match way {
            Way::Inside if internal => TrafficPolicy::Local,
            // Of which node the endpoints are is up to what leads there.
            Way::Outside if external => TrafficPolicy::MaybeLocal,
            Way::Unknown if internal || external => TrafficPolicy::MaybeLocal,
            _ => TrafficPolicy::Cluster,
        };
        Self {
            affinity: sticky.then_some(told.saturating_mul(1_000_000_000)),
            policy,
            own_proxy: way == Way::Inside,
        }
    }
}

fn way(service: &Value, target: Option<&str>) -> Way {
    let Some(target) = target else {
        return Way::Unknown;
    };
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    if asked::is_host(service, host.trim_matches(['[', ']'])) {
        return Way::Inside;
    }
    // A node's address, a load balancer's, or a name of one of them: not told apart.
    let kind = text(service, "/spec/type").unwrap_or("ClusterIP");
    let open = kind != "ClusterIP" || list(service, "/spec/externalIPs").next().is_some();
    if open { Way::Outside } else { Way::Gateway }
}

#[cfg(test)]
mod tests;
