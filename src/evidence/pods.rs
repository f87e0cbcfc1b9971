//! What did each pod go through, as its watch showed it?
//!
//! [`PodLife::all`] folds the states of every pod into one life per uid: containers, deletion,
//! ends of containers, readiness, removal. Stamps stay raw here (a floored second of the clock that
//! made it); arrivals are instants of the harness's clock. A watch that was blind leaves holes,
//! which [`PodLife::unseen`] names.

use super::drain::{self, DrainSettings};
use super::event::{Change, EventKind, Resource};
use super::listed::listed_by;
use super::object::{containers, controller, epoch, labels, list, text};
use super::stamp::{Interval, RunOffset};
use super::timeline::Timeline;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// One second in nanoseconds: by how much the API floors its stamps.
pub const FLOOR: i64 = 1_000_000_000;

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves or works.
    App,
    /// A mesh's proxy beside the app, a regular container.
    ClassicSidecar,
    /// A mesh's proxy that is an init container with `restartPolicy: Always`.
    NativeSidecar,
    /// Runs before the others and ends.
    Init,
}

/// A container as the pod's spec has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// It has a preStop hook.
    pub prestop: bool,
    /// Its preStop hook sleeps for so long, nanoseconds: the signal comes after that. 0: not known.
    pub prestop_sleep: i64,
    /// It has a readiness probe.
    pub readiness_probe: bool,
    /// It declares a port.
    pub serves: bool,
}

impl ContainerSpec {
    /// It is the mesh's proxy.
    pub(super) fn is_sidecar(&self) -> bool {
        matches!(self.role, Role::ClassicSidecar | Role::NativeSidecar)
    }
}

/// One end of one container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerEnd {
    /// The container.
    pub container: String,
    /// Its exit code.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`, ...
    pub reason: String,
    /// `startedAt`, epoch nanoseconds by the node's clock, floored to a second.
    pub started: Option<i64>,
    /// `finishedAt`, likewise.
    pub finished: Option<i64>,
    /// When the watch showed it first.
    pub seen: RunOffset,
    /// The event that showed it.
    pub event: u64,
    /// It was ended already when the watch began: not of this run.
    pub before_run: bool,
}

/// A deletion as the first pair of stamps tells it (facts 1.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Deletion {
    /// The request, epoch nanoseconds by the apiserver's clock, floored to a second.
    pub requested: i64,
    /// The grace period in nanoseconds.
    pub grace: i64,
    /// When the watch showed it first.
    pub seen: RunOffset,
    /// The event that showed it.
    pub event: u64,
}

/// A start of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerStart {
    /// The container.
    pub container: String,
    /// `startedAt`, epoch nanoseconds by the node's clock, floored to a second.
    pub started: i64,
    /// When the watch showed it first.
    pub seen: RunOffset,
}

/// What one pod went through.
#[derive(Clone, Debug, PartialEq)]
pub struct PodLife {
    /// Its uid.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The node it runs on.
    pub node: Option<String>,
    /// Its address.
    pub ip: Option<String>,
    /// Kind and name of its controller.
    pub controller: Option<(String, String)>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `pod-template-hash`, where it has one.
    pub template_hash: Option<String>,
    /// Its containers.
    pub containers: Vec<ContainerSpec>,
    /// For how long its sidecar is told to stay.
    pub drain: DrainSettings,
    /// `terminationGracePeriodSeconds` of its spec, nanoseconds.
    pub spec_grace: i64,
    /// `creationTimestamp`, epoch nanoseconds by the apiserver's clock, floored to a second.
    pub created: Option<i64>,
    /// When the watch showed it first.
    pub first_seen: RunOffset,
    /// It was there when the watch began.
    pub initial: bool,
    /// Its deletion, where one was seen.
    pub deletion: Option<Deletion>,
    /// `deletionGracePeriodSeconds` as it was seen last, nanoseconds.
    pub last_grace: Option<i64>,
    /// It was being deleted already when the watch began.
    pub going_before_run: bool,
    /// When its object was gone, where that was seen: between the last sign of it and this.
    pub removed: Option<Interval>,
    /// Ends of containers, in the order in which they were seen.
    pub ends: Vec<ContainerEnd>,
    /// Starts of containers.
    pub starts: Vec<ContainerStart>,
    /// Changes of the Ready condition: when seen, its value, its transition stamp (node's clock).
    pub ready: Vec<(RunOffset, bool, Option<i64>)>,
    /// The reason of the `DisruptionTarget` condition, where there is one.
    pub disruption: Option<String>,
    /// `status.reason`: `Evicted`, `Terminated`, ...
    pub status_reason: Option<String>,
    /// Last arrival of any state of it.
    pub last_seen: RunOffset,
    /// The phase that was seen last.
    pub phase: String,
    /// The watch was blind at some time while its fate was open.
    pub unseen: bool,
}

