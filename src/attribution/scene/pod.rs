//! When did a pod's decisive instants fall (facts 5.2), each as an interval on the harness's clock?

mod crashes;
mod ends;
mod starts;
mod told;

pub(in crate::attribution) use ends::MOMENTS;

use super::Blind;
use super::app_log::{self, AppLog, Says};
use super::instants::{Answers, Crash, End, How, Reaction};
use super::proxy_log::ProxyLife;
use crate::attribution::SidecarKind;
use crate::evidence::{
    Clock, ClockOffsets, ContainerSpec, Deletion, EndpointHistory, FLOOR, Interval, PodEvent,
    PodLife, Role, RunOffset, WATCH_LATENCY,
};

/// One pod of the target.
#[derive(Debug)]
pub(in crate::attribution) struct Pod {
    pub(in crate::attribution) life: PodLife,
    pub(in crate::attribution) log: AppLog,
    pub(in crate::attribution) proxy: ProxyLife,
    pub(in crate::attribution) answers: Answers,
    pub(in crate::attribution) events: Vec<PodEvent>,
    pub(in crate::attribution) sidecar: Option<SidecarKind>,
    /// The deletion request.
    pub(in crate::attribution) deleted: Option<Interval>,
    /// The event that showed the deletion.
    pub(in crate::attribution) deleted_event: Option<u64>,
    /// The end of the app of a pod that was being deleted.
    pub(in crate::attribution) app_end: Option<End>,
    /// The end of the proxy of a pod that was being deleted.
    pub(in crate::attribution) proxy_end: Option<End>,
    /// Its app got SIGTERM after this: the deletion, later by what a preStop hook slept.
    pub(in crate::attribution) signalled: Option<Interval>,
    /// The app stopped accepting somewhere in here, the pod being deleted.
    pub(in crate::attribution) stopped: Option<Interval>,
    /// It listened for the first time somewhere in here.
    pub(in crate::attribution) listened: Option<Interval>,
    /// Its proxy took connections for the first time somewhere in here.
    pub(in crate::attribution) proxied: Option<Interval>,
    /// Slices showed it as ready from this arrival on.
    pub(in crate::attribution) routed: Option<RunOffset>,
    /// Slices showed it as not ready any more from this arrival on.
    pub(in crate::attribution) withdrawn: Option<RunOffset>,
    /// Its object or its endpoint was gone at the latest by then.
    pub(in crate::attribution) gone: Option<RunOffset>,
    pub(in crate::attribution) crashes: Vec<Crash>,
    pub(in crate::attribution) reaction: Reaction,
}

/// How far apart two instants may be and still count as the same: scheduling and the kernel's
/// notice to the other end.
pub(in crate::attribution) const SAME: i64 = 60_000_000;

/// Containers whose pod's object was taken away by force have so long to end (facts 1.3).
const FORCED: i64 = 2_000_000_000;

/// The stamps of a deletion are floored: its grace period may be over so much before they say.
const KILLED_EARLY: i64 = FLOOR;

/// A port that closes so long before its process ends was not closed by that.
const LIVED_ON: i64 = 1_000_000_000;

/// A kubelet acts on a deletion within this time.
const PICKUP: i64 = 2_000_000_000;

