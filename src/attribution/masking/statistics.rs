//! How many requests were saved, by what the clients' own sidecars counted?

use crate::attribution::scene::{Access, Scene};
use crate::evidence::{
    EventKind, FailedRequest, Interval, RetryCounts, RunOffset, Timeline, host_prefix,
};

/// What the statistics say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    /// So many at least were saved.
    pub(super) at_least: u64,
    /// No more than these were.
    pub(super) exact: bool,
}

/// Two looks at one sidecar: the last one before the disruption, and the last one of all.
struct Looks<'t> {
    before: (Interval, &'t RetryCounts),
    after: (Interval, &'t RetryCounts),
}

/// The sum over all clients that sit behind a sidecar; `None`: one of these was not measured, or
/// there is none.
pub(super) fn of(scene: &Scene<'_>) -> Option<Statistics> {
    let timeline = scene.timeline;
    let (mut sum, mut doubts) = (0, timeline.unstored_failures().of_disruption);
    let mut meshed = scene
        .clients
        .values()
        .filter(|client| client.meshed)
        .peekable();
    meshed.peek()?;
    for client in meshed {
        let port = client
            .target
            .as_deref()
            .and_then(|target| target.rsplit_once(':'));
        let target = Target {
            port: port?.1,
            host: &host_prefix(timeline.run.service.as_deref()?, &timeline.run.namespace),
        };
        let looks = Looks::of(timeline, &client.name)?;
        let saved = looks.saved(&target)?;
        let doubtful = timeline.failed_requests().filter(|(_, request)| {
            request.client == client.name
                && request.end >= looks.before.0.lo
                && may_be_counted(scene, request, client.pod.as_deref())
        });
        doubts += doubtful.count() as u64;
        sum += saved;
    }
    Some(Statistics {
        at_least: sum.saturating_sub(doubts),
        exact: sum == 0 || doubts == 0,
    })
}

/// The mesh keeps such statistics of some client's sidecar.
pub(super) fn are_kept(timeline: &Timeline) -> bool {
    let mut kinds = timeline.events.iter().map(|event| &event.kind);
    kinds.any(|kind| matches!(kind, EventKind::RetriesCounted(counts) if !counts.saved.is_empty()))
}

/// Envoy counts a retry as a success when its end is none to try again for, be it an error. Where
/// the retries were spent, nobody was left to choose or the client had left, there was no such end.
fn may_be_counted(scene: &Scene<'_>, request: &FailedRequest, pod: Option<&str>) -> bool {
    let lines = scene.proxies.of_request(&request.request_id);
    let mut own = lines
        .into_iter()
        .filter(|line| !line.inbound && Some(line.pod.as_str()) == pod);
    let ended_otherwise = |line: &Access| ["URX", "UH", "DC"].iter().any(|flag| line.has(flag));
    !own.any(|line| !line.answered && ended_otherwise(line))
}

/// How a sidecar calls the target's clusters.
struct Target<'t> {
    port: &'t str,
    host: &'t str,
}

impl Target<'_> {
    /// The cluster, or that of one of its subsets.
    fn is(&self, cluster: &str) -> bool {
        let mut parts = cluster.split('|');
        let (direction, port) = (parts.next(), parts.next());
        let host = parts.nth(1);
        direction == Some("outbound")
            && port == Some(self.port)
            && host.is_some_and(|host| host.starts_with(self.host))
    }
}

impl<'t> Looks<'t> {
    fn of(timeline: &'t Timeline, client: &str) -> Option<Self> {
        let since = timeline.disrupted_at()?;
        let looks = || {
            let counted = timeline
                .events
                .iter()
                .filter_map(|event| match &event.kind {
                    EventKind::RetriesCounted(counts) if counts.client == client => {
                        Some((event.at, counts))
                    }
                    _ => None,
                });
            counted.collect::<Vec<_>>()
        };
        let (before, after): (Vec<_>, Vec<_>) =
            looks().into_iter().partition(|(at, _)| at.hi <= since);
        let after = after
            .into_iter()
            .rfind(|(at, _)| at.lo >= over(timeline, client))?;
        Some(Self {
            before: *before.last()?,
            after,
        })
    }

    /// What was counted in between, over all that the client's pod sends: requests may be routed to
    /// another Service's pods. `None`: the target is not among what is counted, or the counts are not
    /// those of one and the same Envoy.
    fn saved(&self, target: &Target<'_>) -> Option<u64> {
        let ((began, before), (ended, after)) = (self.before, self.after);
        let counted = |counts: &RetryCounts| counts.saved.keys().any(|name| target.is(name));
        if !counted(before) || !counted(after) || !is_as_old(after, ended.hi.0 - began.lo.0) {
            return None;
        }
        let mut saved = 0;
        for (cluster, count) in &after.saved {
            let earlier = before.saved.get(cluster).copied().unwrap_or(0);
            saved += count.checked_sub(earlier)?;
        }
        let kept = |cluster| after.saved.contains_key(cluster);
        before.saved.keys().all(kept).then_some(saved)
    }
}

/// Envoy ran already so many nanoseconds ago. It counts whole seconds, of which the first may have
/// been begun only.
fn is_as_old(counts: &RetryCounts, nanos: i64) -> bool {
    let whole = counts.uptime.and_then(|uptime| i64::try_from(uptime).ok());
    let surely = whole.map_or(0, |uptime| uptime.saturating_sub(1));
    surely.saturating_mul(1_000_000_000) >= nanos
}

/// When the last request of a client was over, as far as that was told.
fn over(timeline: &Timeline, client: &str) -> RunOffset {
    let ends = timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Requests(counts) if counts.client == client => counts.latest_end,
            EventKind::RequestFailed(request) if request.client == client => Some(request.end),
            _ => None,
        });
    ends.max().unwrap_or(RunOffset(i64::MIN))
}
