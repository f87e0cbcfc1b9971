//! Since when can the app of a pod that is being deleted know that it is to end?

use super::{Pod, SAME};
use crate::evidence::{ClockOffsets, Interval, RunOffset};

impl Pod {
    /// SIGTERM reached its app no earlier: its own preStop hook comes first. A hook that the app's own
    /// word came before says nothing.
    pub(in crate::attribution) fn told_from(&self, offsets: &ClockOffsets) -> Option<RunOffset> {
        let (deleted, signalled) = (self.deleted?.lo, self.signalled?.lo);
        let reacted = self.reacted_at(offsets);
        let earlier = reacted.is_some_and(|at| at.hi < signalled);
        Some(if earlier { deleted } else { signalled })
    }

    /// Its app had been told to end, as early as that can have been, and was alive.
    pub(in crate::attribution) fn told(&self, offsets: &ClockOffsets) -> Option<Interval> {
        let told = self.told_from(offsets)?;
        let until = RunOffset(self.ending()?.hi.0.saturating_add(SAME));
        Some(Interval {
            lo: told,
            hi: until.max(told),
        })
    }
}
