//! When did a pod's app and its proxy listen for the first time, and was it in the routes before?

use super::Pod;
use crate::evidence::{ClockOffsets, FLOOR, Interval, RunOffset, STAMP_WIDTH, WATCH_LATENCY};

/// The watches of pods and slices differ by less than this.
const EARLY: i64 = 1_000_000_000;

impl Pod {
    pub(super) fn place_start(&mut self, offsets: &ClockOffsets) {
        if self.life.initial
            && self
                .life
                .starts
                .iter()
                .all(|start| start.seen == self.life.first_seen)
        {
            return;
        }
        let answered = self.answers.earliest_end;
        let served = self
            .proxy
            .served
            .and_then(|(first, _)| self.own(first, offsets));
        let known = [answered, served.map(|served| served.hi)];
        let known = known.into_iter().flatten().min();
        let ended = self.ended_after(&self.log.container, i64::MIN);
        let opening = self.log.opening(&self.life.ports, i64::MIN..ended);
        let line = |stamp| self.place(offsets, stamp, 0);
        let first = opening.and_then(|opening| line(opening.first));
        let last = opening.and_then(|opening| line(opening.last));
        let lo = first.map_or(self.life.first_seen, |first| {
            first.lo.max(self.life.first_seen)
        });
        // A line that names no port may come long before the port is open.
        let told = last.filter(|_| known.is_none() || opening.is_some_and(|line| line.named));
        let hi = [told.map(|last| last.hi), known]
            .into_iter()
            .flatten()
            .min();
        if let Some(hi) = hi {
            self.listened = Some(Interval { lo: lo.min(hi), hi });
        }
        self.proxied = self.proxy_start(answered, served, offsets);
    }

    /// A word of its proxy's log, where it can be its own: a predecessor of its name, as pods of a
    /// StatefulSet have them, wrote into the same log (facts 1.13).
    fn own(&self, word: i64, offsets: &ClockOffsets) -> Option<Interval> {
        let at = self.place(offsets, word, 0);
        at.filter(|at| at.hi >= self.life.first_seen)
    }

    /// The first end of a container after a stamp of the node's clock; as good as never without one.
    pub(super) fn ended_after(&self, container: &str, stamp: i64) -> i64 {
        let ends = self.life.ends.iter();
        let later = ends
            .filter(|end| end.container == container)
            .filter_map(|end| end.finished)
            .filter(|at| *at > stamp);
        later.min().map_or(i64::MAX, |at| at + FLOOR)
    }

    /// Its proxy listens somewhere between the start of its container and the first word of its being
    /// ready, at the latest that of the kubelet (facts 3.2).
    fn proxy_start(
        &self,
        answered: Option<RunOffset>,
        served: Option<Interval>,
        offsets: &ClockOffsets,
    ) -> Option<Interval> {
        let name = &self.life.sidecar()?.name;
        let mut starts = self.life.starts.iter();
        let started = starts
            .find(|start| start.container == *name)
            .and_then(|start| self.place(offsets, start.started, STAMP_WIDTH));
        let said = self.proxy.ready.and_then(|at| self.own(at, offsets));
        let hi = [
            said.map(|said| said.hi),
            served.map(|served| served.hi),
            answered,
            self.first_ready(),
        ];
        let hi = hi.into_iter().flatten().min()?;
        let seen = self.life.first_seen;
        let lo = started.map_or(seen, |started| started.lo.max(seen));
        Some(Interval { lo: lo.min(hi), hi })
    }

    /// Its state showed it as ready for the first time.
    fn first_ready(&self) -> Option<RunOffset> {
        let mut states = self.life.ready.iter();
        states
            .find(|(_, ready, _)| *ready)
            .map(|(seen, _, _)| *seen)
    }

    /// Slices showed it as ready well before its own state did: its Service publishes addresses that
    /// are not ready, and no readiness probe keeps it out of the routes.
    pub(in crate::attribution) fn published_early(&self) -> bool {
        let unseen = self.life.unseen || self.life.ready_late;
        let Some(routed) = self.routed.filter(|_| !unseen) else {
            return false;
        };
        let told = !self.life.ready.is_empty();
        told && self
            .first_ready()
            .is_none_or(|ready| ready.0 > routed.0 + EARLY)
    }

    /// Slices showed it as ready before it listened, whatever probe it has.
    pub(in crate::attribution) fn ready_too_early(&self) -> bool {
        let deaf = match (self.routed, self.listened) {
            (Some(routed), Some(listened)) => listened.lo.0 > routed.0 + WATCH_LATENCY,
            _ => false,
        };
        deaf || self.published_early()
    }

    /// Its app's readiness probe keeps it out of the routes until it listens. A probe that succeeds
    /// before the app listens is as good as none.
    pub(in crate::attribution) fn guarded(&self) -> bool {
        let probed = self.life.app().is_some_and(|app| app.readiness_probe);
        probed && !self.ready_too_early()
    }
}
