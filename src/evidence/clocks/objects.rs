//! What do the stamps in API objects, and in the answers to our own calls, say of the clocks?

use super::{Constraint, STAMP_WIDTH, WATCH_LATENCY};
use crate::evidence::event::{Change, EventKind, Resource};
use crate::evidence::object::epoch;
use crate::evidence::pods::{FLOOR, PodLife};
use crate::evidence::stamp::{Clock, RunOffset};
use crate::evidence::timeline::Timeline;
use serde_json::Value;

/// The constraints that API objects and our own API calls give.
pub fn object_constraints(timeline: &Timeline, pods: &[PodLife]) -> Vec<Constraint> {
    let mut found = Vec::new();
    let wall = |at: RunOffset| timeline.run.started_at + at.0;
    for event in &timeline.events {
        match &event.kind {
            EventKind::Object {
                resource: Resource::Leases,
                object,
                ..
            } => lease(object, wall(event.at.hi), &mut found),
            EventKind::Object {
                resource: Resource::Events,
                change,
                object,
            } if *change != Change::Deleted => kubelet_event(object, wall(event.at.hi), &mut found),
            EventKind::Api(call) => {
                if let Some(stamp) = call.server_stamp {
                    let method = "answers of the API to our own calls";
                    let clock = Clock::Apiserver;
                    let (sent, received) = (wall(call.sent), wall(call.received));
                    found.push(Constraint::stamped_before(
                        clock.clone(),
                        stamp,
                        received,
                        method,
                    ));
                    let after = Constraint::stamped_after(
                        clock,
                        stamp,
                        call.server_floor,
                        sent,
                        false,
                        method,
                    );
                    found.push(after);
                }
            }
            _ => {}
        }
    }
    for pod in pods {
        pod_constraints(pod, wall, &mut found);
    }
    found
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

fn lease(object: &Value, seen: i64, found: &mut Vec<Constraint>) {
    let holder = text(object, "/spec/holderIdentity").or_else(|| text(object, "/metadata/name"));
    let namespace = text(object, "/metadata/namespace");
    if let (Some(node), Some("kube-node-lease")) = (holder, namespace)
        && let Some(stamp) = text(object, "/spec/renewTime").and_then(epoch)
    {
        let clock = Clock::Node(node.to_owned());
        let method = "the node's lease against its arrival";
        found.push(Constraint::stamped_before(clock, stamp, seen, method));
    }
}

fn kubelet_event(object: &Value, seen: i64, found: &mut Vec<Constraint>) {
    if text(object, "/source/component") != Some("kubelet") {
        return;
    }
    if let (Some(node), Some(stamp)) = (
        text(object, "/source/host"),
        text(object, "/lastTimestamp").and_then(epoch),
    ) {
        let clock = Clock::Node(node.to_owned());
        let method = "the kubelet's events against their arrival";
        found.push(Constraint::stamped_before(clock, stamp, seen, method));
    }
}

fn pod_constraints(pod: &PodLife, wall: impl Fn(RunOffset) -> i64, found: &mut Vec<Constraint>) {
    let mut stamped = |stamp, seen: i64, arrived_live: bool| {
        let method = "stamps of the API against their arrival";
        let before = Constraint::stamped_before(Clock::Apiserver, stamp, seen, method);
        found.push(before);
        if arrived_live {
            let (clock, known) = (Clock::Apiserver, seen - WATCH_LATENCY);
            found.push(Constraint::stamped_after(
                clock, stamp, FLOOR, known, true, method,
            ));
        }
    };
    if let Some(created) = pod.created {
        stamped(created, wall(pod.first_seen), !pod.initial && !pod.unseen);
    }
    let deleted = pod
        .deletion
        .as_ref()
        .filter(|_| !pod.going_before_run && !pod.unseen);
    if let Some(deletion) = deleted {
        stamped(deletion.requested, wall(deletion.seen), true);
    }
    let Some(node) = &pod.node else {
        return;
    };
    let clock = || Clock::Node(node.clone());
    let before = "container and condition stamps against their arrival";
    for start in &pod.starts {
        found.push(Constraint::stamped_before(
            clock(),
            start.started,
            wall(start.seen),
            before,
        ));
        if !pod.initial && !pod.unseen {
            let known = wall(pod.first_seen) - WATCH_LATENCY;
            let method = "containers start after their pod is created";
            found.push(Constraint::stamped_after(
                clock(),
                start.started,
                STAMP_WIDTH,
                known,
                true,
                method,
            ));
        }
    }
    for (seen, _, stamp) in &pod.ready {
        if let Some(stamp) = stamp {
            found.push(Constraint::stamped_before(
                clock(),
                *stamp,
                wall(*seen),
                before,
            ));
        }
    }
    for end in pod.ends.iter().filter(|end| !end.before_run) {
        let Some(finished) = end.finished else {
            continue;
        };
        found.push(Constraint::stamped_before(
            clock(),
            finished,
            wall(end.seen),
            before,
        ));
        let app_of_deleted = pod.app().is_some_and(|app| app.name == end.container)
            && end.started.is_some()
            && pod
                .ends
                .iter()
                .filter(|other| other.container == end.container)
                .count()
                == 1;
        if let (Some(deletion), true) = (deleted, app_of_deleted)
            && end.seen > deletion.seen
            && pod.starts.iter().all(|start| start.seen < deletion.seen)
        {
            let known = wall(deletion.seen) - WATCH_LATENCY;
            let method = "containers end after their pod's deletion";
            found.push(Constraint::stamped_after(
                clock(),
                finished,
                STAMP_WIDTH,
                known,
                true,
                method,
            ));
        }
    }
}
