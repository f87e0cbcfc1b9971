//! Since when can the app of a pod that is being deleted know that it is to end?

use super::Pod;
use crate::evidence::{ClockOffsets, RunOffset};

impl Pod {
    /// SIGTERM reached its app no earlier: its own preStop hook comes first. A hook that the app's own
    /// word came before says nothing.
    pub(in crate::attribution) fn told_from(&self, offsets: &ClockOffsets) -> Option<RunOffset> {
        let (deleted, signalled) = (self.deleted?.lo, self.signalled?.lo);
        let reacted = self.reacted_at(offsets);
        let earlier = reacted.is_some_and(|at| at.hi < signalled);
        Some(if earlier { deleted } else { signalled })
    }
}
