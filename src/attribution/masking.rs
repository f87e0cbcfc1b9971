//! How many requests did only a proxy's retry save, as far as that can be seen?

mod statistics;

use super::scene::{Counted, Pod, Scene, Sighting};
use crate::evidence::{EventKind, Interval, Timeline};

/// The setting that makes a stock mesh show it.
const ATTEMPTS: &str = "add `%UPSTREAM_REQUEST_ATTEMPT_COUNT%` to `meshConfig.accessLogFormat`";

/// The same, or another one.
const HINT: &str = "add `%UPSTREAM_REQUEST_ATTEMPT_COUNT%` to `meshConfig.accessLogFormat`, or send \
                    from a pod with a sidecar (`load.from: meshed-pod`) and the annotation \
                    `sidecar.istio.io/statsInclusionRegexps: .*upstream_rq_retry.*`";

/// The setting that lets us read it.
const UNREAD: &str = "many lines of a proxy's log were in no known format, which may be its access \
                      log's: declare that as `spec.observe.accessLogFormat`";

/// What no setting shows us.
const OUTER: &str = "what stands before the cluster may try again, and its log is not read";

/// What was seen of retries since the disruption began.
pub(super) struct Masking {
    /// All that were saved; `None`: not measured.
    pub(super) masked: Option<Counted>,
    /// Those that were seen to be.
    pub(super) at_least: u64,
    /// Those that reached two apps.
    pub(super) doubled: u64,
    /// Not measured: the setting that would show it.
    pub(super) hint: Option<String>,
}

/// What the answers themselves told of retries since the disruption began.
struct Echoed {
    saved: u64,
    /// Every answer told.
    all: bool,
}

impl Echoed {
    fn of(timeline: &Timeline) -> Self {
        let since = timeline.disrupted_at();
        let mut sums = (0, 0, 0);
        for event in &timeline.events {
            if let EventKind::Requests(counts) = &event.kind
                && since.is_none_or(|since| counts.bucket.0 + counts.width > since.0)
            {
                sums.0 += counts.ok;
                sums.1 += counts.attempts_told;
                sums.2 += counts.retried;
            }
        }
        let (ok, told, saved) = sums;
        Self {
            saved,
            all: told > 0 && told == ok,
        }
    }
}

/// The pod was in the routes at some time, as far as the slices tell: one that never was had no
/// request to log.
fn maybe_asked(scene: &Scene<'_>, pod: &Pod) -> bool {
    let lived = Interval {
        lo: pod.life.first_seen,
        hi: pod.life.last_seen,
    };
    let seen = scene.endpoints.seen && !scene.blind("endpointslices", lived);
    pod.routed.is_some() || !seen
}

/// The counts, and the setting that would show what is not seen.
///
/// An app that echoes the attempts of the client's sidecar in every answer shows every saved request.
/// Lines that count attempts show every saved request: those of each client's own sidecar, or, where
/// no client has one, those of the servers'. Without them only a request whose id reached the apps of
/// two pods is seen, and that is no measurement: where none did, some may have been saved. The
/// statistics of the clients' own sidecars, where the mesh keeps them, count what is left. Answers and
/// statistics tell nothing of what a server's sidecar tried again: its lines may.
pub(super) fn of(scene: &Scene<'_>) -> Masking {
    let attempts = &scene.proxies.attempts;
    let meshed = scene.clients.values().filter(|client| client.meshed);
    let pods: Vec<Option<&str>> = meshed.map(|client| client.pod.as_deref()).collect();
    let counted = |pod: &Option<&str>| pod.is_some_and(|pod| attempts.counted_by(pod));
    let counts = if pods.is_empty() {
        attempts.counted_inbound()
    } else {
        pods.iter().all(counted)
    };
    let unread = if pods.is_empty() {
        let mut pods = scene.pods.iter();
        pods.any(|pod| pod.proxy.hides_requests && maybe_asked(scene, pod))
    } else {
        let lives = pods.iter().flatten();
        let mut lives = lives.filter_map(|pod| scene.proxies.lives.get(*pod));
        lives.any(|life| life.hides_requests)
    };
    let counts = counts && !unread;
    let pods: Vec<&str> = pods.into_iter().flatten().collect();
    let count = |seen: Vec<Sighting>| {
        let pod = |log: usize| scene.timeline.logs[log].pod.as_str();
        scene.count_since_disrupted(seen.into_iter().map(|(log, at)| (pod(log), at)))
    };
    let echoed = Echoed::of(scene.timeline);
    let statistics = statistics::of(scene);
    let seen = count(attempts.seen_saved(&pods)).after;
    let by_clients = if echoed.all {
        Some(echoed.saved)
    } else {
        let exact = statistics.filter(|statistics| statistics.exact);
        exact.map(|statistics| statistics.at_least)
    };
    let masked = if scene.outer {
        None
    } else if counts {
        Some(count(attempts.saved(&pods)))
    } else {
        by_clients.map(|saved| together(saved, count(attempts.saved(&[])), seen))
    };
    let proxied = !scene.proxies.lives.is_empty();
    let hint = match (unread, counts, statistics::are_kept(scene.timeline)) {
        (true, ..) => UNREAD,
        (false, true, _) => OUTER,
        // They are kept, and leave something open.
        (false, false, true) => ATTEMPTS,
        (false, false, false) => HINT,
    };
    Masking {
        masked,
        at_least: masked.map_or_else(
            || {
                let counted = statistics.map_or(0, |statistics| statistics.at_least);
                seen.max(echoed.saved).max(counted)
            },
            |masked| masked.after,
        ),
        doubled: count(attempts.doubled()).after,
        hint: (masked.is_none() && proxied).then(|| hint.to_owned()),
    }
}

/// Those that the clients' sidecars saved and those that the servers' did; some may be both. `seen`: so
/// many at least were saved in all.
fn together(by_clients: u64, by_servers: Counted, seen: u64) -> Counted {
    let after = by_clients.max(seen);
    let at_most = by_clients + by_servers.after + by_servers.unsure;
    Counted {
        after,
        unsure: at_most.saturating_sub(after),
    }
}
