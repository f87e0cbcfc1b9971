//! What happened around the failures, as far as the record lets us know?
//!
//! [`Scene`] holds everything that explainers ask: the target's pods with their decisive instants
//! as intervals on the harness's clock, the Service's endpoints, the clocks' offsets, who the
//! clients are, and where the record is blind. It is built once and only read afterwards.

mod app_log;
mod baseline;
mod blind;
mod circumstances;
mod demand;
mod instants;
mod intermediaries;
mod loose;
mod pod;
mod probes;
mod proxy_log;
mod reach;
mod routes;
mod since;
mod span;

pub(super) use app_log::{AppLog, place};
pub(super) use baseline::Baseline;
pub(super) use blind::Blind;
pub(super) use circumstances::Circumstances;
pub(super) use instants::{Crash, End, How, Reaction};
pub(super) use intermediaries::{Intermediary, Outage};
pub(super) use loose::Loose;
pub(super) use pod::{MOMENTS, Pod, SAME};
pub(super) use proxy_log::{Access, ProxyLogs, Sighting};
pub(super) use reach::{Reach, Totals};
pub(super) use routes::Routes;
pub(super) use since::Counted;
pub(super) use span::{nearness, overlap};

use crate::evidence::{
    ClientInfo, ClockOffsets, EndpointHistory, EventKind, FailedRequest, Harness, Interval,
    PodEvent, PodLife, Resource, RunOffset, Timeline, object_constraints, pod_events,
    replica_set_owners,
};
use crate::scenario::{ObservePlan, Plan};
use std::collections::{BTreeMap, HashMap};

/// The record, arranged for questions.
pub(super) struct Scene<'a> {
    pub(super) timeline: &'a Timeline,
    /// The target's pods.
    pub(super) pods: Vec<Pod>,
    /// Pods by name; a StatefulSet reuses names, so the newest comes last.
    pub(super) by_name: HashMap<String, Vec<usize>>,
    /// Pods by address.
    by_address: HashMap<String, Vec<usize>>,
    pub(super) proxies: ProxyLogs,
    /// Lines that fit a request by other things than its id.
    pub(super) loose: Loose,
    pub(super) endpoints: EndpointHistory,
    pub(super) offsets: ClockOffsets,
    pub(super) clients: BTreeMap<String, ClientInfo>,
    pub(super) baseline: Baseline,
    /// Whom clients can meet by the Service's rules.
    pub(super) reach: Reach,
    pub(super) routes: Routes,
    pub(super) harness: Vec<Harness>,
    pub(super) observe: ObservePlan,
    /// In each namespace whose gateways are to be watched some were.
    pub(super) gateways_known: bool,
    /// Proxies on the way that ended, and that belong to no app.
    pub(super) intermediaries: Vec<Intermediary>,
    /// By pod: what may be added to a failure that is its.
    pub(super) circumstances: Vec<Circumstances>,
    /// Requests go through something outside the cluster: an ingress or a load balancer.
    pub(super) outer: bool,
    blind: Blind,
    /// The nodes of all pods, by the pods' names.
    nodes: HashMap<String, String>,
    /// Nodes whose Ready condition was lost, and when.
    pub(super) lost_nodes: Vec<(String, Interval)>,
}

