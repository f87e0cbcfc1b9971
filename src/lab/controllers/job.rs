//! Has a Job enough successful pods, too many failed ones, or does it need another?

use super::driver::{Controller, Key};
use super::pods::{self, counts, say};
use crate::lab::event::Note;
use crate::lab::store::{Change, Status, Store, object};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(super) const CONTROLLER: Controller = Controller {
    name: "job",
    watches: &["jobs", "pods"],
    lag: (5, 20),
    keys,
    reconcile,
};

const COMPONENT: &str = "job-controller";

fn keys(_: &Store, resource: &str, change: &Change) -> Vec<Key> {
    if resource == "jobs" {
        return vec![Key::of(&change.object)];
    }
    Key::of_owner(&change.object, "Job").into_iter().collect()
}

/// What there is of a Job's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    active: i64,
    ready: i64,
    terminating: i64,
    succeeded: i64,
    failed: i64,
    /// Restarts of containers inside running pods, which count as failures too.
    restarts: i64,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// So many pods are to be made.
    Create(i64),
    /// Nothing; it runs.
    Wait,
    /// It has succeeded.
    Complete,
    /// It has failed, with reason and message.
    Fail(&'static str, &'static str),
}

fn reconcile(store: &Arc<Store>, key: &Key) -> Result<Option<Duration>, Status> {
    let Some(job) = store.get("jobs", key.place(), &key.name) else {
        return Ok(None);
    };
    let ended = ["Complete", "Failed"]
        .iter()
        .any(|kind| object::condition(&job, kind).is_some_and(|own| own["status"] == "True"));
    if ended || object::is_terminating(&job) {
        return Ok(None);
    }
    let now = Timestamp::now();
    let pods = pods::owned(store, &key.namespace, object::uid(&job));
    let tally = tally(&pods);
    let decision = decide(&job, tally, now);
    match &decision {
        Decision::Create(count) => {
            for _ in 0..*count {
                pods::create(store, &job, COMPONENT)?;
            }
        }
        Decision::Fail(..) => {
            for pod in pods.iter().filter(|pod| pods::is_active(pod)) {
                pods::delete(store, &job, pod, COMPONENT)?;
            }
        }
        Decision::Wait | Decision::Complete => {}
    }
    let status = status(&job, tally, &decision, now);
    store.update("jobs", key.place(), &key.name, |job| {
        job["status"] = status;
        Ok(())
    })?;
    match decision {
        Decision::Complete => say(
            store,
            COMPONENT,
            &job,
            &Note::normal("Completed", "Job completed"),
        ),
        Decision::Fail(reason, message) => {
            say(store, COMPONENT, &job, &Note::warning(reason, message))
        }
        Decision::Create(_) | Decision::Wait => {}
    }
    Ok(deadline(&job, now))
}

fn tally(pods: &[Arc<Value>]) -> Tally {
    let mut tally = Tally::default();
    for pod in pods {
        match object::text(&pod["status"]["phase"]) {
            "Succeeded" => tally.succeeded += 1,
            "Failed" => tally.failed += 1,
            _ if object::is_terminating(pod) => tally.terminating += 1,
            _ => {
                tally.active += 1;
                tally.ready += i64::from(object::is_ready(pod));
                tally.restarts += object::items(&pod["status"]["containerStatuses"])
                    .iter()
                    .filter_map(|container| container["restartCount"].as_i64())
                    .sum::<i64>();
            }
        }
    }
    tally
}

fn decide(job: &Value, tally: Tally, now: Timestamp) -> Decision {
    let number = |field: &str, default: i64| job["spec"][field].as_i64().unwrap_or(default);
    let completions = number("completions", 1);
    if tally.succeeded >= completions {
        return Decision::Complete;
    }
    if tally.failed + tally.restarts > number("backoffLimit", 6) {
        return Decision::Fail(
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        );
    }
    if deadline(job, now).is_some_and(|left| left.is_zero()) {
        return Decision::Fail(
            "DeadlineExceeded",
            "Job was active longer than specified deadline",
        );
    }
    if job["spec"]["suspend"] == true {
        return Decision::Wait;
    }
    let wanted = number("parallelism", 1).min(completions - tally.succeeded);
    match wanted - tally.active - tally.terminating {
        missing if missing > 0 => Decision::Create(missing),
        _ => Decision::Wait,
    }
}