impl PodLife {
    /// The lives of all pods that the record shows, in the order of their first appearance.
    pub fn all(timeline: &Timeline) -> Vec<Self> {
        let mut lives = Lives::default();
        let listed = listed_by(&timeline.events);
        for event in &timeline.events {
            match &event.kind {
                EventKind::Object {
                    resource: Resource::Pods,
                    change,
                    object,
                } => lives.apply(event.seq, event.at.hi, *change, object, listed),
                EventKind::Blind(gap) if gap.what == "pods" => match (gap.from, gap.to) {
                    (Some(from), Some(to)) => lives.relist(from, to, gap.uids.as_deref()),
                    (Some(_), None) if timeline.is_lost(gap) => lives.lost(),
                    _ => {}
                },
                _ => {}
            }
        }
        let order = lives.order;
        let mut by_uid = lives.by_uid;
        order.iter().filter_map(|uid| by_uid.remove(uid)).collect()
    }

    /// A pod that only slices show: nothing of its own states was seen.
    pub fn listed_only(uid: &str, name: &str, ip: Option<&str>, seen: RunOffset) -> Self {
        let mut life = new_life(uid, seen, &Value::Null, true);
        name.clone_into(&mut life.name);
        life.ip = ip.map(str::to_owned);
        life.unseen = true;
        life
    }

    /// The container that serves: the first app container that declares a port, else the first.
    pub fn app(&self) -> Option<&ContainerSpec> {
        let apps = || self.containers.iter().filter(|spec| spec.role == Role::App);
        apps().find(|spec| spec.serves).or_else(|| apps().next())
    }

    /// The mesh's proxy.
    pub fn sidecar(&self) -> Option<&ContainerSpec> {
        self.containers.iter().find(|spec| spec.is_sidecar())
    }

    /// The last end of a container that was seen in this run.
    pub fn end_of(&self, container: &str) -> Option<&ContainerEnd> {
        self.ends
            .iter()
            .rev()
            .find(|end| end.container == container && !end.before_run)
    }

    /// When its object was taken away by force, its app still running: a deletion without a grace
    /// period removes the object at once, a usual one only after its containers' ends were shown
    /// (facts 1.3, 1.6).
    pub fn forced(&self) -> Option<RunOffset> {
        let removed = self.removed.filter(|_| !self.unseen)?;
        let app = &self.app()?.name;
        let started = self.starts.iter().filter(|start| start.container == *app);
        let started = started.map(|start| start.started).max()?;
        let ended = self
            .ends
            .iter()
            .any(|end| end.container == *app && end.finished.is_none_or(|at| at >= started));
        (self.last_grace == Some(0) && !ended).then_some(removed.hi)
    }

    /// The last end of a container that did not start again after it, as far as was seen.
    pub fn ended(&self, container: &str) -> Option<&ContainerEnd> {
        let end = self.end_of(container)?;
        self.start_after(end).is_none().then_some(end)
    }