impl<'a> Scene<'a> {
    /// Arranges the record.
    pub(super) fn new(timeline: &'a Timeline) -> Self {
        let plan = serde_json::from_value::<Plan>(timeline.run.plan.clone()).ok();
        let outer = plan.as_ref().is_some_and(|plan| plan.target.url.is_some());
        // The patterns of the plan; the defaults where the run has none.
        let observe = plan.map(|plan| plan.observe).unwrap_or_default();
        let everyone = PodLife::all(timeline);
        let nodes: HashMap<String, String> = everyone
            .iter()
            .filter_map(|life| Some((life.name.clone(), life.node.clone()?)))
            .collect();
        let hosts = hosts(&everyone);
        let service = timeline.run.service.as_deref();
        let endpoints = EndpointHistory::of(timeline, service);
        let (mut lives, others) = target_pods(timeline, everyone);
        if service.is_some() {
            add_listed_pods(&endpoints, &mut lives);
        }
        for life in &mut lives {
            life.ports = endpoints.ports.get(&life.uid).cloned().unwrap_or_default();
        }
        let proxies = ProxyLogs::of(timeline, observe.access_log_format.as_deref());
        let blind = Blind::of(timeline);
        let logs: Vec<AppLog> = lives
            .iter()
            .map(|life| AppLog::of(timeline, life, &lives))
            .collect();
        let clients = clients(timeline);
        let answers = instants::answers(timeline, &lives, &clients);
        let mut constraints = object_constraints(timeline, &lives);
        let mut events = pod_events(timeline);
        for (life, log) in lives.iter().zip(&logs) {
            app_log::constraints(
                timeline,
                life,
                log,
                answers.get(&life.name),
                events.get(&life.uid).map_or(&[], Vec::as_slice),
                &mut constraints,
            );
        }
        proxy_log::constraints(
            timeline,
            &proxies,
            &lives,
            &clients,
            &nodes,
            &mut constraints,
        );
        let wanting = loose::wanting(timeline, &proxies, &clients);
        loose::constraints(timeline, &proxies, &wanting, &nodes, &mut constraints);
        let offsets = ClockOffsets::solve(timeline, &constraints);
        let loose = Loose::of(&proxies, &wanting, &nodes, &offsets);
        let intermediaries = Intermediary::all(&others, &offsets);
        let mut gateways = observe.gateways.iter();
        let gateways_known =
            gateways.all(|place| others.iter().any(|life| life.namespace == *place));
        let mut probes = probes::all(timeline);
        let pods: Vec<Pod> = lives
            .into_iter()
            .zip(logs)
            .map(|(life, log)| {
                let events: Vec<PodEvent> = events.remove(&life.uid).unwrap_or_default();
                let mut answers = answers.get(&life.name).cloned().unwrap_or_default();
                answers.probed = probes.remove(&life.uid).unwrap_or_default();
                let proxy = proxies.lives.get(&life.name).cloned().unwrap_or_default();
                Pod::new(
                    life, log, proxy, answers, events, &offsets, &endpoints, &blind,
                )
            })
            .collect();
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let mut by_address: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, pod) in pods.iter().enumerate() {
            by_name
                .entry(pod.life.name.clone())
                .or_default()
                .push(index);
            let address = pod.life.ip.as_ref();
            if let Some(address) = address.or(endpoints.addresses.get(&pod.life.uid)) {
                by_address.entry(address.clone()).or_default().push(index);
            }
        }
        let circumstances = Circumstances::all(timeline, &pods, &endpoints);
        let baseline = Baseline::of(timeline, &pods, &offsets);
        let reach = Reach::of(timeline, &clients, &endpoints, &hosts, &pods);
        Self {
            timeline,
            loose,
            routes: Routes::of(timeline, &clients, &endpoints, &offsets, &pods),
            reach,
            pods,
            by_name,
            by_address,
            proxies,
            endpoints,
            offsets,
            clients,
            baseline,
            harness: harness(timeline),
            gateways_known,
            intermediaries,
            circumstances,
            outer,
            observe,
            lost_nodes: lost_nodes(timeline),
            blind,
            nodes,
        }
    }

    /// The record saw nothing of `what` at some time within `span`.
    pub(super) fn blind(&self, what: &str, span: Interval) -> bool {
        self.blind.to(what, span)
    }

    /// The record may lack lines that this container wrote within `span`.
    pub(super) fn blind_to_log(&self, pod: &str, container: &str, span: Interval) -> bool {
        self.blind.to_log(pod, container, span)
    }

    /// The pod of that name that was there at `at`.
    pub(super) fn pod_named(&self, name: &str, at: RunOffset) -> Option<usize> {
        let indices = self.by_name.get(name)?;
        self.latest_seen(indices, at)
    }

    /// The latest of these pods that had been seen by `at`; else the first of them.
    fn latest_seen(&self, indices: &[usize], at: RunOffset) -> Option<usize> {
        let seen = |index: &&usize| {
            let life = &self.pods[**index].life;
            life.first_seen <= at || life.initial
        };
        let latest = indices.iter().rev().find(seen);
        latest.or(indices.first()).copied()
    }

    /// The pod that had this address (`ip:port`) at `at`.
    pub(super) fn pod_at(&self, host: &str, at: RunOffset) -> Option<usize> {
        let (address, _) = host.rsplit_once(':')?;
        let indices = self.by_address.get(address.trim_matches(['[', ']']))?;
        self.latest_seen(indices, at)
    }

    /// A line of a pod's sidecar is this request's, or may be as far as anything tells.
    pub(super) fn may_have_logged(&self, event: u64, request: &FailedRequest, pod: &str) -> bool {
        let own = |line: &&Access| line.inbound && line.pod == pod;
        let by_id = self.proxies.of_request(&request.request_id);
        let loosely = self.loose.lines(&self.proxies, event, true);
        loosely.cut || by_id.iter().chain(&loosely.lines).any(own)
    }

    /// A line of the agent of a pod's proxy, as evidence names it.
    pub(super) fn agent_line(&self, pod: &Pod, line: Option<usize>) -> Option<String> {
        self.line(&pod.life.name, &pod.life.sidecar()?.name, line?)
    }

    /// A line of a container's log, as evidence names it.
    pub(super) fn line(&self, pod: &str, container: &str, index: usize) -> Option<String> {
        let log = self.timeline.log(pod, container)?;
        let text = &log.lines.get(index)?.text;
        Some(format!("{pod}/{container}: {text}"))
    }
}

