//! A name that two pods had, one after the other, as a StatefulSet gives it.

use super::Findings;
use super::stage::{AT, MILLI, SECOND, Stage, stamp};
use crate::evidence::{Change, Resource};
use serde_json::{Value, json};

/// A state of a pod of that uid, named `db-0` as the other.
fn state(stage: &Stage, uid: &str, state: Value, deleted: Option<(i64, i64)>) -> Value {
    let mut pod = stage.pod(uid, state, deleted, deleted.is_none());
    pod["metadata"]["name"] = json!("db-0");
    pod
}

/// The first `db-0` is deleted at [`AT`], hears of it and is killed at the end of a grace of 6 s;
/// the second starts so long after that and listens at once.
fn followed(starts: i64) -> Findings {
    let mut stage = Stage::new();
    let began = stamp(-60 * SECOND);
    let running = state(
        &stage,
        "one",
        json!({"running": {"startedAt": began}}),
        None,
    );
    stage.object(0, Resource::Pods, Change::Added, running.clone());
    stage.log("db-0", "app", -60 * SECOND, "listening on :8080");
    let mut going = running;
    going["metadata"]["deletionTimestamp"] = json!(stamp(AT + 6 * SECOND));
    going["metadata"]["deletionGracePeriodSeconds"] = json!(6);
    stage.object(AT + 5 * MILLI, Resource::Pods, Change::Modified, going);
    stage.log("db-0", "app", AT + 30 * MILLI, "received SIGTERM");
    let end = AT + 6_030 * MILLI;
    let killed = json!({"terminated": {"exitCode": 137, "reason": "Error", "startedAt": began,
        "finishedAt": stamp(end)}});
    let over = state(&stage, "one", killed, Some((AT, 6)));
    stage.object(
        end + 150 * MILLI,
        Resource::Pods,
        Change::Modified,
        over.clone(),
    );
    stage.object(end + 500 * MILLI, Resource::Pods, Change::Deleted, over);
    let began = json!({"running": {"startedAt": stamp(end + starts)}});
    let next = state(&stage, "two", began, None);
    stage.object(
        end + starts + 100 * MILLI,
        Resource::Pods,
        Change::Added,
        next,
    );
    stage.log(
        "db-0",
        "app",
        end + starts + 50 * MILLI,
        "listening on :8080",
    );
    stage.explain()
}

#[test]
fn the_first_line_of_a_successor_is_no_line_of_the_one_before() {
    for starts in [700 * MILLI, 980 * MILLI, 1_500 * MILLI] {
        let found = followed(starts);
        let pod = found.pods.iter().find(|pod| pod.pod == "db-0");
        let hazards = &pod.expect("it was killed").hazards;
        assert!(hazards.contains(&"sigkill:app".to_owned()), "{hazards:?}");
        let deaf = "term-signal-unhandled".to_owned();
        assert!(!hazards.contains(&deaf), "it told of its signal: {starts}");
        for clock in &found.clocks {
            let least = clock.lo.unwrap_or(i64::MIN);
            let most = clock.hi.unwrap_or(i64::MAX);
            assert!(least <= 0 && 0 <= most, "{starts}: {clock:?}");
        }
    }
}
