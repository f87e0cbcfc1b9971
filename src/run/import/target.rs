//! Which workload and Service was a captured rollout about?
//!
//! The controller of the pods that were deleted in the capture, else of those whose containers
//! ended in it, else the workload whose template or ReplicaSets changed; and the Service whose
//! slices list its pods. Where several can be meant, it is the one that the clients asked: in a
//! shared namespace other workloads have rollouts of their own.

mod asked;
mod named;
mod place;

use super::ImportOptions;
use super::gathered::Gathered;
use crate::evidence::{Change, EventKind, Resource, controller, ran, text};
pub(super) use named::check;

use asked::Asked;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the run is about.
#[derive(Debug, Default)]
pub(super) struct Target {
    pub(super) namespace: String,
    pub(super) workload: Option<String>,
    pub(super) service: Option<String>,
    /// The containers of its pods that logged: apps and sidecars, not those that only initialise or
    /// never ran.
    pub(super) containers: BTreeSet<(String, String)>,
}

/// The kinds of workloads, as a record names them.
const KINDS: [(Resource, &str); 4] = [
    (Resource::Deployments, "deployment"),
    (Resource::StatefulSets, "statefulset"),
    (Resource::DaemonSets, "daemonset"),
    (Resource::Jobs, "job"),
];

/// The label of a slice that names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What the capture tells of one pod.
#[derive(Debug, Default)]
struct Pod {
    name: String,
    namespace: String,
    workload: Option<String>,
    containers: Vec<String>,
    /// Those of them that ran, or may have.
    ran: BTreeSet<String>,
    was_going: bool,
    deleted: bool,
    ended: bool,
    restarts: Option<i64>,
    terminated: Option<usize>,
}

/// Finds the target, or takes what overrules it.
pub(super) fn detect(gathered: &Gathered, options: &ImportOptions) -> Target {
    let owners = replica_set_owners(gathered);
    let pods = pods(gathered, &owners);
    let asked = Asked::of(gathered);
    let mut listed = listed(gathered, &owners, &pods);
    let workload = options.workload.clone().or_else(|| {
        let meant = meant(&owners, &pods, &listed, &asked);
        let of_meant = |pod: &&Pod| pod.workload.as_ref().is_some_and(|it| meant.contains(it));
        let asked = || pods.values().filter(of_meant);
        deleted(asked)
            .or_else(|| most(asked().filter(|pod| pod.ended)))
            .or_else(|| deleted(|| pods.values()))
            .or_else(|| going_in_slices(gathered, &owners, &meant))
            .or_else(|| most(pods.values().filter(|pod| pod.ended)))
            .or_else(|| changed(gathered, &owners))
    });
    let mut mine: Vec<&Pod> = pods
        .values()
        .filter(|pod| workload.is_some() && pod.workload == workload)
        .collect();
    listed.retain(|one| Some(&one.workload) == workload.as_ref());
    let namespace = place::of(&mine, &listed, &asked);
    mine.retain(|pod| Some(&pod.namespace) == namespace.as_ref());
    listed
        .retain(|one| one.namespace.is_none() || namespace.is_none() || one.namespace == namespace);
    let service = options
        .service
        .clone()
        .or_else(|| service_of(&listed, &asked));
    Target {
        namespace: namespace.unwrap_or_else(|| "default".to_owned()),
        containers: mine
            .iter()
            .flat_map(|pod| pod.ran.iter().map(|name| (pod.name.clone(), name.clone())))
            .collect(),
        workload,
        service,
    }
}

/// The workload of most of those of these pods that were deleted: in the capture, else before it.
fn deleted<'a, I: Iterator<Item = &'a Pod>>(pods: impl Fn() -> I) -> Option<String> {
    most(pods().filter(|pod| pod.deleted && !pod.was_going))
        .or_else(|| most(pods().filter(|pod| pod.deleted)))
}

/// The workloads whose pods answered the clients, and those behind a Service that they asked.
fn meant(
    owners: &HashMap<String, String>,
    pods: &HashMap<String, Pod>,
    listed: &BTreeSet<Listed>,
    asked: &Asked,
) -> BTreeSet<String> {
    let answered = pods.values().filter(|pod| asked.pods.contains(&pod.name));
    let answered = answered.filter_map(|pod| pod.workload.clone());
    let by_name = asked
        .pods
        .iter()
        .filter_map(|pod| workload_by_name(pod, owners));
    let behind = listed
        .iter()
        .filter(|one| asked.service(one.namespace.as_deref(), &one.service))
        .map(|one| one.workload.clone());
    answered.chain(by_name).chain(behind).collect()
}

