//! On which node is a client, and which endpoints are there or meant for it?

use super::{Pod, named};
use crate::evidence::{
    ClientInfo, EndpointHistory, EventKind, Resource, RunOffset, Timeline, text,
};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// The node that the client's pod is on; else the one whose pods have its address.
pub(super) fn node<'h>(
    timeline: &Timeline,
    client: &ClientInfo,
    hosts: &'h HashMap<String, String>,
) -> Option<&'h str> {
    let pod = client.pod.as_ref().and_then(|pod| hosts.get(pod));
    let node = pod.or_else(|| by_address(timeline, client, hosts));
    node.map(String::as_str)
}

fn by_address<'h>(
    timeline: &Timeline,
    client: &ClientInfo,
    hosts: &'h HashMap<String, String>,
) -> Option<&'h String> {
    let own = timeline.failed_requests();
    let own = own.filter(|(_, request)| request.client == client.name);
    let addresses: BTreeSet<&str> = own
        .filter_map(|(_, request)| request.local.as_deref()?.rsplit_once(':'))
        .map(|(host, _)| host.trim_matches(['[', ']']))
        .filter(|host| !host.is_empty())
        .collect();
    let nodes = addresses.iter().map(|address| hosts.get(*address));
    let nodes: Option<BTreeSet<&String>> = nodes.collect();
    let nodes = nodes.filter(|nodes| nodes.len() == 1)?;
    nodes.first().copied()
}

/// The node of a client that the pods of its own node alone can answer, as it and they tell; none where
/// they contradict each other, for then something else than the policy sent it on.
pub(super) fn sole<'h>(
    timeline: &Timeline,
    client: &ClientInfo,
    hosts: &'h HashMap<String, String>,
    endpoints: &'h EndpointHistory,
    pods: &'h [Pod],
) -> Option<&'h str> {
    let answered = timeline.events.iter().filter_map(|event| {
        let EventKind::Requests(counts) = &event.kind else {
            return None;
        };
        let own = counts.client == client.name && counts.ok > 0;
        let sent = counts.latest_sent.unwrap_or(counts.bucket);
        let pod = counts.pod.as_ref().filter(|_| own)?;
        host(endpoints, &pods[named(pods, pod, sent)?])
    });
    let nodes = node(timeline, client, hosts);
    let nodes: BTreeSet<&str> = nodes.into_iter().chain(answered).collect();
    let nodes = (nodes.len() == 1).then_some(nodes)?;
    nodes.first().copied()
}

pub(super) fn on(endpoints: &EndpointHistory, pod: &Pod, node: &str) -> bool {
    host(endpoints, pod).is_none_or(|own| own == node)
}

fn host<'h>(endpoints: &'h EndpointHistory, pod: &'h Pod) -> Option<&'h str> {
    let own = endpoints.nodes.get(&pod.life.uid);
    own.or(pod.life.node.as_ref()).map(String::as_str)
}

/// The totals of every node that had an endpoint; one without any where the client met nobody at all.
pub(super) fn nodes(
    timeline: &Timeline,
    client: &ClientInfo,
    endpoints: &EndpointHistory,
) -> Vec<Vec<(RunOffset, usize, usize)>> {
    let nodes: BTreeSet<&String> = endpoints.nodes.values().collect();
    let mut totals: Vec<_> = nodes.iter().map(|node| endpoints.totals_on(node)).collect();
    let answered = timeline.events.iter().any(|event| match &event.kind {
        EventKind::Requests(counts) => counts.client == client.name && counts.ok > 0,
        _ => false,
    });
    if !answered {
        totals.push(vec![(RunOffset(i64::MIN), 0, 0)]);
    }
    totals
}

pub(super) fn hinted(
    timeline: &Timeline,
    endpoints: &EndpointHistory,
    node: &str,
    pods: &[Pod],
) -> Vec<Option<RunOffset>> {
    let since = endpoints.meant_since(node, zone(timeline, node));
    let since = |pod: &Pod| since.get(&pod.life.uid).copied();
    pods.iter().map(since).collect()
}

fn zone<'t>(timeline: &'t Timeline, node: &str) -> Option<&'t str> {
    timeline.events.iter().rev().find_map(|event| {
        let EventKind::Object {
            resource: Resource::Nodes,
            object,
            ..
        } = &event.kind
        else {
            return None;
        };
        let labels = object.pointer("/metadata/labels");
        let zone = labels.and_then(|labels| labels.get("topology.kubernetes.io/zone"));
        let own = text(object, "/metadata/name") == Some(node);
        zone.and_then(Value::as_str).filter(|_| own)
    })
}
