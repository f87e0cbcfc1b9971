//! Until when were pods that are gone still in somebody's routes?
//!
//! A connect that nobody answers shows that a route still led to an address that is gone, while a
//! service proxy without endpoints refuses at once (facts 1.9, 8.4, 8.6). Such connects of clients
//! without a sidecar date the routes.

use crate::evidence::{
    ClientInfo, ErrorClass, EventKind, Outcome, RequestPhase, RunOffset, Timeline,
};
use std::collections::BTreeMap;

/// Sendings of connects that nobody answered, sorted.
#[derive(Debug, Default)]
pub(in crate::attribution) struct Routes {
    vanished: Vec<RunOffset>,
}

/// A route that leads nowhere is found by some connect within this time.
const SOON: i64 = 3_000_000_000;

impl Routes {
    pub(super) fn of(timeline: &Timeline, clients: &BTreeMap<String, ClientInfo>) -> Self {
        let mut vanished: Vec<RunOffset> = timeline
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::RequestFailed(request) => Some(request),
                _ => None,
            })
            .filter(|request| {
                clients
                    .get(&request.client)
                    .is_none_or(|client| !client.meshed)
            })
            .filter(|request| {
                let class = match &request.outcome {
                    Outcome::Transport { class, .. } => *class,
                    _ => return false,
                };
                request.phase == RequestPhase::Connect
                    && matches!(class, ErrorClass::Timeout | ErrorClass::Unreachable)
            })
            .map(|request| request.sent.unwrap_or(request.intended))
            .collect();
        vanished.sort_unstable();
        Self { vanished }
    }

    /// A connect that was sent soon after `at` still led to an address that was gone.
    pub(in crate::attribution) fn dead_after(&self, at: RunOffset) -> bool {
        let next = self.vanished.partition_point(|sent| *sent < at);
        self.vanished
            .get(next)
            .is_some_and(|sent| sent.0 - at.0 <= SOON)
    }

    /// A connect that was sent around `at` led to an address that was gone.
    pub(in crate::attribution) fn dead_around(&self, at: RunOffset) -> bool {
        self.dead_after(RunOffset(at.0 - SOON))
    }
}
