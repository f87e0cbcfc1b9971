//! Which figures would have let an app end before its sidecar (facts 1.3, 1.4, 3.3, 5.5)?

use super::super::ALLOWANCE_S;
use crate::attribution::{CutShort, SidecarDrain, SidecarKind};
use crate::evidence::DRAIN_DURATION;

/// What the kubelet needs beside the sidecar's stay: it cuts waits to whole seconds.
const GRACE_ALLOWANCE_S: f64 = 2.0;

/// `MINIMUM_DRAIN_DURATION` where nothing sets it (facts 3.5).
const MINIMUM_S: f64 = 5.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cure {
    Figures(Figures),
    /// Neither its own wait nor the grace period was over: no figure would have held it.
    LeftByItself,
    /// The end of the grace period hid how long the app needs.
    AppUnmeasured,
}

/// Seconds, each only where the pod's own are fewer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figures {
    /// How long the sidecar has to stay.
    pub(super) stay: Option<f64>,
    /// For how long Envoy has to accept.
    pub(super) accept: Option<f64>,
    pub(super) grace: Option<f64>,
    /// The pod's own grace period would do, and the deletion allowed less.
    pub(super) shortened: bool,
}

/// `later`: so many seconds later the app will end.
pub(super) fn cure(kind: SidecarKind, drain: &SidecarDrain, later: f64) -> Cure {
    let Some(needed) = needed(drain, later) else {
        return Cure::AppUnmeasured;
    };
    let stay = match (kind, present(drain)) {
        (SidecarKind::Native, _) if !drain.ended_by_grace => return Cure::LeftByItself,
        (SidecarKind::Native, _) => None,
        (SidecarKind::Classic, Some(present)) => {
            if !drain.ended_by_grace && drain.needed_s <= present {
                return Cure::LeftByItself;
            }
            (present < needed).then_some(needed)
        }
        (SidecarKind::Classic, None) => (!drain.ended_by_grace).then_some(needed),
    };
    // A sidecar that still waits when the grace period is over is killed, so its wait counts even
    // where the app needs less.
    let longest = match kind {
        SidecarKind::Native => needed,
        SidecarKind::Classic => present(drain).map_or(needed, |present| needed.max(present)),
    };
    let grace = (drain.prestop_s + longest + GRACE_ALLOWANCE_S).ceil();
    Cure::Figures(Figures {
        stay,
        accept: (kind == SidecarKind::Classic && accepts(drain) < needed).then_some(needed),
        grace: (drain.spec_grace_s < grace).then_some(grace),
        shortened: drain.grace_s < grace && grace <= drain.spec_grace_s,
    })
}

/// For how long the app needs a sidecar that is told to stop, where that was seen.
fn needed(drain: &SidecarDrain, later: f64) -> Option<f64> {
    let left = match drain.app_cut {
        Some(CutShort::App | CutShort::Prestop { left_s: None }) => return None,
        Some(CutShort::Prestop { left_s: Some(left) }) => left,
        None => 0.0,
    };
    Some((drain.needed_s + left + later + ALLOWANCE_S).ceil())
}

/// For how long it accepts once it drains: Envoy's own drain ends then (facts 4.5).
pub(super) fn accepts(drain: &SidecarDrain) -> f64 {
    drain
        .drain_duration_s
        .unwrap_or(DRAIN_DURATION as f64 / 1e9)
}

/// For how long it has to accept, where that was seen and is longer than it does.
pub(super) fn accept_longer(drain: &SidecarDrain, later: f64) -> Option<f64> {
    needed(drain, later).filter(|needed| accepts(drain) < *needed)
}

/// Its present wait, where that is known.
fn present(drain: &SidecarDrain) -> Option<f64> {
    drain.period_s.or(drain.until_idle.then_some(MINIMUM_S))
}

/// What a grace period needs beside the app's preStop hook that used up the present one.
pub(super) fn after_hook(drain: &SidecarDrain) -> f64 {
    let after = drain.prestop_s + drain.needed_s - drain.grace_s;
    (after.max(0.0) + ALLOWANCE_S + GRACE_ALLOWANCE_S).ceil()
}

/// Nothing but the time for which it accepts.
pub(super) const fn accepting(seconds: f64) -> Figures {
    Figures {
        stay: None,
        accept: Some(seconds),
        grace: None,
        shortened: false,
    }
}

