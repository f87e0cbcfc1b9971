//! How many requests did only a proxy's retry save, as far as that can be seen?

use super::scene::{Counted, Scene, Sighting};

/// The setting that makes a stock mesh show it.
const HINT: &str = "add `%UPSTREAM_REQUEST_ATTEMPT_COUNT%` to `meshConfig.accessLogFormat`";

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

/// The counts, and the setting that would show what is not seen.
///
/// Lines that count attempts show every saved request: those of each client's own sidecar, or, where
/// no client has one, those of the servers'. Without them only a request whose id reached the apps of
/// two pods is seen, and that is no measurement: where none did, some may have been saved.
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
    let pods: Vec<&str> = pods.into_iter().flatten().collect();
    let count = |seen: Vec<Sighting>| {
        let pod = |log: usize| scene.timeline.logs[log].pod.as_str();
        scene.count_since_disrupted(seen.into_iter().map(|(log, at)| (pod(log), at)))
    };
    let masked = (counts && !scene.outer).then(|| count(attempts.saved(&pods)));
    let proxied = !scene.proxies.lives.is_empty();
    let hint = if counts { OUTER } else { HINT };
    Masking {
        masked,
        at_least: masked
            .unwrap_or_else(|| count(attempts.seen_saved(&pods)))
            .after,
        doubled: count(attempts.doubled()).after,
        hint: (masked.is_none() && proxied).then(|| hint.to_owned()),
    }
}
