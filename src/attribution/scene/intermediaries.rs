//! Which proxies stand on the way that belong to no app, and when did they end (C22)?
//!
//! Gateways, waypoints and ztunnels are pods of their own: their containers are the mesh's proxy and
//! nothing else. Only those that the record shows can be told of.

use crate::evidence::{
    Clock, ClockOffsets, Interval, PodLife, RunOffset, STAMP_WIDTH, WATCH_LATENCY, is_proxy,
};

/// A proxy between clients and the target's pods.
#[derive(Clone, Debug)]
pub(in crate::attribution) struct Intermediary {
    pub(in crate::attribution) name: String,
    /// `gateway`, `waypoint`, `ztunnel`.
    pub(in crate::attribution) kind: &'static str,
    pub(in crate::attribution) outages: Vec<Outage>,
}

/// One end of its proxy.
#[derive(Clone, Copy, Debug)]
pub(in crate::attribution) struct Outage {
    /// It was told to stop, or had ended, from then on.
    pub(in crate::attribution) from: RunOffset,
    /// Its end.
    pub(in crate::attribution) at: Interval,
    /// It served again from then on, in the same pod.
    pub(in crate::attribution) back: Option<RunOffset>,
    pub(in crate::attribution) event: u64,
}

impl Intermediary {
    /// Those among all pods of the record.
    pub(super) fn all(lives: &[PodLife], offsets: &ClockOffsets) -> Vec<Self> {
        lives
            .iter()
            .filter_map(|life| {
                let kind = kind(life)?;
                Some(Self {
                    name: life.name.clone(),
                    kind,
                    outages: outages(life, offsets),
                })
            })
            .filter(|one| !one.outages.is_empty())
            .collect()
    }
}

fn kind(life: &PodLife) -> Option<&'static str> {
    let label = |name: &str| life.labels.get(name).map(String::as_str);
    if label("app") == Some("ztunnel") {
        return Some("ztunnel");
    }
    if !life.app().is_some_and(|app| is_proxy(&app.name)) {
        return None;
    }
    let waypoint = label("gateway.istio.io/managed") == Some("istio.io-mesh-controller")
        || label("istio.io/waypoint-for").is_some();
    Some(if waypoint { "waypoint" } else { "gateway" })
}

fn outages(life: &PodLife, offsets: &ClockOffsets) -> Vec<Outage> {
    let ends = life.ends.iter().filter(|end| !end.before_run);
    let told = life
        .deletion
        .as_ref()
        .map(|deletion| RunOffset(deletion.seen.0 - WATCH_LATENCY));
    ends.map(|end| {
        let seen = Interval {
            lo: life.first_seen.min(end.seen),
            hi: end.seen,
        };
        let clock = life.node.clone().map(Clock::Node);
        let placed = clock
            .zip(end.finished)
            .and_then(|(clock, stamp)| offsets.place(&clock, stamp, STAMP_WIDTH));
        let at = placed
            .and_then(|placed| placed.intersect(seen))
            .unwrap_or(seen);
        let back = life
            .starts
            .iter()
            .find(|start| start.container == end.container && start.seen >= end.seen);
        Outage {
            from: told
                .filter(|told| *told <= at.hi)
                .map_or(at.lo, |told| told.min(at.lo)),
            at,
            back: back.map(|start| start.seen),
            event: end.event,
        }
    })
    .collect()
}