    /// The start that followed an end of a container.
    pub fn start_after(&self, end: &ContainerEnd) -> Option<&ContainerStart> {
        let finished = end.finished?;
        self.starts.iter().find(|start| {
            start.container == end.container
                && start.started >= finished
                && end.started != Some(start.started)
        })
    }

    /// It is the target's, going by its controller.
    pub fn belongs_to(&self, workload: &str, owners: &HashMap<String, String>) -> bool {
        let Some((kind, name)) = &self.controller else {
            return false;
        };
        if kind == "ReplicaSet" {
            return match owners.get(name) {
                Some(owner) => owner == workload,
                None => workload
                    .strip_prefix("deployment/")
                    .is_some_and(|deployment| {
                        name.rsplit_once('-')
                            .is_some_and(|(base, _)| base == deployment)
                    }),
            };
        }
        format!("{}/{name}", kind.to_lowercase()) == workload
    }
}

/// The workload that owns each ReplicaSet: `deployment/demo`.
pub fn replica_set_owners(timeline: &Timeline) -> HashMap<String, String> {
    timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Object {
                resource: Resource::ReplicaSets,
                object,
                ..
            } => {
                let (kind, owner) = controller(object)?;
                Some((
                    text(object, "/metadata/name")?.to_owned(),
                    format!("{}/{owner}", kind.to_lowercase()),
                ))
            }
            _ => None,
        })
        .collect()
}

#[derive(Default)]
struct Lives {
    order: Vec<String>,
    by_uid: HashMap<String, PodLife>,
    last_gap: Option<RunOffset>,
}

impl Lives {
    fn apply(
        &mut self,
        event: u64,
        at: RunOffset,
        change: Change,
        object: &Value,
        listed: Option<RunOffset>,
    ) {
        let Some(uid) = text(object, "/metadata/uid").or_else(|| text(object, "/metadata/name"))
        else {
            return;
        };
        let fresh = !self.by_uid.contains_key(uid);
        if fresh {
            self.order.push(uid.to_owned());
            let initial = change == Change::Added && listed.is_some_and(|listed| at <= listed);
            self.by_uid
                .insert(uid.to_owned(), new_life(uid, at, object, initial));
        }
        let life = self.by_uid.get_mut(uid).expect("inserted above");
        let was_going = life.deletion.is_some();
        update(life, event, at, object, fresh && life.initial);
        if !was_going && life.deletion.is_some() && self.last_gap == Some(at) {
            life.unseen = true;
        }
        if change == Change::Deleted {
            let lo = life.last_seen.min(at);
            life.removed = Some(Interval { lo, hi: at });
        }
        life.last_seen = at;
    }

    fn relist(&mut self, from: RunOffset, to: RunOffset, uids: Option<&[String]>) {
        self.last_gap = Some(to);
        for life in self.by_uid.values_mut() {
            if life.removed.is_some() {
                continue;
            }
            let gone = uids.map(|uids| !uids.contains(&life.uid));
            life.unseen |= gone.unwrap_or(true);
            if gone == Some(true) {
                life.removed = Some(Interval { lo: from, hi: to });
            }
        }
    }

    /// Nothing more is seen: how those end that were not being deleted yet is open.
    fn lost(&mut self) {
        for life in self.by_uid.values_mut() {
            life.unseen |= life.removed.is_none() && life.deletion.is_none();
        }
    }
}

