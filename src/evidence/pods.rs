//! What did each pod go through, as its watch showed it?
//!
//! [`PodLife::all`] folds the states of every pod into one life per uid: containers, deletion,
//! ends of containers, readiness, removal. Stamps stay raw here (a floored second of the clock that
//! made it); arrivals are instants of the harness's clock. A watch that was blind leaves holes,
//! which [`PodLife::unseen`] names.

mod deletion;
mod lives;

pub use deletion::{Deletion, Shortening};

use super::drain::DrainSettings;
use super::event::{EventKind, Resource};
use super::object::{controller, text};
use super::stamp::{Interval, RunOffset};
use super::timeline::Timeline;
use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    /// The ports that it declares, and those that its probes ask.
    pub ports: BTreeSet<u16>,
}

impl ContainerSpec {
    /// Its preStop hook does something else than sleep: how long that takes is not known.
    pub fn hook_of_unknown_length(&self) -> bool {
        self.prestop && self.prestop_sleep == 0
    }
}

impl ContainerSpec {
    /// It is the mesh's proxy.
    pub(super) fn is_sidecar(&self) -> bool {
        matches!(self.role, Role::ClassicSidecar | Role::NativeSidecar)
    }
}

/// Are its containers started again after an end?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whatever their code; what the API fills in.
    #[default]
    Always,
    /// After a code other than 0.
    OnFailure,
    /// Never.
    Never,
}

impl RestartPolicy {
    /// A container that ended with this code stays ended.
    pub fn leaves(self, code: i32) -> bool {
        match self {
            Self::Always => false,
            Self::OnFailure => code == 0,
            Self::Never => true,
        }
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
    /// Its TCP ports that a Service's routes lead to, as far as slices showed them.
    pub ports: BTreeSet<u16>,
    /// Whether they are started again.
    pub restart_policy: RestartPolicy,
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
    /// A change of the Ready condition may have been shown late: the watch had just been away.
    pub ready_late: bool,
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
    /// The container that serves: the only app container, or of several the only one with a port that
    /// routes lead to. `None` where that is unclear: the first in the list may be an exporter.
    pub fn app(&self) -> Option<&ContainerSpec> {
        match self.candidates().as_slice() {
            [app] => Some(app),
            _ => None,
        }
    }

    /// The containers each of which may be the one that serves. A container need not declare its ports:
    /// where nobody declares one of the routes', each may be it, whatever it declares.
    pub fn candidates(&self) -> Vec<&ContainerSpec> {
        let apps = self.containers.iter().filter(|spec| spec.role == Role::App);
        let apps: Vec<_> = apps.collect();
        let mut ports = self.ports.iter();
        let open = ports.any(|port| apps.iter().all(|app| !app.ports.contains(port)));
        if open || self.ports.is_empty() {
            return apps;
        }
        let routed = |app: &&ContainerSpec| !app.ports.is_disjoint(&self.ports);
        apps.into_iter().filter(routed).collect()
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
        let mut candidates = self.candidates().into_iter();
        let running = candidates.any(|app| self.is_running(&app.name));
        (self.last_grace == Some(0) && running).then_some(removed.hi)
    }

    /// No end followed its last start.
    fn is_running(&self, container: &str) -> bool {
        let starts = self.starts.iter();
        let started = starts.filter(|start| start.container == container);
        let Some(started) = started.map(|start| start.started).max() else {
            return false;
        };
        let after = |end: &ContainerEnd| end.finished.is_none_or(|at| at >= started);
        !self
            .ends
            .iter()
            .any(|end| end.container == container && after(end))
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
