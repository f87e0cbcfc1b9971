//! Was a line written since the disruption began?
//!
//! Following begins with older lines of a log, and the baseline writes some too: a gate on lines is
//! about those that the disruption can have caused.

use super::Scene;
use crate::evidence::Clock;

/// Where a line lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::attribution) enum Since {
    /// It was there before anything was disturbed.
    Before,
    /// Its clock does not say.
    Unsure,
    /// It came with the disruption or after it.
    After,
}

/// How many of some lines came since the disruption began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::attribution) struct Counted {
    pub(in crate::attribution) after: u64,
    /// Of these nobody can say.
    pub(in crate::attribution) unsure: u64,
}

impl Scene<'_> {
    /// Counts lines, each of a pod and with its stamp, epoch nanoseconds of the pod's node.
    pub(in crate::attribution) fn count_since_disrupted<'l>(
        &self,
        lines: impl Iterator<Item = (&'l str, Option<i64>)>,
    ) -> Counted {
        let mut counted = Counted::default();
        for (pod, stamp) in lines {
            match self.since_disrupted(pod, stamp) {
                Since::Before => {}
                Since::Unsure => counted.unsure += 1,
                Since::After => counted.after += 1,
            }
        }
        counted
    }

    fn since_disrupted(&self, pod: &str, stamp: Option<i64>) -> Since {
        let Some(start) = self.timeline.disrupted_at() else {
            return Since::After;
        };
        let owners = self.by_name.get(pod).into_iter().flatten();
        let mut owners = owners.map(|index| &self.pods[*index].life).peekable();
        let known = owners.peek().is_some();
        if known && owners.all(|life| !life.initial && life.first_seen > start) {
            return Since::After;
        }
        let place = |stamp| {
            let clock = Clock::Node(self.nodes.get(pod)?.clone());
            self.offsets.place(&clock, stamp, 0)
        };
        match stamp.and_then(place) {
            Some(at) if at.hi < start => Since::Before,
            Some(at) if at.lo >= start => Since::After,
            _ => Since::Unsure,
        }
    }
}
