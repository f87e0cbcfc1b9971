//! How long did a pod go on accepting after the last moment at which it could be sent something?

use crate::attribution::scene::{Pod, Scene};
use crate::attribution::{SidecarKind, listener};
use crate::evidence::RunOffset;

/// Milliseconds, at worst; negative is where requests die.
///
/// The last moment to be sent something is the withdrawal of its endpoint as the slices showed it,
/// or a later request that it really got. It accepts at least until its app reacts to SIGTERM or
/// ends, or a probe shows that it does not, whichever is first, unless a later answer on a new
/// connection or a probe shows more; behind a sidecar no longer than that lives, which takes the
/// connections (facts 9.4), and where it drains no longer than its `drainDuration` (facts 3.5).
pub(super) fn of(scene: &Scene<'_>, pod: &Pod) -> Option<i64> {
    pod.deleted?;
    // Whose log and whose end tell of it must be clear.
    pod.life.app()?;
    pod.routed?;
    let withdrawn = pod.withdrawn?;
    let end = pod.app_end?.at.lo;
    let reacted = pod
        .reacted_at(&scene.offsets)
        .map_or(end, |at| at.lo.min(end));
    let taken = match pod.sidecar.and(pod.proxy_end) {
        // It is gone, and nobody saw when.
        Some(end) if end.event.is_none() => return None,
        Some(end) => reacted.min(end.at.lo),
        None => reacted,
    };
    let shut = [pod.answers.probed.shut, drained(scene, pod)];
    let taken = shut.into_iter().flatten().fold(taken, RunOffset::min);
    let answered = pod.answers.latest_sent_new;
    let accepted = [answered, pod.answers.probed.accepted];
    let stopped = accepted.into_iter().flatten().fold(taken, RunOffset::max);
    let last = answered.map_or(withdrawn, |answered| answered.max(withdrawn));
    Some((stopped.0 - last.0).div_euclid(1_000_000))
}

/// When its sidecar stopped accepting by itself, at the earliest; where the pod shows how long that
/// drains. A native one never does (facts 3.4).
fn drained(scene: &Scene<'_>, pod: &Pod) -> Option<RunOffset> {
    let classic = pod.sidecar == Some(SidecarKind::Classic);
    let accepting = pod.life.drain.accepting.filter(|_| classic)?;
    let told = listener::told(scene, pod)?.lo;
    Some(RunOffset(told.0.saturating_add(accepting)))
}
