//! How long a pod went on accepting after its endpoint was withdrawn.

use super::probed::probe;
use super::stage::{AT, Ending, MILLI, SECOND, STAYS, Stage};
use super::{PodFinding, SidecarKind};
use crate::evidence::ProbeOutcome;

/// Its app hears of the deletion ten seconds after it, as behind a hook, and ends at 12 s.
fn ended(kind: SidecarKind, proxy: i64) -> PodFinding {
    let ending = Ending {
        reacts: Some(10 * SECOND),
        proxy: (proxy, 0),
        ..Ending::serves_on()
    };
    let mut stage = Stage::with_sidecar(Some(kind)).with_old_pods();
    stage.end("old-1", AT, ending, STAYS);
    stage.explain().pods.remove(0)
}

#[test]
fn a_pod_behind_a_sidecar_accepts_no_longer_than_that_lives() {
    let (classic, native) = (SidecarKind::Classic, SidecarKind::Native);
    for (kind, proxy, margin) in [
        (classic, 5_040 * MILLI, 4_970),
        (classic, 22 * SECOND, 9_950),
        (classic, 540 * MILLI, 470),
        (native, 12_050 * MILLI, 9_950),
    ] {
        let pod = ended(kind, proxy);
        let found = pod.margin_ms.expect("all was seen");
        let off = (found - margin).abs();
        assert!(off < 200, "{kind:?}, proxy at {proxy}: {found} ms");
        let thin = pod.hazards.contains(&"thin-margin".to_owned());
        assert_eq!(thin, margin < 1_000, "{kind:?}, proxy at {proxy}");
    }
}

#[test]
fn no_margin_is_told_of_a_pod_whose_proxys_end_nobody_saw() {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.delete("old-1", AT, 12 * SECOND, STAYS);
    assert_eq!(stage.explain().pods.remove(0).margin_ms, None);
}

#[test]
fn a_pod_accepts_no_longer_than_a_probe_shows_or_its_sidecar_drains() {
    let silent = Ending {
        app: (12 * SECOND, 0),
        ..Ending::at_once()
    };
    let mut stage = Stage::new().with_old_pods();
    stage.end("old-1", AT, silent, STAYS);
    for (after, outcome) in [(100, ProbeOutcome::Accepted), (150, ProbeOutcome::Refused)] {
        probe(&mut stage, AT + after * MILLI, outcome);
    }
    let found = stage.explain().pods.remove(0).margin_ms;
    assert!(found.is_some_and(|found| found < 200), "{found:?}");

    for (kind, margin) in [(SidecarKind::Classic, 4_950), (SidecarKind::Native, 9_950)] {
        let ending = Ending {
            reacts: Some(10 * SECOND),
            proxy: (22 * SECOND, 0),
            ..Ending::serves_on()
        };
        let mut stage = Stage::with_sidecar(Some(kind));
        stage.proxy_config = Some("terminationDrainDuration: 22s\ndrainDuration: 5s\n");
        let mut stage = stage.with_old_pods();
        stage.end("old-1", AT, ending, STAYS);
        let found = stage
            .explain()
            .pods
            .remove(0)
            .margin_ms
            .expect("all was seen");
        assert!((found - margin).abs() < 200, "{kind:?}: {found} ms");
    }
}
