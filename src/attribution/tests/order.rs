//! Routes follow the slices in their order, several states at once where they are late.

use super::Cause;
use super::stage::{AT, Ending, MILLI, SECOND, Stage, stamp};
use crate::evidence::{Change, ConnectionKind, EventKind, RequestCounts, Resource, RunOffset};
use serde_json::json;

const fn ready(name: &str) -> (&str, bool, bool, bool) {
    (name, true, true, false)
}

const fn going(name: &str) -> (&str, bool, bool, bool) {
    (name, false, true, true)
}

/// Two old pods, none of which has a probe.
fn unprobed(hook: i64) -> Stage {
    let mut stage = Stage::new();
    (stage.probe, stage.hook) = (false, hook);
    stage.with_old_pods()
}

/// A new pod is there at `at` and listens later.
fn new(stage: &mut Stage, name: &str, at: i64, listens: i64) {
    let running = json!({"running": {"startedAt": stamp(at)}});
    let pod = stage.pod(name, running, None, true);
    stage.object(at, Resource::Pods, Change::Added, pod);
    stage.log(name, "app", listens, "listening on :8080");
}

/// One request on a new connection was sent then and failed, as the client counts it.
fn failed(stage: &mut Stage, sent: i64) {
    let counts = RequestCounts {
        client: "local".to_owned(),
        bucket: RunOffset(sent),
        width: MILLI,
        class: "/".to_owned(),
        connection: ConnectionKind::New,
        pod: None,
        ok: 0,
        failed: 1,
        attempts_told: 0,
        retried: 0,
        latest_sent: None,
        earliest_end: None,
        latest_end: None,
    };
    stage.at(sent + MILLI, EventKind::Requests(counts));
}

#[test]
fn routes_that_left_a_pod_had_left_those_that_were_withdrawn_before_it() {
    // Each old pod has a hook of 4 s. The routes follow all of it 4.4 s after the first deletion,
    // when the first of the old ones has just ended and the other one still accepts.
    let mut stage = unprobed(4);
    new(&mut stage, "new-1", AT - 100 * MILLI, AT + 7 * SECOND);
    new(&mut stage, "new-2", AT + 700 * MILLI, AT + 7 * SECOND);
    let hooked = Ending {
        reacts: Some(4_010 * MILLI),
        app: (4_020 * MILLI, 0),
        ..Ending::at_once()
    };
    stage.die("old-1", AT, hooked);
    stage.die("old-2", AT + 1_200 * MILLI, hooked);
    for (after, listed) in [
        (-50, vec![ready("old-1"), ready("old-2"), ready("new-1")]),
        (50, vec![going("old-1"), ready("old-2"), ready("new-1")]),
        (
            750,
            vec![
                going("old-1"),
                ready("old-2"),
                ready("new-1"),
                ready("new-2"),
            ],
        ),
        (
            1_250,
            vec![
                going("old-1"),
                going("old-2"),
                ready("new-1"),
                ready("new-2"),
            ],
        ),
        (6_000, vec![ready("new-1"), ready("new-2")]),
    ] {
        stage.slice(AT + after * MILLI, &listed);
    }
    let until = AT + 4 * SECOND;
    stage.answers("local", 0, until, 40, &["old-1", "old-2"]);
    stage.answers("local", until, until + 400 * MILLI, 20, &["old-2"]);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for part in 1..50 {
        let sent = until + part * 20 * MILLI;
        stage.refused(sent);
        failed(&mut stage, sent);
        // In between it takes some choices to tell.
        if sent <= until + 280 * MILLI {
            before.push(part);
        } else if sent >= until + 600 * MILLI {
            after.push(part);
        }
    }
    let causes = stage.causes();
    let of = |parts: &[i64]| -> Vec<Cause> {
        let one = |part: &i64| causes[usize::try_from(part - 1).expect("from 1 on")];
        parts.iter().map(one).collect()
    };
    assert_eq!(of(&before), vec![Cause::EndpointPropagation; before.len()]);
    assert_eq!(of(&after), vec![Cause::NewPodNotReady; after.len()]);
}

#[test]
fn an_answer_of_a_later_pod_shows_that_the_routes_left_the_earlier_ones() {
    // `old-1` refuses for 8 s, and for five of them nobody meets it or a new pod.
    let mut stage = unprobed(0);
    new(&mut stage, "new-1", AT + 50 * MILLI, AT + 90 * MILLI);
    new(&mut stage, "new-2", AT + 50 * MILLI, AT + 9 * SECOND);
    let drains = Ending {
        reacts: Some(30 * MILLI),
        app: (8 * SECOND, 0),
        ..Ending::at_once()
    };
    stage.die("old-1", AT, drains);
    let both = [
        going("old-1"),
        ready("new-1"),
        ready("new-2"),
        ready("old-2"),
    ];
    stage.slice(AT + 50 * MILLI, &[ready("old-2"), going("old-1")]);
    stage.slice(AT + 60 * MILLI, &both);
    stage.answers("local", 0, AT + 5 * SECOND, 40, &["old-2"]);
    stage.answers(
        "local",
        AT + 5 * SECOND,
        AT + 5_200 * MILLI,
        40,
        &["old-2", "new-1"],
    );
    stage.refused(AT + 4_900 * MILLI);
    stage.refused(AT + 5_300 * MILLI);
    assert_eq!(
        stage.causes(),
        [Cause::EndpointPropagation, Cause::NewPodNotReady]
    );
}

#[test]
fn a_choice_of_an_old_pod_shows_that_the_routes_had_not_reached_a_later_one() {
    let mut stage = unprobed(0);
    let drains = Ending {
        reacts: Some(2 * SECOND),
        app: (3 * SECOND, 0),
        ..Ending::at_once()
    };
    stage.die("old-1", AT, drains);
    stage.die("old-2", AT + 100 * MILLI, Ending::at_once());
    new(&mut stage, "new-1", AT + 200 * MILLI, AT + 5 * SECOND);
    for (after, listed) in [
        (50, vec![going("old-1"), ready("old-2")]),
        (150, vec![going("old-1"), going("old-2")]),
        (250, vec![going("old-1"), going("old-2"), ready("new-1")]),
    ] {
        stage.slice(AT + after * MILLI, &listed);
    }
    // `old-1` is still chosen while somebody else refuses.
    stage.answers("local", 0, AT + 450 * MILLI, 20, &["old-1"]);
    stage.refused(AT + 350 * MILLI);
    stage.refused(AT + 1_500 * MILLI);
    assert_eq!(
        stage.causes(),
        [Cause::EndpointPropagation, Cause::NewPodNotReady]
    );
}
