//! For how long must a sidecar stay so that its app can end before it (facts 3.3, 3.5)?
//!
//! Computed from what this run showed: from the moment the sidecar was told to stop to the app's
//! end, and some more; a preStop hook that is advised as well moves that end. Which setting says so
//! depends on how the sidecar waits: beside `EXIT_ON_ZERO_ACTIVE_CONNECTIONS`,
//! `terminationDrainDuration` is ignored.

use super::{ALLOWANCE_S, Advice};
use crate::attribution::{Cause, PodFinding, SidecarDrain, SidecarKind};

/// What the kubelet needs beside the sidecar's stay: it cuts waits to whole seconds.
const GRACE_ALLOWANCE_S: f64 = 2.0;

/// Envoy's own drain ends after `drainDuration`, and with it the listening (facts 4.5).
const DRAIN_DURATION_S: f64 = 45.0;

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
    let lead = pods.iter().filter_map(|pod| pod.sidecar_lead_s);
    let lead = lead.fold(0.0, f64::max);
    let led = pods
        .iter()
        .filter(|pod| pod.sidecar_lead_s.is_some_and(|lead| lead > 0.0));
    let drain = led
        .filter_map(|pod| pod.drain.as_ref())
        .max_by(|one, other| one.needed_s.total_cmp(&other.needed_s));
    let (text, manifest) = match drain {
        Some(drain) => {
            let stay = (drain.needed_s + later + ALLOWANCE_S).ceil();
            let text = cure(drain, lead, (stay, later));
            (text, Some(manifest(drain, stay)))
        }
        None => (unmeasured(lead), None),
    };
    Advice {
        cures: Cause::SidecarExitedFirst.id().to_owned(),
        text,
        manifest,
    }
}

fn cure(drain: &SidecarDrain, lead: f64, (stay, later): (f64, f64)) -> String {
    let now = drain.period_s;
    let why = match (drain.until_idle, now) {
        (true, now) => format!(
            "`EXIT_ON_ZERO_ACTIVE_CONNECTIONS` lets it leave as soon as nobody is connected{}, and \
             `terminationDrainDuration` is ignored beside it",
            now.map_or(String::new(), |now| format!(" (after {now:.0} s at least)"))
        ),
        (false, Some(now)) => format!("it waits for `terminationDrainDuration` ({now:.0} s here)"),
        (false, None) => "it waits for `terminationDrainDuration` (5 s unless set)".to_owned(),
    };
    let mut text = format!(
        "the sidecar ended up to {lead:.1} s before the app: {why}, and the app went on for {:.1} s \
         after the sidecar was told to stop; hold the sidecar for {stay} s with `{}`",
        drain.needed_s,
        name(drain.until_idle)
    );
    if later > 0.0 {
        text.push_str(&format!(
            " (with the preStop of {later} s that is advised here)"
        ));
    }
    if let Some(grace) = grace(drain, stay) {
        text.push_str(&format!(
            "; `terminationGracePeriodSeconds` must then be at least {grace} (it is {:.0})",
            drain.grace_s
        ));
    }
    text + NATIVE
}

/// Nothing showed when the sidecar was told to stop.
fn unmeasured(lead: f64) -> String {
    format!(
        "the sidecar ended up to {lead:.1} s before the app; let it stay longer than preStop and \
         cleanup together: `terminationDrainDuration`, or beside `EXIT_ON_ZERO_ACTIVE_CONNECTIONS` \
         (which ignores it) `MINIMUM_DRAIN_DURATION`{NATIVE}"
    )
}

/// The grace period that the stay needs, where the pod's is shorter. The sidecar's own preStop runs
/// before it is told; the app's runs meanwhile and is part of the stay.
fn grace(drain: &SidecarDrain, stay: f64) -> Option<f64> {
    let needed = (drain.prestop_s + stay + GRACE_ALLOWANCE_S).ceil();
    (drain.grace_s < needed).then_some(needed)
}

/// A piece of the workload's manifest.
fn manifest(drain: &SidecarDrain, stay: f64) -> String {
    let mut lines = vec![
        "template:".to_owned(),
        "  metadata:".to_owned(),
        "    annotations:".to_owned(),
        "      proxy.istio.io/config: |".to_owned(),
    ];
    if drain.until_idle {
        lines.push("        proxyMetadata:".to_owned());
        lines.push("          EXIT_ON_ZERO_ACTIVE_CONNECTIONS: \"true\"".to_owned());
        lines.push(format!("          MINIMUM_DRAIN_DURATION: \"{stay}s\""));
    } else {
        lines.push(format!("        terminationDrainDuration: {stay}s"));
    }
    if stay > DRAIN_DURATION_S {
        lines.push(format!("        drainDuration: {stay}s"));
    }
    if let Some(grace) = grace(drain, stay) {
        lines.push("  spec:".to_owned());
        lines.push(format!("    terminationGracePeriodSeconds: {grace}"));
    }
    lines.join("\n")
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
        }
    }

    fn told(pods: &[PodFinding]) -> String {
        let advice = sidecar(pods, 0.0);
        format!("{}\n\n{}", advice.text, advice.manifest.unwrap_or_default())
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