impl Figures {
    /// A piece of the workload's manifest.
    pub(super) fn manifest(self, until_idle: bool) -> Option<String> {
        let mut lines = vec!["template:".to_owned()];
        let mut proxy = Vec::new();
        if let Some(stay) = self.stay {
            if until_idle {
                proxy.push("proxyMetadata:".to_owned());
                proxy.push("  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: \"true\"".to_owned());
                proxy.push(format!("  MINIMUM_DRAIN_DURATION: \"{stay}s\""));
            } else {
                proxy.push(format!("terminationDrainDuration: {stay}s"));
            }
        }
        if let Some(accept) = self.accept {
            proxy.push(format!("drainDuration: {accept}s"));
        }
        if !proxy.is_empty() {
            lines.push("  metadata:".to_owned());
            lines.push("    annotations:".to_owned());
            lines.push("      proxy.istio.io/config: |".to_owned());
            lines.extend(proxy.into_iter().map(|line| format!("        {line}")));
        }
        if let Some(grace) = self.grace {
            lines.push("  spec:".to_owned());
            lines.push(format!("    terminationGracePeriodSeconds: {grace}"));
        }
        (lines.len() > 1).then(|| lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SidecarKind::{Classic, Native};

    fn drain(period: Option<f64>, needed: f64, grace: f64) -> SidecarDrain {
        SidecarDrain {
            period_s: period,
            needed_s: needed,
            grace_s: grace,
            spec_grace_s: grace,
            ..SidecarDrain::default()
        }
    }

    /// The grace period ended it.
    fn by_grace(period: Option<f64>, needed: f64, grace: f64) -> SidecarDrain {
        SidecarDrain {
            ended_by_grace: true,
            ..drain(period, needed, grace)
        }
    }

    fn figures(stay: Option<f64>, grace: Option<f64>) -> Cure {
        Cure::Figures(Figures {
            stay,
            accept: None,
            grace,
            shortened: false,
        })
    }

    #[test]
    fn a_sidecar_that_the_grace_period_ended_gets_a_longer_one_and_no_shorter_stay() {
        let idle = |one: SidecarDrain| SidecarDrain {
            until_idle: true,
            ..one
        };
        let hook = |left_s, one: SidecarDrain| SidecarDrain {
            app_cut: Some(CutShort::Prestop { left_s }),
            ..one
        };
        for (kind, drain, expected) in [
            // Killed while it waited for longer than the app needs.
            (
                Classic,
                by_grace(Some(20.0), 8.2, 5.0),
                figures(None, Some(22.0)),
            ),
            // Its wait was not seen: it outlasted the grace period at least.
            (Classic, by_grace(None, 8.2, 5.0), figures(None, Some(12.0))),
            // Killed before a wait that would have been too short all the same.
            (
                Classic,
                by_grace(Some(6.0), 7.2, 5.0),
                figures(Some(9.0), Some(11.0)),
            ),
            // Somebody was still connected; without a longer minimum it might leave too early next time.
            (
                Classic,
                idle(by_grace(None, 8.2, 7.0)),
                figures(Some(10.0), Some(12.0)),
            ),
            (
                Classic,
                idle(by_grace(Some(25.0), 8.2, 7.0)),
                figures(None, Some(27.0)),
            ),
            // The app's hook goes on for longer where the grace period lets it.
            (
                Classic,
                hook(Some(15.0), by_grace(Some(20.0), 8.2, 5.0)),
                figures(Some(25.0), Some(27.0)),
            ),
            (Native, by_grace(None, 7.9, 5.0), figures(None, Some(11.0))),
            (
                Native,
                hook(Some(1.0), by_grace(None, 7.9, 5.0)),
                figures(None, Some(12.0)),
            ),
            (
                Native,
                hook(None, by_grace(None, 7.9, 5.0)),
                Cure::AppUnmeasured,
            ),
            // A pod whose own wait was over needs more than it has.
            (
                Classic,
                drain(Some(5.0), 12.0, 30.0),
                figures(Some(13.0), None),
            ),
            (
                Classic,
                drain(None, 12.0, 14.0),
                figures(Some(13.0), Some(15.0)),
            ),
            // Nothing that can be set ended it.
            (Classic, drain(Some(20.0), 8.2, 30.0), Cure::LeftByItself),
            (Native, drain(None, 8.2, 30.0), Cure::LeftByItself),
        ] {
            assert_eq!(cure(kind, &drain, 0.0), expected, "{kind:?} {drain:?}");
        }
    }

    #[test]
    fn a_sidecar_that_would_stop_accepting_too_early_is_to_accept_for_longer() {
        let accepting = |seconds, one: SidecarDrain| SidecarDrain {
            drain_duration_s: Some(seconds),
            ..one
        };
        for (kind, drain, expected) in [
            // The stay is raised, and what is accepted with it.
            (
                Classic,
                accepting(5.0, drain(Some(5.0), 12.0, 30.0)),
                Some(13.0),
            ),
            (Classic, accepting(20.0, drain(Some(5.0), 12.0, 30.0)), None),
            // It stays for long enough, but accepts too shortly.
            (
                Classic,
                accepting(5.0, by_grace(Some(20.0), 8.2, 5.0)),
                Some(10.0),
            ),
            // Istio's default.
            (Classic, drain(Some(5.0), 50.0, 90.0), Some(51.0)),
            (Classic, drain(Some(5.0), 40.0, 90.0), None),
            // A native one never stops.
            (Native, accepting(5.0, by_grace(None, 7.9, 5.0)), None),
        ] {
            let Cure::Figures(figures) = cure(kind, &drain, 0.0) else {
                panic!("no figures for {drain:?}");
            };
            assert_eq!(figures.accept, expected, "{kind:?} {drain:?}");
        }
    }

    #[test]
    fn a_deletion_that_allows_less_than_the_pod_is_not_cured_by_the_pod() {
        let shortened = SidecarDrain {
            spec_grace_s: 30.0,
            ..by_grace(Some(20.0), 8.2, 5.0)
        };
        let expected = Figures {
            stay: None,
            accept: None,
            grace: None,
            shortened: true,
        };
        assert_eq!(cure(Classic, &shortened, 0.0), Cure::Figures(expected));
        assert_eq!(expected.manifest(false), None);
    }

    #[test]
    fn an_app_that_was_killed_did_not_show_what_it_needs() {
        let killed = SidecarDrain {
            app_cut: Some(CutShort::App),
            ..drain(Some(5.0), 30.1, 30.0)
        };
        assert_eq!(cure(Classic, &killed, 0.0), Cure::AppUnmeasured);
    }
}
