//! For how long must a sidecar stay so that its app can end before it (facts 3.3, 3.5)?
//!
//! Computed from what this run showed: from the moment the sidecar was told to stop to the app's
//! end, and some more; a preStop hook that is advised as well moves that end. Which setting says so
//! depends on how the sidecar waits: beside `EXIT_ON_ZERO_ACTIVE_CONNECTIONS`,
//! `terminationDrainDuration` is ignored. A sidecar that the grace period ended needs a longer one.

mod cure;

use super::Advice;
use crate::attribution::{Cause, CutShort, PodFinding, SidecarDrain, SidecarKind};
use cure::{Cure, cure};

const NATIVE: &str = "; a native sidecar needs no such figure";

/// The setting that holds a classic sidecar, where a pod has one.
pub(super) fn setting(pods: &[PodFinding]) -> Option<&'static str> {
    let mut classic = pods
        .iter()
        .filter(|pod| pod.sidecar == Some(SidecarKind::Classic))
        .peekable();
    classic.peek()?;
    let until_idle = classic.any(|pod| pod.drain.as_ref().is_some_and(|drain| drain.until_idle));
    Some(name(until_idle))
}

const fn name(until_idle: bool) -> &'static str {
    if until_idle {
        "MINIMUM_DRAIN_DURATION"
    } else {
        "terminationDrainDuration"
    }
}

/// `later`: so many seconds later the app will end, once it has the preStop hook that is advised too.
pub(super) fn sidecar(pods: &[PodFinding], later: f64) -> Advice {
    let led = || {
        pods.iter()
            .filter(|pod| pod.sidecar_lead_s.is_some_and(|lead| lead > 0.0))
    };
    let lead = led().filter_map(|pod| pod.sidecar_lead_s);
    let lead = lead.fold(0.0, f64::max);
    let longest = led()
        .filter_map(|pod| Some((pod.sidecar?, pod.drain.as_ref()?)))
        .max_by(|(_, one), (_, other)| one.needed_s.total_cmp(&other.needed_s));
    let (text, manifest) = match longest {
        Some((kind, drain)) => of_pod(kind, drain, later),
        None => {
            let native = led().any(|pod| pod.sidecar == Some(SidecarKind::Native));
            (unmeasured(native).to_owned(), None)
        }
    };
    Advice {
        cures: Cause::SidecarExitedFirst.id().to_owned(),
        text: format!("the sidecar ended up to {lead:.1} s before the app: {text}"),
        manifest,
    }
}

fn of_pod(kind: SidecarKind, drain: &SidecarDrain, later: f64) -> (String, Option<String>) {
    let mut text = why(kind, drain);
    let cure = match cure(kind, drain, later) {
        Cure::Figures(figures) => figures,
        Cure::LeftByItself => return (text + LEFT, None),
        Cure::AppUnmeasured => {
            text.push_str(&unseen_end(kind, drain));
            return (text, None);
        }
    };
    if let Some(stay) = cure.stay {
        let setting = name(drain.until_idle);
        text.push_str(&format!("; hold the sidecar for {stay} s with `{setting}`"));
    }
    if later > 0.0 {
        text.push_str(&format!(
            " (with the preStop of {later} s that is advised here)"
        ));
    }
    match cure.grace {
        Some(grace) => text.push_str(&format!(
            "; `terminationGracePeriodSeconds` must {}be at least {grace} (it is {:.0})",
            if cure.stay.is_some() { "then " } else { "" },
            drain.spec_grace_s
        )),
        None if cure.shortened => text.push_str(&format!(
            "; the deletion allowed {:.0} s where the pod's own {:.0} s would do: let nothing shorten \
             it (`--grace-period`)",
            drain.grace_s, drain.spec_grace_s
        )),
        None => {}
    }
    if cure.stay.is_some() && !drain.ended_by_grace {
        text.push_str(NATIVE);
    }
    (text, cure.manifest(drain.until_idle))
}