impl Pod {
    #[expect(
        clippy::too_many_arguments,
        reason = "one call site: what a pod is made of"
    )]
    pub(super) fn new(
        life: PodLife,
        log: AppLog,
        proxy: ProxyLife,
        answers: Answers,
        events: Vec<PodEvent>,
        offsets: &ClockOffsets,
        endpoints: &EndpointHistory,
        blind: &Blind,
    ) -> Self {
        let mut pod = Self {
            sidecar: life.sidecar().map(|spec| match spec.role {
                Role::NativeSidecar => SidecarKind::Native,
                _ => SidecarKind::Classic,
            }),
            deleted: None,
            deleted_event: None,
            app_end: None,
            proxy_end: None,
            signalled: None,
            stopped: None,
            listened: None,
            proxied: None,
            routed: endpoints.first_ready(&life.uid).map(|change| change.seen),
            withdrawn: endpoints.withdrawn(&life.uid).map(|change| change.seen),
            gone: None,
            crashes: Vec::new(),
            reaction: Reaction::Unknown,
            life,
            log,
            proxy,
            answers,
            events,
        };
        pod.place_deletion(offsets, endpoints);
        pod.place_ends(offsets, endpoints);
        pod.place_start(offsets);
        pod.place_crashes(offsets);
        pod.place_reaction(offsets, blind);
        pod.place_closing();
        pod
    }

    fn clock(&self) -> Option<Clock> {
        self.life.node.clone().map(Clock::Node)
    }

    /// A stamp of the pod's node on the harness's clock.
    fn place(&self, offsets: &ClockOffsets, stamp: i64, floor: i64) -> Option<Interval> {
        offsets.place(&self.clock()?, stamp, floor)
    }

    fn place_deletion(&mut self, offsets: &ClockOffsets, endpoints: &EndpointHistory) {
        if self.life.going_before_run {
            let at = self.life.first_seen;
            self.deleted = Some(Interval {
                lo: RunOffset(i64::MIN / 2),
                hi: at,
            });
            return;
        }
        let terminating = endpoints.terminating(&self.life.uid);
        let usual = |seen: RunOffset| Interval {
            lo: RunOffset(seen.0 - 4 * WATCH_LATENCY),
            hi: seen,
        };
        if let Some(deletion) = &self.life.deletion {
            self.deleted_event = Some(deletion.event);
            let arrival = if self.life.unseen {
                // The gap hides when it was; the slices may tell.
                match terminating {
                    Some(change) => usual(change.seen),
                    None => Interval {
                        lo: RunOffset(deletion.seen.0 - deletion.grace),
                        hi: deletion.seen,
                    },
                }
            } else {
                usual(deletion.seen)
            };
            let stamped = offsets.place(&Clock::Apiserver, deletion.requested, FLOOR);
            self.deleted = stamped
                .and_then(|stamped| stamped.intersect(arrival))
                .or(Some(arrival));
            return;
        }
        if let Some(change) = terminating {
            self.deleted = Some(usual(change.seen));
            self.deleted_event = Some(change.event);
        } else if self.life.unseen
            && let Some(removed) = self.life.removed
        {
            self.deleted = Some(removed);
        } else if self.life.unseen
            && let Some(stopped) = self.events.iter().find(|event| event.stops_for_good())
        {
            // The kubelet heard of the deletion up to two seconds before (facts 5.2).
            let usual = usual(stopped.seen);
            self.deleted = Some(Interval {
                lo: RunOffset(usual.lo.0 - PICKUP),
                ..usual
            });
            self.deleted_event = Some(stopped.event);
        }
    }

    /// The grace period of its deletion, nanoseconds; of one that was shortened, the least that it can
    /// have been.
    pub(in crate::attribution) fn grace(&self) -> i64 {
        if let (Some(gone), Some(deleted)) = (self.life.forced(), self.deleted) {
            return gone.0 - deleted.lo.0 + FORCED;
        }
        self.life
            .deletion
            .as_ref()
            .map(Deletion::shortest_grace)
            .filter(|grace| *grace > 0)
            .unwrap_or(self.life.spec_grace)
    }

    /// From its deletion to its app's end; to the end of the record where that was not seen.
    pub(in crate::attribution) fn ending(&self) -> Option<Interval> {
        let ends = [self.app_end.map(|end| end.at.hi), self.gone];
        let end = ends.into_iter().flatten().next();
        let deleted = self.deleted?;
        Some(Interval {
            lo: deleted.lo,
            hi: end.unwrap_or(RunOffset(i64::MAX)).max(deleted.lo),
        })
    }

    /// A line that may lie where its log was not seen is no silence.
    fn place_reaction(&mut self, offsets: &ClockOffsets, blind: &Blind) {
        if !self.log.seen {
            return;
        }
        let (pod, container) = (&self.life.name, &self.log.container);
        let hole = |ending| blind.to_log(pod, container, ending);
        if !self.ending().is_some_and(hole) {
            self.reaction = Reaction::Silent;
        }
        let Some(deleted) = self.deleted else {
            return;
        };
        let before = |stamp: i64| {
            let at = self.place(offsets, stamp, 0);
            at.is_some_and(|at| at.hi.0 + SAME < deleted.lo.0)
        };
        let mut open = false;
        for told in self.log.shutdown.iter().filter(|told| !before(told.stamp)) {
            match told.says(before) {
                Says::Ending => {
                    self.reaction = Reaction::Logged(told.line);
                    return;
                }
                Says::Either => open = true,
                Says::Nothing => {}
            }
        }
        // Without a stamp a line may be of any time: one that only a signal can have brought tells
        // of it, any other leaves open whether the app was silent.
        let late = self.log.unstamped.iter();
        let late: Vec<_> = late.filter(|line| !line.by.is_some_and(before)).collect();
        if let Some(line) = late.iter().find(|line| line.signalled) {
            self.reaction = Reaction::Logged(line.line);
        } else if open || !late.is_empty() {
            self.reaction = Reaction::Unknown;
        }
    }

    /// An app whose log tells of no reaction may have closed its port all the same. A hook that does
    /// more than sleep may have closed it before the signal.
    fn place_closing(&mut self) {
        if matches!(self.reaction, Reaction::Logged(_)) || !self.closed_before_its_end() {
            return;
        }
        let app = self.life.app();
        self.reaction = if app.is_none_or(ContainerSpec::hook_of_unknown_length) {
            Reaction::Unknown
        } else {
            Reaction::Closed
        };
    }

    /// Its app closed its port and lived on. Behind a proxy probes meet the proxy.
    fn closed_before_its_end(&self) -> bool {
        let probed = &self.answers.probed;
        let (Some(shut), Some(signalled), Some(end)) = (probed.shut, self.signalled, self.app_end)
        else {
            return false;
        };
        let killed = match (end.how, self.deleted) {
            (How::Killed, Some(deleted)) => deleted.lo.0 + self.grace() - KILLED_EARLY,
            _ => i64::MIN,
        };
        let ended = end.at.lo.0.max(killed);
        let alone = self.sidecar.is_none() && probed.refused;
        alone && shut > signalled.hi && shut.0 + LIVED_ON <= ended
    }

    /// Its app or its proxy may have ended by then, the pod being deleted.
    pub(in crate::attribution) fn over_by(&self, at: RunOffset) -> bool {
        let ends = [self.app_end, self.proxy_end].into_iter().flatten();
        self.deleted.is_some() && ends.into_iter().any(|end| end.at.lo <= at)
    }

    /// The process that takes connections from outside: the proxy, or the app where there is none.
    pub(in crate::attribution) fn front_end(&self) -> Option<End> {
        if self.sidecar.is_some() {
            self.proxy_end
        } else {
            self.app_end
        }
    }

    /// Its proxy had ended before its app did, by whichever clock.
    pub(in crate::attribution) fn surely_left_alone(&self) -> bool {
        match (self.app_end, self.proxy_end) {
            (Some(app), Some(proxy)) => app.at.lo.0 > proxy.at.hi.0 + SAME,
            _ => false,
        }
    }

    /// The first line of its log that tells of a shutdown after the deletion, on the harness's clock.
    pub(in crate::attribution) fn reacted_at(&self, offsets: &ClockOffsets) -> Option<Interval> {
        let Reaction::Logged(index) = self.reaction else {
            return None;
        };
        // In the order of the log; some have very many such lines.
        let shutdown = &self.log.shutdown;
        let found = shutdown.binary_search_by_key(&index, |told| told.line);
        let told = &shutdown[found.ok()?];
        app_log::place(offsets, self.life.node.as_deref(), told.stamp)
    }

    /// It accepted connections until then at least, the pod being deleted: until its preStop hook had
    /// slept, an app that told of its shutdown until that line, one that was killed without a word
    /// until its end.
    pub(super) fn accepted_until(&self, offsets: &ClockOffsets) -> Option<RunOffset> {
        let end = self.app_end?;
        let told = match self.reaction {
            Reaction::Logged(_) => self.reacted_at(offsets).map(|at| at.lo),
            Reaction::Closed => self.answers.probed.accepted,
            Reaction::Silent if end.how == How::Killed => Some(end.at.lo),
            _ => None,
        };
        let hooked = self.signalled.filter(|_| self.signalled != self.deleted);
        let app = told.max(hooked.map(|signalled| signalled.lo))?;
        let proxy = self.sidecar.and(self.proxy_end).map(|end| end.at.lo);
        Some(proxy.map_or(app, |proxy| proxy.min(app)))
    }
}