/// The workload of most of these pods; of equals the first by name.
fn most<'a>(pods: impl Iterator<Item = &'a Pod>) -> Option<String> {
    most_common(pods.filter_map(|pod| pod.workload.clone()))
}

fn most_common(names: impl Iterator<Item = String>) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let highest = counts.values().copied().max()?;
    counts
        .into_iter()
        .find(|(_, count)| *count == highest)
        .map(|(name, _)| name)
}

fn replica_set_owners(gathered: &Gathered) -> HashMap<String, String> {
    gathered
        .objects(Resource::ReplicaSets)
        .filter_map(|(_, _, object)| {
            let name = text(object, "/metadata/name")?.to_owned();
            let (kind, owner) = controller(object)?;
            Some((name, format!("{}/{owner}", kind.to_lowercase())))
        })
        .collect()
}

/// The workload behind a controller: a ReplicaSet's Deployment, or the controller itself.
fn workload(kind: &str, name: &str, owners: &HashMap<String, String>) -> String {
    if kind != "ReplicaSet" {
        return format!("{}/{name}", kind.to_lowercase());
    }
    owners.get(name).cloned().unwrap_or_else(|| {
        let base = name.rsplit_once('-').map_or(name, |(base, _)| base);
        format!("deployment/{base}")
    })
}

/// The workload of a pod that only its name tells: `<deployment>-<hash>-<suffix>`.
fn workload_by_name(pod: &str, owners: &HashMap<String, String>) -> Option<String> {
    let (replica_set, _) = pod.rsplit_once('-')?;
    owners.get(replica_set).cloned()
}

fn pods(gathered: &Gathered, owners: &HashMap<String, String>) -> HashMap<String, Pod> {
    let mut pods: HashMap<String, Pod> = HashMap::new();
    for (_, change, object) in gathered.objects(Resource::Pods) {
        let Some(uid) = text(object, "/metadata/uid").or_else(|| text(object, "/metadata/name"))
        else {
            continue;
        };
        let going = object
            .pointer("/metadata/deletionTimestamp")
            .is_some_and(|at| !at.is_null());
        let first = !pods.contains_key(uid);
        let pod = pods.entry(uid.to_owned()).or_default();
        if first {
            pod.name = text(object, "/metadata/name")
                .unwrap_or_default()
                .to_owned();
            pod.namespace = text(object, "/metadata/namespace")
                .unwrap_or("default")
                .to_owned();
            pod.workload = controller(object).map(|(kind, name)| workload(kind, name, owners));
            pod.containers = log_containers(object);
            pod.was_going = going;
        }
        let may_have = |name: &&String| may_have_run(object, name);
        pod.ran
            .extend(pod.containers.iter().filter(may_have).cloned());
        pod.deleted |= going || change == Change::Deleted;
        let (restarts, terminated) = ends(object);
        pod.ended |= pod.restarts.is_some_and(|before| before < restarts)
            || pod.terminated.is_some_and(|before| before < terminated);
        pod.restarts = Some(restarts);
        pod.terminated = Some(terminated);
    }
    for raw in &gathered.raw {
        let EventKind::Blind(gap) = &raw.kind else {
            continue;
        };
        let (Some(uids), "pods") = (&gap.uids, gap.what.as_str()) else {
            continue;
        };
        for (uid, pod) in &mut pods {
            if first_seen_before(gathered, uid, raw.hi) && !uids.contains(uid) {
                pod.deleted = true;
                pod.ran.extend(pod.containers.iter().cloned());
            }
        }
    }
    pods
}

fn first_seen_before(gathered: &Gathered, uid: &str, at: i64) -> bool {
    gathered
        .objects(Resource::Pods)
        .any(|(seen, _, object)| seen < at && text(object, "/metadata/uid") == Some(uid))
}

/// Restarts and ended containers, init containers left out.
fn ends(pod: &Value) -> (i64, usize) {
    let Some(statuses) = pod
        .pointer("/status/containerStatuses")
        .and_then(Value::as_array)
    else {
        return (0, 0);
    };
    let restarts = statuses
        .iter()
        .filter_map(|status| status.get("restartCount")?.as_i64())
        .sum();
    let ended = statuses
        .iter()
        .filter(|status| status.pointer("/state/terminated").is_some())
        .count();
    (restarts, ended)
}

