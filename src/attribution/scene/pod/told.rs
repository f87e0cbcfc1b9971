//! Since when can the app of a pod that is being deleted know that it is to end?

use super::Pod;
use crate::evidence::{ClockOffsets, RunOffset};

impl Pod {
    /// SIGTERM reached its app no earlier: its own preStop hook comes first, as far as it is known
    /// for how long that sleeps (facts 1.3, 5.2). A hook that failed, or that the app's own word or
    /// end came before, says nothing.
    pub(in crate::attribution) fn told_from(&self, offsets: &ClockOffsets) -> Option<RunOffset> {
        let deleted = self.deleted?.lo;
        let Some(app) = self.life.app() else {
            return Some(deleted);
        };
        let failed = self.events.iter().any(|event| {
            let container = event.container.as_ref();
            event.reason == "FailedPreStopHook" && container.is_none_or(|name| *name == app.name)
        });
        let told = RunOffset(
            deleted
                .0
                .saturating_add(app.prestop_sleep.min(self.grace())),
        );
        let known = [self.reacted_at(offsets), self.app_end.map(|end| end.at)];
        let earlier = known.into_iter().flatten().any(|at| at.hi < told);
        Some(if failed || earlier { deleted } else { told })
    }
}
