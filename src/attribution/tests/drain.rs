//! How a sidecar waited before it left, and how long its app would have needed it.

use super::stage::{AT, Ending, MILLI, SECOND, STAYS, Stage};
use crate::attribution::{PodFinding, SidecarDrain, SidecarKind};

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