/// Containers whose logs matter: the regular ones and native sidecars.
fn log_containers(pod: &Value) -> Vec<String> {
    let list = |pointer| {
        pod.pointer(pointer)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let sidecars = list("/spec/initContainers")
        .filter(|container| text(container, "/restartPolicy") == Some("Always"));
    list("/spec/containers")
        .chain(sidecars)
        .filter_map(|container| Some(text(container, "/name")?.to_owned()))
        .collect()
}

/// Whether a state of a pod leaves it possible that a container has run. One that waits for its first
/// start has not.
fn may_have_run(pod: &Value, container: &str) -> bool {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let mut statuses = lists
        .iter()
        .filter_map(|list| pod["status"][*list].as_array())
        .flatten();
    let Some(status) = statuses.find(|status| status["name"] == container) else {
        return pod["status"]["phase"] != "Pending";
    };
    let state = &status["state"];
    let ended_before = ran(&status["lastState"]);
    if state["waiting"].is_object() {
        ended_before
    } else {
        ended_before || ran(state) || !state["terminated"].is_object()
    }
}

/// The workload of the pods that slices show as terminating, where the pods themselves were not seen.
fn going_in_slices(
    gathered: &Gathered,
    owners: &HashMap<String, String>,
    meant: &BTreeSet<String>,
) -> Option<String> {
    let mut names = BTreeSet::new();
    for (_, _, slice) in gathered.objects(Resource::EndpointSlices) {
        for endpoint in slice
            .get("endpoints")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if endpoint
                .pointer("/conditions/terminating")
                .and_then(Value::as_bool)
                == Some(true)
                && let Some(name) = text(endpoint, "/targetRef/name")
            {
                names.insert(name);
            }
        }
    }
    let owned = || {
        names
            .iter()
            .filter_map(|name| workload_by_name(name, owners))
    };
    most_common(owned().filter(|workload| meant.contains(workload)))
        .or_else(|| most_common(owned()))
}

/// The workload whose template, size or ReplicaSets changed during the capture.
fn changed(gathered: &Gathered, owners: &HashMap<String, String>) -> Option<String> {
    for (resource, kind) in KINDS {
        let mut specs: HashMap<&str, &Value> = HashMap::new();
        for (_, _, object) in gathered.objects(resource) {
            let (Some(name), Some(spec)) = (text(object, "/metadata/name"), object.get("spec"))
            else {
                continue;
            };
            if specs
                .insert(name, spec)
                .is_some_and(|before| before != spec)
            {
                return Some(format!("{kind}/{name}"));
            }
        }
    }
    let mut first = None;
    for (at, change, object) in gathered.objects(Resource::ReplicaSets) {
        let name = text(object, "/metadata/name")?;
        if change == Change::Added && *first.get_or_insert(at) < at {
            return owners.get(name).cloned();
        }
    }
    None
}

/// The Service whose slices list most of these pods: of those that the clients asked, where any of
/// them does.
fn service_of(listed: &BTreeSet<Listed>, asked: &Asked) -> Option<String> {
    let services = |asked_alone: bool| {
        let meant =
            |one: &&Listed| !asked_alone || asked.service(one.namespace.as_deref(), &one.service);
        most_common(listed.iter().filter(meant).map(|one| one.service.clone()))
    };
    services(true).or_else(|| services(false))
}

/// A pod of a workload that a Service's slices list.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    namespace: Option<String>,
    service: String,
    pod: String,
    workload: String,
}

/// All that slices list, each pod of each Service once.
fn listed(
    gathered: &Gathered,
    owners: &HashMap<String, String>,
    pods: &HashMap<String, Pod>,
) -> BTreeSet<Listed> {
    let mut listed = BTreeSet::new();
    for (_, _, slice) in gathered.objects(Resource::EndpointSlices) {
        let Some(service) = slice
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get(SERVICE_LABEL))
            .and_then(Value::as_str)
        else {
            continue;
        };
        let endpoints = slice.get("endpoints").and_then(Value::as_array);
        for endpoint in endpoints.into_iter().flatten() {
            let Some(name) = text(endpoint, "/targetRef/name") else {
                continue;
            };
            let owner = text(endpoint, "/targetRef/uid")
                .and_then(|uid| pods.get(uid)?.workload.clone())
                .or_else(|| workload_by_name(name, owners));
            if let Some(workload) = owner {
                listed.insert(Listed {
                    namespace: text(slice, "/metadata/namespace").map(str::to_owned),
                    service: service.to_owned(),
                    pod: name.to_owned(),
                    workload,
                });
            }
        }
    }
    listed
}