fn new_life(uid: &str, at: RunOffset, object: &Value, initial: bool) -> PodLife {
    let containers = containers(object);
    let proxy = containers.iter().find(|spec| spec.is_sidecar());
    let drain = proxy.map(|proxy| drain::settings(object, proxy));
    PodLife {
        drain: drain.unwrap_or_default(),
        uid: uid.to_owned(),
        name: text(object, "/metadata/name").unwrap_or(uid).to_owned(),
        namespace: text(object, "/metadata/namespace")
            .unwrap_or("default")
            .to_owned(),
        node: None,
        ip: None,
        controller: controller(object).map(|(kind, name)| (kind.to_owned(), name.to_owned())),
        labels: labels(object),
        template_hash: text(object, "/metadata/labels/pod-template-hash").map(str::to_owned),
        containers,
        spec_grace: object
            .pointer("/spec/terminationGracePeriodSeconds")
            .and_then(Value::as_i64)
            .unwrap_or(30)
            .saturating_mul(FLOOR),
        created: text(object, "/metadata/creationTimestamp").and_then(epoch),
        first_seen: at,
        initial,
        deletion: None,
        last_grace: None,
        going_before_run: initial && text(object, "/metadata/deletionTimestamp").is_some(),
        removed: None,
        ends: Vec::new(),
        starts: Vec::new(),
        ready: Vec::new(),
        disruption: None,
        status_reason: None,
        last_seen: at,
        phase: String::new(),
        unseen: false,
    }
}

fn update(life: &mut PodLife, event: u64, at: RunOffset, object: &Value, at_start: bool) {
    let set = |slot: &mut Option<String>, pointer| {
        if let Some(value) = text(object, pointer) {
            *slot = Some(value.to_owned());
        }
    };
    set(&mut life.node, "/spec/nodeName");
    set(&mut life.ip, "/status/podIP");
    set(&mut life.status_reason, "/status/reason");
    if let Some(phase) = text(object, "/status/phase") {
        phase.clone_into(&mut life.phase);
    }
    let grace = object
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .map(|seconds| seconds.saturating_mul(FLOOR));
    life.last_grace = grace.or(life.last_grace);
    if life.deletion.is_none()
        && let Some(stamp) = text(object, "/metadata/deletionTimestamp").and_then(epoch)
    {
        let grace = grace.unwrap_or(0);
        life.deletion = Some(Deletion {
            requested: stamp - grace,
            grace,
            seen: at,
            event,
        });
    }
    for pointer in ["/status/containerStatuses", "/status/initContainerStatuses"] {
        for status in list(object, pointer) {
            container_status(life, event, at, status, at_start);
        }
    }
    for condition in list(object, "/status/conditions") {
        match text(condition, "/type") {
            Some("Ready") => {
                let value = text(condition, "/status") == Some("True");
                if life
                    .ready
                    .last()
                    .is_none_or(|(_, before, _)| *before != value)
                {
                    let stamp = text(condition, "/lastTransitionTime").and_then(epoch);
                    life.ready.push((at, value, stamp));
                }
            }
            Some("DisruptionTarget") if text(condition, "/status") == Some("True") => {
                life.disruption = text(condition, "/reason").map(str::to_owned);
            }
            _ => {}
        }
    }
}

fn container_status(life: &mut PodLife, event: u64, at: RunOffset, status: &Value, old: bool) {
    let Some(name) = text(status, "/name") else {
        return;
    };
    if let Some(started) = text(status, "/state/running/startedAt").and_then(epoch)
        && !life
            .starts
            .iter()
            .any(|start| start.container == name && start.started == started)
    {
        life.starts.push(ContainerStart {
            container: name.to_owned(),
            started,
            seen: at,
        });
    }
    for pointer in ["/lastState/terminated", "/state/terminated"] {
        let Some(state) = status.pointer(pointer).filter(|state| !state.is_null()) else {
            continue;
        };
        let started = text(state, "/startedAt").and_then(epoch);
        let finished = text(state, "/finishedAt").and_then(epoch);
        let code = state.get("exitCode").and_then(Value::as_i64).unwrap_or(0);
        let known = life
            .ends
            .iter()
            .any(|end| end.container == name && end.finished == finished && end.started == started);
        if !known {
            life.ends.push(ContainerEnd {
                container: name.to_owned(),
                code: i32::try_from(code).unwrap_or(i32::MAX),
                reason: text(state, "/reason").unwrap_or_default().to_owned(),
                started,
                finished,
                seen: at,
                event,
                before_run: old,
            });
        }
    }
}