/// Why it left when it did.
fn why(kind: SidecarKind, drain: &SidecarDrain) -> String {
    let after = drain.needed_s;
    let waits = match (drain.until_idle, drain.period_s) {
        (true, least) => format!(
            "`EXIT_ON_ZERO_ACTIVE_CONNECTIONS` lets it leave as soon as nobody is connected{}, and \
             `terminationDrainDuration` is ignored beside it",
            least.map_or(String::new(), |least| format!(
                " (after {least:.0} s at least)"
            ))
        ),
        (false, Some(wait)) => {
            format!("it waits for `terminationDrainDuration` ({wait:.0} s here)")
        }
        (false, None) if drain.ended_by_grace => {
            "it waits for `terminationDrainDuration`".to_owned()
        }
        (false, None) => "it waits for `terminationDrainDuration` (5 s unless set)".to_owned(),
    };
    let grace = drain.grace_s;
    let mut text = match kind {
        SidecarKind::Native if drain.ended_by_grace => format!(
            "a native sidecar is told to stop when the app has ended, or when the grace period is \
             over, here after {grace:.0} s; the app ended {after:.1} s after the deletion"
        ),
        SidecarKind::Native => format!(
            "a native sidecar is told to stop when the app has ended, or when the grace period is \
             over, and neither was so; the app ended {after:.1} s after the deletion"
        ),
        SidecarKind::Classic => format!(
            "{waits}{}, and the app went on for {after:.1} s after the sidecar was told to stop",
            if drain.ended_by_grace {
                format!(", but the grace period of {grace:.0} s ended it before that")
            } else {
                String::new()
            }
        ),
    };
    if let Some(CutShort::Prestop { left_s: Some(left) }) = drain.app_cut {
        text.push_str(&format!(
            ", its preStop hook cut short by the grace period, {left:.0} s too early"
        ));
    }
    text
}

const LEFT: &str = "; something else ended the sidecar (a call of `/quitquitquit` or `/drain`, a crash): \
                    see its exit code and its last lines";

/// The end of the grace period hid how long the app would have needed.
fn unseen_end(kind: SidecarKind, drain: &SidecarDrain) -> String {
    let mut text = match drain.app_cut {
        Some(CutShort::Prestop { .. }) => format!(
            ", its preStop hook having used up the grace period of {:.0} s; make \
             `terminationGracePeriodSeconds` at least that hook, whose length the manifest does not \
             tell, + {}",
            drain.grace_s,
            cure::after_hook(drain)
        ),
        _ => format!(
            ", killed with the grace period of {:.0} s over, so how long it needs was not seen; let \
             it end by itself first, with `terminationGracePeriodSeconds` above preStop + cleanup + 2",
            drain.grace_s
        ),
    };
    if kind == SidecarKind::Classic {
        text.push_str(&format!(
            ", and hold the sidecar at least as long with `{}`{NATIVE}",
            name(drain.until_idle)
        ));
    }
    text
}

/// A sidecar refused by itself, its app alive, since it had drained for `drainDuration`.
pub(super) fn accept_longer(pods: &[PodFinding], later: f64) -> Option<Advice> {
    let classic = pods
        .iter()
        .filter(|pod| pod.sidecar == Some(SidecarKind::Classic))
        .filter_map(|pod| pod.drain.as_ref());
    let longest = classic.max_by(|one, other| one.needed_s.total_cmp(&other.needed_s))?;
    let accepts = cure::accepts(longest);
    let mut text = format!(
        "requests were refused when a sidecar had drained for `drainDuration` ({accepts} s), after \
         which it does not accept; the app went on for {:.1} s after the sidecar was told to stop",
        longest.needed_s
    );
    let seconds = cure::accept_longer(longest, later);
    text.push_str(&match seconds {
        Some(seconds) => format!("; set `drainDuration` to {seconds} s at least"),
        None => "; set `drainDuration` above preStop and cleanup together".to_owned(),
    });
    Some(Advice {
        cures: Cause::Unexplained.id().to_owned(),
        text,
        manifest: seconds.and_then(|seconds| cure::accepting(seconds).manifest(false)),
    })
}

