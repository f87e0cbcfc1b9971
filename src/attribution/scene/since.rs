//! Was a line written since the disruption began?
//!
//! Following begins with older lines of a log, and the baseline writes some too: a gate on lines is
//! about those that the disruption can have caused.

use super::{Scene, app_log};
use crate::evidence::RunOffset;

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
        let start = self.timeline.disrupted_at();
        let mut counted = Counted::default();
        for (pod, stamp) in lines {
            match start.map_or(Since::After, |start| self.since(start, pod, stamp)) {
                Since::Before => {}
                Since::Unsure => counted.unsure += 1,
                Since::After => counted.after += 1,
            }
        }
        counted
    }

    fn since(&self, start: RunOffset, pod: &str, stamp: Option<i64>) -> Since {
        let owners = self.by_name.get(pod).into_iter().flatten();
        let mut owners = owners.map(|index| &self.pods[*index].life).peekable();
        let known = owners.peek().is_some();
        if known && owners.all(|life| !life.initial && life.first_seen > start) {
            return Since::After;
        }
        let node = self.nodes.get(pod).map(String::as_str);
        match stamp.and_then(|stamp| app_log::place(&self.offsets, node, stamp)) {
            Some(at) if at.hi < start => Since::Before,
            Some(at) if at.lo >= start => Since::After,
            _ => Since::Unsure,
        }
    }
}
