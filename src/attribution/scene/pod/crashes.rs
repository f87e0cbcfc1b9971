//! Which ends of containers were crashes, and when did their pod serve again?

use super::Pod;
use crate::attribution::scene::Crash;
use crate::evidence::{ClockOffsets, ContainerEnd, FLOOR, Interval, Role, RunOffset, STAMP_WIDTH};

/// An event of the kubelet arrives within this time.
const LATE_EVENT: i64 = 2_000_000_000;

impl Pod {
    pub(super) fn place_crashes(&mut self, offsets: &ClockOffsets) {
        let mut crashes = Vec::new();
        for end in self.life.ends.iter().filter(|end| !end.before_run) {
            let Some(spec) = self
                .life
                .containers
                .iter()
                .find(|spec| spec.name == end.container)
            else {
                continue;
            };
            if spec.role == Role::Init || self.belongs_to_deletion(end, offsets) {
                continue;
            }
            let mut at = Interval {
                lo: self.life.first_seen,
                hi: end.seen,
            };
            if let Some(finished) = end
                .finished
                .and_then(|stamp| self.place(offsets, stamp, STAMP_WIDTH))
            {
                at = at.intersect(finished).unwrap_or(at);
            }
            let back = self.back(end, offsets);
            if spec.role == Role::App {
                at = self.after_last_sign(end, at, back, offsets);
            }
            crashes.push(Crash {
                at,
                told: self.told_to_stop(end, at, offsets),
                back,
                code: end.code,
                proxy: spec.role != Role::App,
                event: end.event,
            });
        }
        self.crashes = crashes;
    }

    /// It lived when it wrote its last line, and when it last answered before it served again.
    fn after_last_sign(
        &self,
        end: &ContainerEnd,
        at: Interval,
        back: Option<Interval>,
        offsets: &ClockOffsets,
    ) -> Interval {
        let words = self.log.last_words.iter();
        let line = words
            .filter(|(finished, _)| end.finished == Some(*finished))
            .find_map(|(_, last)| self.place(offsets, *last, 0));
        let again = back.map_or(at.hi, |back| back.lo.min(at.hi));
        let answers = self.answers.sent.iter().copied();
        let answer = answers.filter(|sent| *sent < again).max();
        [line.map(|line| line.lo), answer]
            .into_iter()
            .flatten()
            .fold(at, |at, lived| {
                let after = Interval {
                    lo: lived,
                    hi: at.hi.max(lived),
                };
                at.intersect(after).unwrap_or(at)
            })
    }

    /// The kubelet says so before it stops a container for its probe (facts 1.7).
    fn told_to_stop(&self, end: &ContainerEnd, at: Interval, offsets: &ClockOffsets) -> RunOffset {
        let killings = self.events.iter().filter(|event| {
            event.reason == "Killing"
                && event.container.as_deref() == Some(end.container.as_str())
                && event.message.contains("will be restarted")
                && event.seen.0 - at.hi.0 < LATE_EVENT
        });
        let told = killings.filter_map(|event| {
            let stamped = event
                .stamp
                .and_then(|stamp| self.place(offsets, stamp, FLOOR));
            let lo = stamped.map_or(event.seen, |stamped| stamped.lo);
            (at.lo.0 - lo.0 < self.life.spec_grace + FLOOR).then_some(lo)
        });
        told.min().map_or(at.lo, |told| told.min(at.lo))
    }

    /// The end of a container after its pod's deletion was requested, as far as its stamp tells: its
    /// status may come seconds after it (facts 1.6).
    pub(super) fn belongs_to_deletion(&self, end: &ContainerEnd, offsets: &ClockOffsets) -> bool {
        let Some(deleted) = self.deleted else {
            return false;
        };
        let restarted = self.life.start_after(end).is_some();
        let finished = end
            .finished
            .and_then(|stamp| self.place(offsets, stamp, STAMP_WIDTH));
        let before = finished.is_some_and(|finished| finished.hi < deleted.lo);
        end.seen >= deleted.lo && !before && !restarted
    }

    /// It served by then, after a line that may have come long before its port was open.
    fn served_from(&self, line: RunOffset, ready: Option<RunOffset>) -> Option<RunOffset> {
        let probed = self.life.app().is_some_and(|app| app.readiness_probe);
        let ready = ready.filter(|ready| probed && *ready >= line);
        let answers = self.answers.sent.iter().copied();
        let answered = answers.filter(|sent| *sent >= line).min();
        ready.into_iter().chain(answered).min()
    }

    /// When a container that ended served again.
    fn back(&self, end: &ContainerEnd, offsets: &ClockOffsets) -> Option<Interval> {
        let finished = end.finished?;
        let start = self.life.start_after(end)?;
        let until = self.ended_after(&end.container, finished);
        let opening = self.log.opening(&self.life.ports, finished..until);
        let ready = self
            .life
            .ready
            .iter()
            .find(|(seen, ready, _)| *ready && *seen >= end.seen)
            .map(|(seen, _, _)| *seen);
        let started = self.place(offsets, start.started, STAMP_WIDTH);
        let line = |stamp| self.place(offsets, stamp, 0);
        let first = opening.and_then(|opening| line(opening.first));
        let last = opening.and_then(|opening| line(opening.last));
        let named = opening.is_some_and(|opening| opening.named);
        let lo = first.or(started).map(|began| began.lo);
        let told = last.map(|last| last.hi);
        // A new list may show the restart and the readiness in one state.
        let hi = if named {
            told
        } else if let Some(first) = first {
            self.served_from(first.lo, ready).or(told)
        } else {
            ready
        };
        let hi = hi.unwrap_or(RunOffset(i64::MAX));
        Some(Interval {
            lo: lo.unwrap_or(end.seen).min(hi),
            hi,
        })
    }
}