/// Nothing showed when the sidecar was told to stop.
const fn unmeasured(native: bool) -> &'static str {
    if native {
        "a native sidecar is told to stop when the app has ended, or when the grace period is over: \
         keep `terminationGracePeriodSeconds` above preStop + cleanup + 2"
    } else {
        "let it stay longer than preStop and cleanup together: `terminationDrainDuration`, or beside \
         `EXIT_ON_ZERO_ACTIVE_CONNECTIONS` (which ignores it) `MINIMUM_DRAIN_DURATION`; a native \
         sidecar needs no such figure"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(lead: f64, drain: SidecarDrain) -> PodFinding {
        PodFinding {
            sidecar: Some(SidecarKind::Classic),
            sidecar_lead_s: Some(lead),
            drain: Some(drain),
            ..PodFinding::default()
        }
    }

    fn drain(until_idle: bool, period: f64, needed: f64, grace: f64) -> SidecarDrain {
        SidecarDrain {
            until_idle,
            period_s: Some(period),
            needed_s: needed,
            prestop_s: 0.0,
            grace_s: grace,
            spec_grace_s: grace,
            ..SidecarDrain::default()
        }
    }

    fn told(pods: &[PodFinding]) -> String {
        let advice = sidecar(pods, 0.0);
        format!("{}\n\n{}", advice.text, advice.manifest.unwrap_or_default())
    }

    #[test]
    fn a_sidecar_that_refused_by_itself_is_to_accept_for_longer() {
        let short = SidecarDrain {
            drain_duration_s: Some(5.0),
            ..drain(false, 22.0, 12.0, 30.0)
        };
        let advice = accept_longer(&[pod(-10.0, short)], 0.0).expect("an advice");
        let told = format!("{}\n\n{}", advice.text, advice.manifest.unwrap_or_default());
        insta::assert_snapshot!("refused_by_itself", told);
    }

    #[test]
    fn a_longer_grace_period_is_advised_where_it_is_the_grace_period_that_was_short() {
        let cut = SidecarDrain {
            ended_by_grace: true,
            app_cut: Some(CutShort::Prestop { left_s: Some(1.0) }),
            ..drain(false, 20.0, 8.2, 5.0)
        };
        insta::assert_snapshot!("killed_by_grace", told(&[pod(3.4, cut.clone())]));
        let native = PodFinding {
            sidecar: Some(SidecarKind::Native),
            ..pod(
                3.0,
                SidecarDrain {
                    period_s: None,
                    ..cut.clone()
                },
            )
        };
        insta::assert_snapshot!("native_told_by_grace", told(std::slice::from_ref(&native)));
        let unknown = |mut pod: PodFinding| {
            if let Some(drain) = &mut pod.drain {
                drain.app_cut = Some(CutShort::Prestop { left_s: None });
            }
            pod
        };
        insta::assert_snapshot!("hook_of_unknown_length", told(&[unknown(native.clone())]));
        insta::assert_snapshot!(
            "killed_with_hook_of_unknown_length",
            told(&[unknown(pod(3.4, cut))])
        );
        let unseen = PodFinding {
            drain: None,
            ..native
        };
        let advice = sidecar(&[unseen], 0.0);
        assert!(!advice.text.contains("DrainDuration"), "{}", advice.text);
    }

    #[test]
    fn the_copied_setting_is_held_by_the_part_that_is_left_out() {
        insta::assert_snapshot!(
            "copied_setting",
            told(&[pod(15.0, drain(true, 5.0, 21.1, 60.0))])
        );
    }

    #[test]
    fn the_default_is_held_for_longer() {
        insta::assert_snapshot!(
            "default_period",
            told(&[pod(7.0, drain(false, 5.0, 12.0, 30.0))])
        );
    }

    #[test]
    fn a_pod_that_has_the_setting_already_needs_more_than_it_has() {
        let pods = [
            pod(7.0, drain(false, 10.0, 17.0, 15.0)),
            pod(2.0, drain(false, 10.0, 12.0, 15.0)),
        ];
        insta::assert_snapshot!("own_setting", told(&pods));
    }

    #[test]
    fn a_stay_beyond_envoy_s_own_drain_raises_that_as_well() {
        let own_hook = SidecarDrain {
            prestop_s: 10.0,
            ..drain(true, 5.0, 50.0, 62.0)
        };
        let told = told(&[pod(40.0, own_hook)]);
        assert!(told.contains("drainDuration: 51s"), "{told}");
        assert!(told.contains("terminationGracePeriodSeconds: 63"), "{told}");
    }

    #[test]
    fn a_prestop_that_is_advised_as_well_is_part_of_the_stay() {
        let advice = sidecar(&[pod(2.0, drain(false, 5.0, 9.0, 30.0))], 5.0);
        let manifest = advice.manifest.expect("a figure");
        assert!(
            manifest.contains("terminationDrainDuration: 15s"),
            "{manifest}"
        );
        assert!(advice.text.contains("preStop of 5 s"), "{}", advice.text);
    }

    #[test]
    fn without_the_agent_s_word_no_figure_is_made_up() {
        let unseen = PodFinding {
            drain: None,
            ..pod(7.0, SidecarDrain::default())
        };
        assert_eq!(sidecar(&[unseen], 0.0).manifest, None);
    }
}
