//! How many requests did only a proxy's retry save, as far as that can be seen?

use super::scene::{Counted, Scene};

/// The setting that makes a stock mesh show it.
const HINT: &str = "add `%UPSTREAM_REQUEST_ATTEMPT_COUNT%` to `meshConfig.accessLogFormat`";

/// The count since the disruption began, and the setting that would show more.
///
/// Lines that count attempts show every saved request. Without them only a request whose id reached
/// the apps of two pods can be seen; where none did, nothing was measured.
pub(super) fn of(scene: &Scene<'_>) -> (Option<Counted>, Option<String>) {
    let count = |lines: &[(usize, Option<i64>)]| {
        let pod = |log: usize| scene.timeline.logs[log].pod.as_str();
        scene.count_since_disrupted(lines.iter().map(|(log, at)| (pod(*log), *at)))
    };
    if let Some(masked) = &scene.proxies.masked {
        return (Some(count(masked)), None);
    }
    if !scene.proxies.doubled.is_empty() {
        let counted = count(&scene.proxies.doubled);
        return (Some(counted), Some(HINT.to_owned()));
    }
    let meshed = !scene.proxies.lives.is_empty();
    (None, meshed.then(|| HINT.to_owned()))
}
