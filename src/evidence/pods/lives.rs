//! How do the states that a watch delivered become one life per pod?

use super::{ContainerEnd, ContainerStart, Deletion, FLOOR, PodLife, RestartPolicy, Shortening};
use crate::evidence::drain;
use crate::evidence::event::{Change, EventKind, Resource};
use crate::evidence::listed::listed_by;
use crate::evidence::object::{containers, controller, epoch, labels, list, text};
use crate::evidence::stamp::{Interval, RunOffset};
use crate::evidence::timeline::Timeline;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

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
                    (Some(from), Some(to)) => {
                        lives.late_until = Some(RunOffset(to.0 + CATCH_UP));
                        if !gap.resumed {
                            lives.relist(from, to, gap.uids.as_deref());
                        }
                    }
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
}

/// What a watch missed while it was away is delivered within this time once it is back.
const CATCH_UP: i64 = 1_000_000_000;

#[derive(Default)]
struct Lives {
    order: Vec<String>,
    by_uid: HashMap<String, PodLife>,
    /// What arrives up to here may have happened within the last gap.
    late_until: Option<RunOffset>,
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
        let fate = |life: &PodLife| (life.deletion.is_some(), life.ends.len());
        let before = (fate(life), life.ready.len());
        update(life, event, at, object, fresh && life.initial);
        let late = self.late_until.is_some_and(|until| at <= until);
        let moved = fresh || fate(life) != before.0 || change == Change::Deleted;
        life.unseen |= late && moved;
        life.ready_late |= late && life.ready.len() != before.1;
        if change == Change::Deleted {
            let lo = life.last_seen.min(at);
            life.removed = Some(Interval { lo, hi: at });
        }
        life.last_seen = at;
    }

    fn relist(&mut self, from: RunOffset, to: RunOffset, uids: Option<&[String]>) {
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
        ports: BTreeSet::new(),
        restart_policy: match text(object, "/spec/restartPolicy") {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        },
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
        ready_late: false,
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
    if let (Some(deletion), Some(grace)) = (&mut life.deletion, grace) {
        shorten(deletion, grace, at);
    }
    if life.deletion.is_none()
        && let Some(stamp) = text(object, "/metadata/deletionTimestamp").and_then(epoch)
    {
        let grace = grace.unwrap_or(0);
        life.deletion = Some(Deletion {
            requested: stamp - grace,
            grace,
            seen: at,
            event,
            shortened: None,
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

/// The kubelet's own last request, once all containers have ended, carries a grace period of zero.
fn shorten(deletion: &mut Deletion, grace: i64, at: RunOffset) {
    let before = deletion.shortened.map_or(deletion.grace, |cut| cut.grace);
    if grace > 0 && grace < before {
        deletion.shortened = Some(Shortening { grace, seen: at });
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
