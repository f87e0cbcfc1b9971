//! When did the app and the proxy of a pod that was being deleted get their signal, stop and end?

use super::{End, FORCED, How, KILLED_EARLY, Pod};
use crate::evidence::{
    ClockOffsets, ContainerEnd, ContainerSpec, EndpointHistory, Interval, RunOffset, STAMP_WIDTH,
};

/// A process ends within moments of the line that announces it.
pub(in crate::attribution) const MOMENTS: i64 = 300_000_000;

/// And so much more: a second of grace at least for their hooks, and the kubelet's own time.
const FORCED_LATE: i64 = 1_000_000_000;

impl Pod {
    pub(super) fn place_ends(&mut self, offsets: &ClockOffsets, endpoints: &EndpointHistory) {
        let left_slices = endpoints.gone(&self.life.uid).map(|change| change.seen);
        let removed = self.life.removed.map(|removed| removed.hi);
        self.gone = match (left_slices, removed) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let Some(deleted) = self.deleted else {
            return;
        };
        self.app_end = self.end_of_app(deleted, offsets);
        if let Some(proxy) = self.life.sidecar() {
            let name = proxy.name.clone();
            self.proxy_end = self.end(&name, deleted, offsets, false);
        }
        let signalled = self.signal(deleted);
        self.signalled = Some(signalled);
        if let Some(end) = &self.app_end {
            let accepted = [self.answers.latest_sent_new, self.answers.probed.accepted];
            let lo = accepted
                .into_iter()
                .flatten()
                .fold(signalled.lo, RunOffset::max);
            let hi = self
                .answers
                .probed
                .shut
                .map_or(end.at.hi, |shut| shut.min(end.at.hi));
            self.stopped = Some(Interval { lo: lo.min(hi), hi });
        } else if self.life.deletion.is_some() || self.gone.is_some() {
            let hi = self.gone.unwrap_or(RunOffset(i64::MAX));
            self.stopped = Some(Interval {
                lo: signalled.lo.min(hi),
                hi,
            });
        }
    }

    /// Where several containers may be its app, it ended when one of them did, and how is open.
    fn end_of_app(&self, deleted: Interval, offsets: &ClockOffsets) -> Option<End> {
        let candidates = self.life.candidates();
        let ends = candidates
            .iter()
            .map(|app| self.end(&app.name, deleted, offsets, true));
        let ends = ends.collect::<Option<Vec<End>>>()?;
        if let [end] = ends[..] {
            return Some(end);
        }
        let at = Interval {
            lo: ends.iter().map(|end| end.at.lo).min()?,
            hi: ends.iter().map(|end| end.at.hi).max()?,
        };
        Some(End {
            at,
            how: How::Unknown,
            event: None,
        })
    }

    /// The signal follows the preStop hook, which the grace period bounds (facts 1.3); by force there
    /// is none. A hook that failed did not sleep, and an app that was over before it could have ended
    /// was not left alone.
    fn signal(&self, deleted: Interval) -> Interval {
        let forced = self.life.forced().is_some();
        let slept = |app: &ContainerSpec| {
            let hook = if self.hook_failed(app) || forced {
                0
            } else {
                app.prestop_sleep
            };
            match &self.life.deletion {
                Some(deletion) if deletion.grace > 0 => deletion.slept(hook),
                _ => (hook.min(self.grace()), hook.min(self.grace())),
            }
        };
        let hooks = self.life.candidates().into_iter().map(slept);
        let hooks = hooks.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (soonest, latest) = hooks.unwrap_or_default();
        let later = Interval {
            lo: RunOffset(deleted.lo.0.saturating_add(soonest)),
            hi: RunOffset(deleted.hi.0.saturating_add(latest)),
        };
        let over = self.app_end.map(|end| end.at.hi).or(self.gone);
        if over.is_some_and(|over| over < later.lo) {
            return deleted;
        }
        later
    }

    /// Its hook failed, as far as was told whose it was: it did not sleep.
    pub(in crate::attribution) fn hook_failed(&self, spec: &ContainerSpec) -> bool {
        let own = |name: &Option<String>| name.as_ref().is_none_or(|name| *name == spec.name);
        let mut events = self.events.iter();
        events.any(|event| event.reason == "FailedPreStopHook" && own(&event.container))
    }

    /// The end of a container that belongs to the deletion, as narrow as the record allows.
    fn end(&self, name: &str, deleted: Interval, offsets: &ClockOffsets, app: bool) -> Option<End> {
        let seen = self.life.ends.iter().rev().find(|end| {
            end.container == name && !end.before_run && self.belongs_to_deletion(end, offsets)
        });
        let bound = seen.map(|end| end.seen);
        let forced = self.life.forced().filter(|_| seen.is_none());
        let hi = match forced {
            Some(gone) => RunOffset(gone.0 + FORCED + FORCED_LATE),
            None => [bound, self.gone].into_iter().flatten().min()?,
        };
        let mut at = Interval {
            lo: deleted.lo.min(hi),
            hi,
        };
        let alive = [self.answers.latest_sent, self.answers.probed.accepted];
        if app && let Some(sent) = alive.into_iter().flatten().max() {
            at = at
                .intersect(Interval {
                    lo: sent,
                    hi: at.hi,
                })
                .unwrap_or(at);
        }
        let finished = seen.and_then(|end| self.place(offsets, end.finished?, STAMP_WIDTH));
        if let Some(finished) = finished {
            at = at.intersect(finished).unwrap_or(at);
        }
        // It lived when it wrote its last line, and when it last answered through its proxy.
        let signs = [self.log.last, self.proxy.served.map(|(_, last)| last)];
        let last = signs.into_iter().flatten().max();
        if app
            && let Some(last) = last.and_then(|last| self.place(offsets, last, 0))
            && last.lo <= at.hi
        {
            let after = Interval {
                lo: last.lo,
                hi: at.hi,
            };
            at = at.intersect(after).unwrap_or(at);
        }
        let announced = if app {
            self.log.farewell.filter(|_| seen.is_some())
        } else {
            self.proxy.aborted.map(|word| word.at)
        };
        if let Some(soon) = announced.and_then(|word| self.place(offsets, word, MOMENTS)) {
            at = at.intersect(soon).unwrap_or(at);
        }
        Some(End {
            at,
            how: seen.map_or(How::Unknown, |end| self.how(end, at, deleted)),
            event: seen.map(|end| end.event),
        })
    }

    /// A SIGKILL by the kubelet comes at the end of the grace period, or two seconds later where
    /// the preStop hook used it up (facts 1.3). One before that is an end of a pod that was going
    /// already, as any exit is: a crash is an end without a deletion (design 7).
    fn how(&self, end: &ContainerEnd, at: Interval, deleted: Interval) -> How {
        if end.code != 137 || end.reason == "ContainerStatusUnknown" {
            return How::Exited(end.code);
        }
        let lasted = at.hi.0 - deleted.lo.0;
        if end.reason != "OOMKilled" && lasted + KILLED_EARLY >= self.grace() {
            How::Killed
        } else {
            How::KilledEarly
        }
    }
}
