//! How many requests did only a proxy's retry save, as far as that can be seen?

use super::scene::Scene;

/// The setting that makes a stock mesh show it.
const HINT: &str = "add `%UPSTREAM_REQUEST_ATTEMPT_COUNT%` to `meshConfig.accessLogFormat`";

/// The count, or the setting that would show it.
///
/// Lines that count attempts show every saved request. Without them only a request whose id reached
/// the apps of two pods can be seen; where none did, nothing was measured.
pub(super) fn of(scene: &Scene<'_>) -> (Option<u64>, Option<String>) {
    if let Some(masked) = scene.proxies.masked {
        return (Some(masked), None);
    }
    if scene.proxies.doubled > 0 {
        return (Some(scene.proxies.doubled), Some(HINT.to_owned()));
    }
    let meshed = !scene.proxies.lives.is_empty();
    (None, meshed.then(|| HINT.to_owned()))
}