/// The nodes of pods by their names and by their addresses, where one node alone had them.
fn hosts(everyone: &[PodLife]) -> HashMap<String, String> {
    let mut hosts: HashMap<String, Option<String>> = HashMap::new();
    for life in everyone {
        let Some(node) = &life.node else {
            continue;
        };
        for key in std::iter::once(&life.name).chain(&life.ip) {
            let host = hosts
                .entry(key.clone())
                .or_insert_with(|| Some(node.clone()));
            *host = host.take().filter(|host| host == node);
        }
    }
    let known = |(key, node): (String, Option<String>)| Some((key, node?));
    hosts.into_iter().filter_map(known).collect()
}

/// The pods of the workload, and all others. A namespace whose gateways are watched may have a workload
/// of the same name.
fn target_pods(timeline: &Timeline, lives: Vec<PodLife>) -> (Vec<PodLife>, Vec<PodLife>) {
    let owners = replica_set_owners(timeline);
    let here = |life: &PodLife| life.namespace == timeline.run.namespace;
    match timeline.run.workload.as_deref() {
        Some(workload) => lives
            .into_iter()
            .partition(|life| here(life) && life.belongs_to(workload, &owners)),
        None => (lives, Vec::new()),
    }
}

/// Pods that the Service's slices list and that the pods' watch never showed.
fn add_listed_pods(endpoints: &EndpointHistory, lives: &mut Vec<PodLife>) {
    for (uid, changes) in &endpoints.pods {
        if lives.iter().any(|life| life.uid == *uid) {
            continue;
        }
        let (Some(name), Some(first)) = (endpoints.names.get(uid), changes.first()) else {
            continue;
        };
        let ip = endpoints.addresses.get(uid).map(String::as_str);
        lives.push(PodLife::listed_only(uid, name, ip, first.seen));
    }
}

fn clients(timeline: &Timeline) -> BTreeMap<String, ClientInfo> {
    timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Client(client) => Some((client.name.clone(), client.clone())),
            _ => None,
        })
        .collect()
}

/// The client sits behind a sidecar of its own.
pub(super) fn is_meshed(clients: &BTreeMap<String, ClientInfo>, name: &str) -> bool {
    clients.get(name).is_some_and(|client| client.meshed)
}

fn harness(timeline: &Timeline) -> Vec<Harness> {
    timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Harness(harness) => Some(harness.clone()),
            _ => None,
        })
        .collect()
}

fn lost_nodes(timeline: &Timeline) -> Vec<(String, Interval)> {
    let mut ready: HashMap<String, RunOffset> = HashMap::new();
    let mut lost = Vec::new();
    for event in &timeline.events {
        let EventKind::Object {
            resource: Resource::Nodes,
            object,
            ..
        } = &event.kind
        else {
            continue;
        };
        let Some(name) = object
            .pointer("/metadata/name")
            .and_then(|name| name.as_str())
        else {
            continue;
        };
        let conditions = object
            .pointer("/status/conditions")
            .and_then(|all| all.as_array());
        let is_ready = conditions.into_iter().flatten().find_map(|condition| {
            (condition.get("type")?.as_str()? == "Ready")
                .then(|| condition.get("status").and_then(|status| status.as_str()) == Some("True"))
        });
        match is_ready {
            Some(true) => {
                ready.insert(name.to_owned(), event.at.hi);
            }
            Some(false) => {
                let from = ready.get(name).copied().unwrap_or(RunOffset(i64::MIN));
                let span = Interval::between(from, event.at.hi);
                lost.push((name.to_owned(), span));
            }
            None => {}
        }
    }
    lost
}
