//! How did the sidecar of a deleted pod wait, and for how long would its app have needed it?

use super::sidecar::Lead;
use crate::attribution::scene::{How, Pod};
use crate::attribution::{CutShort, SidecarDrain, SidecarKind};

/// Of a native sidecar only where it left first: it has no wait of its own.
pub(super) fn drain(pod: &Pod, lead: Lead) -> Option<SidecarDrain> {
    let deleted = pod.deleted?;
    let kind = pod.sidecar?;
    let native = kind == SidecarKind::Native;
    if pod.life.going_before_run || native && lead.seconds() <= 0.0 {
        return None;
    }
    let middle = |(lo, hi): (i64, i64)| lo.midpoint(hi);
    let after_deletion = pod
        .app_end
        .map(|end| middle((end.at.lo.0, end.at.hi.0)) - deleted.hi.0);
    let prestop = if native {
        0
    } else {
        pod.life.sidecar()?.prestop_sleep
    };
    let needed = match (pod.proxy.told.filter(|_| !native), after_deletion) {
        (Some(told), _) => middle(lead.app) - told.at,
        // The kubelet tells all containers at once, each after its own hook.
        (None, Some(after)) => after - prestop,
        (None, None) => return None,
    };
    let said = pod.proxy.wait;
    let written = pod.life.drain;
    let until_idle = said.map_or(written.until_idle == Some(true), |wait| wait.until_idle);
    let period = if until_idle {
        written.minimum
    } else {
        written.fixed
    };
    Some(SidecarDrain {
        until_idle: until_idle && !native,
        period_s: said
            .and_then(|wait| wait.period)
            .or(period)
            .filter(|_| !native)
            .map(seconds),
        needed_s: seconds(needed.max(0)),
        prestop_s: seconds(prestop),
        grace_s: seconds(pod.grace()),
        drain_duration_s: written.accepting.map(seconds),
        spec_grace_s: seconds(pod.life.spec_grace),
        ended_by_grace: ended_by_grace(pod, kind),
        app_cut: app_cut(pod, after_deletion),
    })
}

fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

/// A native sidecar that outlives the grace period's end is told then, whatever still runs
/// (facts 1.4); any other would be killed.
pub(super) fn ended_by_grace(pod: &Pod, kind: SidecarKind) -> bool {
    let (Some(end), Some(deleted)) = (pod.proxy_end, pod.deleted) else {
        return false;
    };
    let over = end.at.hi.0 >= deleted.lo.0.saturating_add(pod.grace());
    match (kind, end.how) {
        (SidecarKind::Classic, How::Killed) => true,
        (SidecarKind::Classic, How::Unknown) | (SidecarKind::Native, _) => over,
        (SidecarKind::Classic, How::Exited(_) | How::KilledEarly) => false,
    }
}

/// What the end of the grace period cut short at the app: its SIGTERM comes then at the latest, and
/// two seconds later SIGKILL (facts 1.3).
fn app_cut(pod: &Pod, after_deletion: Option<i64>) -> Option<CutShort> {
    if pod.app_end?.how == How::Killed {
        return Some(CutShort::App);
    }
    let grace = pod.grace();
    let app = pod.life.app()?;
    if !app.prestop || after_deletion? < grace {
        return None;
    }
    match app.prestop_sleep {
        0 => Some(CutShort::Prestop { left_s: None }),
        hook if hook > grace => Some(CutShort::Prestop {
            left_s: Some(seconds(hook - grace)),
        }),
        _ => None,
    }
}
