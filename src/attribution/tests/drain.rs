//! How a sidecar waited before it left, and how long its app would have needed it.

use super::stage::{AT, Ending, MILLI, SECOND, STAYS, Stage};
use crate::attribution::{Cause, CutShort, Modifier, PodFinding, SidecarDrain, SidecarKind};

/// A pod whose proxy ends `proxy` after the deletion, its app 12 s after it; `wait`: what the agent
/// says of it.
fn found(proxy: i64, wait: Option<&str>) -> PodFinding {
    let ending = Ending {
        proxy: (proxy, 0),
        ..Ending::serves_on()
    };
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    if let Some(wait) = wait {
        stage.agent("old-1", AT + 24 * MILLI, wait);
    }
    stage.end("old-1", AT, ending, STAYS);
    let mut findings = stage.explain();
    findings.pods.remove(0)
}

#[test]
fn a_sidecar_is_needed_from_its_signal_to_the_app_s_end_however_it_waits() {
    let fixed = "Graceful termination period is 5s, starting...";
    let idle = "Agent draining proxy for 5s, then waiting for active connections to terminate...";
    let longer = "Graceful termination period is 10s, starting...";
    for (proxy, wait, until_idle, period) in [
        (5_040 * MILLI, Some(fixed), false, Some(5.0)),
        (6_040 * MILLI, Some(idle), true, Some(5.0)),
        (10_040 * MILLI, Some(longer), false, Some(10.0)),
        (5_040 * MILLI, None, false, None),
    ] {
        let pod = found(proxy, wait);
        assert!(pod.hazards.contains(&"sidecar-exited-first".to_owned()));
        let drain = pod.drain.expect("it was told, and both have ended");
        let expected = SidecarDrain {
            until_idle,
            period_s: period,
            needed_s: drain.needed_s,
            prestop_s: 0.0,
            grace_s: 30.0,
            drain_duration_s: None,
            spec_grace_s: 30.0,
            ended_by_grace: false,
            app_cut: None,
        };
        assert_eq!(drain, expected);
        let off = drain.needed_s - 12.0;
        assert!(off.abs() < 0.8, "needs {:.2} s", drain.needed_s);
    }
}

#[test]
fn an_app_that_says_farewell_ends_with_its_word() {
    for (word, lead) in [
        ("shutdown complete", 0.0..0.5),
        ("work done", 0.0..0.5),
        // The second in which it ended and when that was shown are all that is known then.
        ("still 2 requests under way", 0.4..1.0),
    ] {
        let ending = Ending {
            reacts: Some(30 * MILLI),
            app: (5_420 * MILLI, 0),
            ..Ending::at_once()
        };
        let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
        stage.end("old-1", AT, ending, STAYS);
        stage.log("old-1", "app", AT + 5_418 * MILLI, word);
        let pod = stage.explain().pods.remove(0);
        let told = pod.sidecar_lead_s.expect("both have ended");
        assert!(lead.contains(&told), "{word}: {told:.2} s");
    }
}

#[test]
fn the_hazard_of_a_sidecar_that_left_first_quotes_its_agent() {
    let pod = found(5 * SECOND, None);
    let lines: Vec<&str> = pod
        .evidence
        .iter()
        .filter_map(|one| one.line.as_deref())
        .collect();
    assert!(
        lines.iter().any(|line| line.starts_with("old-1/istio-proxy: ") && line.ends_with("Aborting proxy")),
        "{lines:?}"
    );
}

#[test]
fn a_sidecar_that_the_grace_period_ended_is_told_from_one_whose_wait_was_over() {
    use SidecarKind::{Classic, Native};
    let cut = |left_s| Some(CutShort::Prestop { left_s });
    for (kind, hook, grace, proxy, app, by_grace, app_cut) in [
        // The wait is longer than the grace period, and the app's hook used that up.
        (
            Classic,
            6,
            5,
            (5_060, 137),
            (7_900, 0),
            true,
            cut(Some(1.0)),
        ),
        // A hook that just fits leaves the app the kubelet's two seconds.
        (Classic, 5, 5, (5_060, 137), (6_900, 0), true, None),
        // A native one is told when the grace period is over.
        (Native, 6, 5, (5_060, 0), (7_900, 0), true, cut(Some(1.0))),
        (Native, 0, 30, (5_060, 0), (12_000, 0), false, None),
        // Its own wait was over, whatever became of the app.
        (Classic, 0, 30, (5_060, 0), (12_000, 0), false, None),
        (
            Classic,
            0,
            12,
            (5_060, 0),
            (12_060, 137),
            false,
            Some(CutShort::App),
        ),
    ] {
        let ending = Ending {
            grace: grace * SECOND,
            reacts: None,
            app: (app.0 * MILLI, app.1),
            oom: false,
            proxy: (proxy.0 * MILLI, proxy.1),
        };
        let mut stage = Stage::with_sidecar(Some(kind));
        stage.hook = hook;
        let mut stage = stage.with_old_pods();
        stage.end("old-1", AT, ending, STAYS);
        let pod = stage.explain().pods.remove(0);
        let drain = pod.drain.expect("both have ended");
        let told = (drain.ended_by_grace, drain.app_cut);
        assert_eq!(
            told,
            (by_grace, app_cut),
            "{kind:?}, hook {hook}, grace {grace}"
        );
        let off = drain.needed_s - app.0 as f64 / 1e3;
        assert!(off.abs() < 0.8, "{kind:?} needs {:.2} s", drain.needed_s);
    }
}

#[test]
fn a_refusal_after_the_drain_duration_tells_of_it_and_stays_unexplained() {
    let five = Some("terminationDrainDuration: 22s\ndrainDuration: 5s\n");
    for (kind, config, sent, told) in [
        (SidecarKind::Classic, five, 7, true),
        (SidecarKind::Classic, five, 4, false),
        // The app is over as well.
        (SidecarKind::Classic, five, 13, false),
        // Istio's default of 45 s.
        (SidecarKind::Classic, None, 7, false),
        // A native one drains without an end.
        (SidecarKind::Native, five, 7, false),
    ] {
        let mut stage = Stage::with_sidecar(Some(kind));
        stage.proxy_config = config;
        let mut stage = stage.with_old_pods();
        let ending = Ending {
            proxy: (22 * SECOND, 0),
            ..Ending::serves_on()
        };
        stage.end("old-1", AT, ending, STAYS);
        stage.refused(AT + sent * SECOND);
        let found = stage.explain().failures.remove(0);
        assert_eq!(
            found.cause,
            Cause::Unexplained,
            "{kind:?} {config:?} {sent}"
        );
        let expected = if told {
            vec![Modifier::AfterDrainDuration]
        } else {
            vec![]
        };
        assert_eq!(found.modifiers, expected, "{kind:?} {config:?} {sent}");
        let texts: Vec<&str> = found.evidence.iter().map(|one| one.text.as_str()).collect();
        // Whose port it was nothing tells.
        let said = ["may have been sent to `old-1`", "`drainDuration` (5 s)"];
        let named = texts
            .iter()
            .any(|text| said.iter().all(|said| text.contains(said)));
        assert_eq!(named, told, "{texts:?}");
    }
}
