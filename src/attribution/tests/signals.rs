//! Did an app that was killed at the end of its grace hear its signal, as its log has it (C3, C5)?

use super::probed::probe;
use super::stage::{AT, Ending, MILLI, SECOND, STAYS, Stage, stamp, transport};
use super::{Cause, Confidence, Findings, SidecarKind};
use crate::evidence::{Change, ConnectionKind, ErrorClass, ProbeOutcome, RequestPhase, Resource};
use serde_json::json;

/// `old-1` writes this after its signal and is killed eight seconds later, under a request.
fn killed(text: Option<&str>, bare: bool) -> Findings {
    let mut stage = Stage::new().with_old_pods();
    stage.bare = bare;
    if let Some(text) = text {
        stage.log("old-1", "app", AT + 30 * MILLI, text);
    }
    killed_on(stage)
}

/// On a stage where `old-1` has written what it writes.
fn killed_on(mut stage: Stage) -> Findings {
    let ending = Ending {
        grace: 8 * SECOND,
        app: (8_050 * MILLI, 137),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, ending, STAYS);
    cut(&mut stage, AT + 8_055 * MILLI);
    stage.explain()
}

/// A request that was sent at three seconds was cut.
fn cut(stage: &mut Stage, end: i64) {
    let closed = transport(ErrorClass::Closed);
    let sent = AT + 3 * SECOND;
    let request = stage.fail(sent, end - sent, closed, RequestPhase::WaitHeaders);
    request.connection.kind = ConnectionKind::New;
}

fn deaf(found: &Findings) -> bool {
    let pod = found.pods.iter().find(|pod| pod.pod == "old-1");
    let hazards = &pod.expect("it was deleted").hazards;
    hazards.contains(&"term-signal-unhandled".to_owned())
}

#[test]
fn an_app_that_names_the_signal_as_go_prints_it_has_heard_it() {
    for (text, cause) in [
        ("got terminated, leaving", Cause::GraceExceeded),
        ("received SIGTERM", Cause::GraceExceeded),
        (
            "an upstream connection got terminated",
            Cause::TermSignalUnhandled,
        ),
    ] {
        let found = killed(Some(text), false);
        assert_eq!(found.failures[0].cause, cause, "{text}");
        assert_eq!(deaf(&found), cause == Cause::TermSignalUnhandled, "{text}");
    }
}

#[test]
fn a_log_without_stamps_is_read_all_the_same() {
    let heard = killed(Some("received SIGTERM"), true);
    assert_eq!(heard.failures[0].cause, Cause::GraceExceeded);
    assert!(!deaf(&heard));

    // Such a line may be of any time: it leaves open whether there was a reaction.
    let open = killed(Some("graceful shutdown is enabled"), true);
    assert!(!deaf(&open));

    let silent = killed(None, true);
    assert_eq!(silent.failures[0].cause, Cause::TermSignalUnhandled);
    assert!(deaf(&silent));
}

/// Facts 1.2: a second deletion shortens the grace period of the first, 60 s, to `grace`; the app hears
/// of it or does not, and is killed under a request.
fn shortened(grace: i64, reacts: Option<i64>, killed: i64) -> Findings {
    let mut stage = Stage::new().with_old_pods();
    let running = json!({"running": {"startedAt": stamp(-60 * SECOND)}});
    let first = stage.pod("old-1", running, Some((AT, 60)), true);
    stage.object(AT + 2 * MILLI, Resource::Pods, Change::Modified, first);
    let ending = Ending {
        grace,
        reacts,
        app: (killed, 137),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, ending, STAYS);
    cut(&mut stage, AT + killed + 5 * MILLI);
    stage.explain()
}

#[test]
fn an_app_is_killed_at_the_end_of_a_grace_period_that_was_shortened() {
    let heard = Some(30 * MILLI);
    for (grace, reacts, cause) in [
        (8 * SECOND, heard, Cause::GraceExceeded),
        (8 * SECOND, None, Cause::TermSignalUnhandled),
        (30 * SECOND, heard, Cause::InFlightCut),
        (30 * SECOND, None, Cause::InFlightCut),
    ] {
        let found = shortened(grace, reacts, 8_050 * MILLI);
        assert_eq!(found.failures[0].cause, cause, "{grace}");
        assert_eq!(deaf(&found), cause == Cause::TermSignalUnhandled, "{grace}");
    }
}

#[test]
fn an_app_that_closed_its_port_has_heard_its_signal_whatever_its_log_says() {
    use ProbeOutcome::{Accepted, Refused, Timeout};
    let early = [(2_500, Accepted), (3_000, Refused)];
    for (kind, hook, probes, heard) in [
        (None, false, early, Some(true)),
        (
            None,
            false,
            [(2_500, Accepted), (3_000, Timeout)],
            Some(false),
        ),
        (
            None,
            false,
            [(7_500, Accepted), (8_000, Refused)],
            Some(false),
        ),
        (None, true, early, None),
        (Some(SidecarKind::Classic), false, early, Some(false)),
    ] {
        let mut stage = Stage::with_sidecar(kind);
        stage.quits = hook;
        let mut stage = stage.with_old_pods();
        for (after, outcome) in probes {
            probe(&mut stage, AT + after * MILLI, outcome);
        }
        let found = killed_on(stage);
        assert_eq!(
            deaf(&found),
            heard == Some(false),
            "{kind:?} {hook} {probes:?}"
        );
        if heard == Some(true) {
            assert_eq!(found.failures[0].cause, Cause::GraceExceeded);
        }
    }
}

#[test]
fn what_an_app_says_every_day_is_no_reaction() {
    let daily = [
        "2026/11/24 15:21:0# [info] 29#29: *# client 10.244.0.1# closed keepalive connection",
        "10.244.0.1 - GET /orders/draining?page=# 200",
        "worker 3 stopped job 11#",
    ];
    for line in daily {
        for (last, cause) in [
            (None, Cause::TermSignalUnhandled),
            (Some("shutting down"), Cause::GraceExceeded),
        ] {
            let mut stage = Stage::new().with_old_pods();
            for second in 0..7 {
                let text = line.replace('#', &second.to_string());
                let at = AT + (2 * second - 9) * SECOND;
                stage.log("old-1", "app", at, &text);
            }
            if let Some(last) = last {
                stage.log("old-1", "app", AT + 30 * MILLI, last);
            }
            let found = killed_on(stage);
            assert_eq!(found.failures[0].cause, cause, "{line} {last:?}");
            assert_eq!(deaf(&found), last.is_none(), "{line} {last:?}");
        }
    }
}

#[test]
fn a_line_as_of_an_earlier_end_or_of_another_signal_leaves_the_reaction_open() {
    for (restarted, line, heard) in [
        (true, "received SIGTERM", true),
        (true, "shutting down", false),
        (false, "caught signal 1", false),
    ] {
        let mut stage = Stage::new().with_old_pods();
        stage.log("old-1", "app", 3 * SECOND, line);
        if restarted {
            stage.crash("old-1", 4 * SECOND, 0, "Completed");
        }
        stage.log("old-1", "app", AT + 30 * MILLI, line);
        let found = killed_on(stage);
        assert!(!deaf(&found), "{restarted} {line}");
        let proved = found.failures[0].confidence == Confidence::Proved;
        assert_eq!(proved, heard, "{restarted} {line}");
        if heard {
            assert_eq!(found.failures[0].cause, Cause::GraceExceeded, "{line}");
        }
    }
}