/// The time that the Job has left by its deadline.
fn deadline(job: &Value, now: Timestamp) -> Option<Duration> {
    let seconds = job["spec"]["activeDeadlineSeconds"].as_i64()?;
    let start = object::stamp(&job["status"]["startTime"]).unwrap_or(now);
    let left = start.as_second() + seconds - now.as_second();
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
}

fn status(job: &Value, tally: Tally, decision: &Decision, now: Timestamp) -> Value {
    let made = match decision {
        Decision::Create(count) => *count,
        _ => 0,
    };
    let mut status = counts(&[
        ("active", tally.active + made),
        ("succeeded", tally.succeeded),
        ("failed", tally.failed),
    ]);
    status["ready"] = json!(tally.ready);
    status["terminating"] = json!(tally.terminating);
    status["uncountedTerminatedPods"] = json!({});
    let stamp = object::second(now);
    let start = &job["status"]["startTime"];
    status["startTime"] = if start.is_string() {
        start.clone()
    } else {
        json!(stamp)
    };
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": "True", "lastProbeTime": stamp, "lastTransitionTime": stamp,
            "reason": reason, "message": message,
        })
    };
    match decision {
        Decision::Complete => {
            let (reason, message) = (
                "CompletionsReached",
                "Reached expected number of succeeded pods",
            );
            status["completionTime"] = json!(stamp);
            status["conditions"] = json!([
                condition("SuccessCriteriaMet", reason, message),
                condition("Complete", reason, message)
            ]);
        }
        Decision::Fail(reason, message) => {
            status["conditions"] = json!([
                condition("FailureTarget", reason, message),
                condition("Failed", reason, message)
            ]);
        }
        Decision::Create(_) | Decision::Wait => {}
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_makes_pods_until_enough_succeeded_or_too_many_failed() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let job = json!({"spec": {"completions": 3, "parallelism": 2, "backoffLimit": 1}});
        let tally = |active, succeeded, failed| Tally {
            active,
            succeeded,
            failed,
            ..Tally::default()
        };
        for (case, tally, decision) in [
            ("new", tally(0, 0, 0), Decision::Create(2)),
            ("busy", tally(2, 0, 0), Decision::Wait),
            ("the last one", tally(0, 2, 0), Decision::Create(1)),
            ("one failed", tally(1, 0, 1), Decision::Create(1)),
            (
                "two failed",
                tally(0, 0, 2),
                Decision::Fail(
                    "BackoffLimitExceeded",
                    "Job has reached the specified backoff limit",
                ),
            ),
            (
                "restarted twice",
                Tally {
                    restarts: 2,
                    active: 1,
                    ..Tally::default()
                },
                Decision::Fail(
                    "BackoffLimitExceeded",
                    "Job has reached the specified backoff limit",
                ),
            ),
            ("done", tally(0, 3, 1), Decision::Complete),
            (
                "one is ending",
                Tally {
                    terminating: 2,
                    ..Tally::default()
                },
                Decision::Wait,
            ),
        ] {
            assert_eq!(decide(&job, tally, now), decision, "{case}");
        }
        let mut late = job.clone();
        late["spec"]["activeDeadlineSeconds"] = json!(30);
        late["status"] = json!({"startTime": "2026-01-01T00:00:30Z"});
        assert_eq!(
            decide(&late, tally(1, 0, 0), now),
            Decision::Fail(
                "DeadlineExceeded",
                "Job was active longer than specified deadline"
            )
        );
        late["status"]["startTime"] = json!("2026-01-01T00:00:50Z");
        assert_eq!(decide(&late, tally(2, 0, 0), now), Decision::Wait);
    }
}
