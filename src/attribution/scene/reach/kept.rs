//! With which pod was a client's address kept, and when?
//!
//! A service proxy notes whom it sent an address to, whether that one answered or not, and sends it
//! there again as long as the pod is in the routes. So the pods that answered an address before and
//! after a failure leave few that it can have been sent to between them.

use super::{Pod, named};
use crate::evidence::{ClientInfo, ConnectionKind, EventKind, RunOffset, Timeline, WATCH_LATENCY};

/// An affinity.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// It holds for so long after the last connection.
    lasts: i64,
    /// By whom new connections were answered, and when those were sent; sorted.
    met: Vec<(RunOffset, usize)>,
}

impl Kept {
    pub(super) fn of(lasts: i64, timeline: &Timeline, client: &ClientInfo, pods: &[Pod]) -> Self {
        Self {
            lasts,
            met: met(timeline, client, pods),
        }
    }

    /// The address can have been kept with `pod` at `at`, between the pods that answered it before and
    /// after. It is kept with whom it was sent to, whether that one answered or not.
    pub(super) fn fits(&self, pods: &[Pod], pod: usize, at: RunOffset) -> bool {
        let next = self.met.partition_point(|(sent, _)| *sent <= at);
        let lasts = |(sent, _): &&(RunOffset, usize)| (at.0 - sent.0).abs() <= self.lasts;
        let before = next.checked_sub(1).and_then(|last| self.met.get(last));
        let after = self.met.get(next).filter(lasts);
        let before = before.filter(lasts);
        before.is_none_or(|(_, own)| moved(pods, *own, pod, at))
            && after.is_none_or(|(sent, own)| moved(pods, pod, *own, *sent))
    }
}

/// An address that was kept with `from` can have been sent to `to` by then: routes leave pods in the
/// order of the slices, so `from` must have been withdrawn, and `to` not before it.
fn moved(pods: &[Pod], from: usize, to: usize, by: RunOffset) -> bool {
    if from == to {
        return true;
    }
    let left = |pod: usize| pods[pod].withdrawn.or(pods[pod].gone);
    let Some(from) = left(from) else {
        return false;
    };
    let to = left(to);
    from.0 - WATCH_LATENCY <= by.0 && to.is_none_or(|to| to.0 + WATCH_LATENCY >= from.0)
}

fn met(timeline: &Timeline, client: &ClientInfo, pods: &[Pod]) -> Vec<(RunOffset, usize)> {
    let mut met: Vec<(RunOffset, usize)> = timeline
        .events
        .iter()
        .filter_map(|event| {
            let EventKind::Requests(counts) = &event.kind else {
                return None;
            };
            let new = counts.connection == ConnectionKind::New && counts.ok > 0;
            let (name, sent) = (counts.pod.as_ref()?, counts.latest_sent?);
            let pod = named(pods, name, sent).filter(|_| new && counts.client == client.name)?;
            Some((sent, pod))
        })
        .collect();
    met.sort_unstable();
    met
}
