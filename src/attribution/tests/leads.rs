//! By how much a sidecar left before its app, where the stamps of their ends are a second wide.

use super::stage::{AT, Ending, MILLI, SECOND, STAYS, Stage, stamp};
use super::{PodFinding, SidecarKind};
use crate::evidence::{Change, Resource};
use serde_json::json;

/// The pod is deleted late in a second, its app says nothing as it ends.
fn ended(hook: i64, app: (i64, i64), proxy: (i64, i64)) -> PodFinding {
    let ending = Ending {
        grace: 6 * SECOND,
        app,
        proxy,
        ..Ending::at_once()
    };
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic));
    stage.hook = hook;
    let mut stage = stage.with_old_pods();
    stage.end("old-1", AT + 900 * MILLI, ending, STAYS);
    stage.explain().pods.remove(0)
}

#[test]
fn a_process_that_the_grace_period_ended_lived_as_long_as_that() {
    let by_itself = (5_040 * MILLI, 0);
    for (what, hook, app, proxy, first) in [
        ("app alone", 0, (6_050 * MILLI, 137), by_itself, true),
        ("behind a hook", 3, (6_050 * MILLI, 137), by_itself, true),
        ("both", 0, (6_050 * MILLI, 137), (6_060 * MILLI, 137), false),
        (
            "both, hooked",
            3,
            (6_050 * MILLI, 137),
            (6_060 * MILLI, 137),
            false,
        ),
        (
            "a hook that used it up",
            5,
            (7_050 * MILLI, 137),
            (6_060 * MILLI, 137),
            true,
        ),
    ] {
        let pod = ended(hook, app, proxy);
        let named = pod.hazards.contains(&"sidecar-exited-first".to_owned());
        assert_eq!(named, first, "{what}");
        let lead = (app.0 - proxy.0) as f64 / 1e9;
        let (least, most) = pod.sidecar_lead_between_s.expect("both have ended");
        assert!((least..=most).contains(&lead), "{what}: {least} to {most}");
        let sure = if first { least > 0.5 } else { most < 0.5 };
        assert!(sure, "{what}: {least} to {most}");
    }
}

#[test]
fn an_app_that_ends_without_a_word_may_have_been_left_alone_or_not() {
    for app in [5_500 * MILLI, 6_050 * MILLI] {
        let pod = ended(0, (app, 0), (5_040 * MILLI, 0));
        assert!(!pod.hazards.contains(&"sidecar-exited-first".to_owned()));
        let (least, most) = pod.sidecar_lead_between_s.expect("both have ended");
        assert!(least < 0.0 && most > 0.5, "{app}: {least} to {most}");
    }
}

#[test]
fn a_native_sidecar_leaves_after_its_app_unless_the_grace_period_is_over() {
    for (grace, in_doubt) in [(30, false), (6, true)] {
        let ending = Ending {
            grace: grace * SECOND,
            app: (6_050 * MILLI, 0),
            proxy: (6_060 * MILLI, 0),
            ..Ending::at_once()
        };
        let mut stage = Stage::with_sidecar(Some(SidecarKind::Native)).with_old_pods();
        stage.end("old-1", AT + 900 * MILLI, ending, STAYS);
        let pod = stage.explain().pods.remove(0);
        let (_, most) = pod.sidecar_lead_between_s.expect("both have ended");
        assert_eq!(most > 0.0, in_doubt, "grace {grace}: at most {most}");
    }
}

#[test]
fn what_a_shortened_grace_period_ended_was_ended_at_once_unless_a_hook_kept_it() {
    for (hook, sure) in [(0, true), (3, false)] {
        let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic));
        stage.hook = hook;
        let mut stage = stage.with_old_pods();
        let at = AT + 900 * MILLI;
        let running = json!({"running": {"startedAt": stamp(-60 * SECOND)}});
        let first = stage.pod("old-1", running, Some((at, 60)), true);
        stage.object(at + 2 * MILLI, Resource::Pods, Change::Modified, first);
        let ending = Ending {
            grace: 6 * SECOND,
            app: (6_350 * MILLI, 137),
            proxy: (6_360 * MILLI, 137),
            ..Ending::at_once()
        };
        stage.end("old-1", at, ending, STAYS);
        let pod = stage.explain().pods.remove(0);
        let (least, most) = pod.sidecar_lead_between_s.expect("both have ended");
        assert!(least < -0.01 && most > -0.01, "{hook}: {least} to {most}");
        assert_eq!(most < 0.5, sure, "{hook}: {least} to {most}");
        assert!(!pod.hazards.contains(&"sidecar-exited-first".to_owned()));
    }
}
