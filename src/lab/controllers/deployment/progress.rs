//! What does a Deployment say about itself?

use super::super::pods::counts;
use super::plan::{bounds, replicas};
use crate::lab::store::object;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A condition, stamped with now.
pub(super) fn condition(
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Value {
    let stamp = object::second(now);
    json!({
        "type": kind, "status": if holds { "True" } else { "False" },
        "lastUpdateTime": stamp, "lastTransitionTime": stamp,
        "reason": reason, "message": message,
    })
}

/// Puts a condition into a status. The same status and reason leave the old one as it is; the same
/// status alone keeps the time of the last transition.
pub(super) fn set(status: &mut Value, mut condition: Value) {
    let mut conditions = object::items(&status["conditions"]).to_vec();
    let old = conditions
        .iter()
        .position(|old| old["type"] == condition["type"]);
    if let Some(at) = old {
        let old = &conditions[at];
        if old["status"] == condition["status"] {
            let moving = condition["reason"] == "ReplicaSetUpdated";
            if old["reason"] == condition["reason"] && !moving {
                return;
            }
            condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
        }
        // As the real controller: the one that changes goes to the end.
        conditions.remove(at);
    }
    conditions.push(condition);
    status["conditions"] = json!(conditions);
}

/// The status of a Deployment, and when to look whether it has missed its deadline.
pub(super) fn status(
    deployment: &Value,
    sets: &[Arc<Value>],
    new: Option<&str>,
    now: Timestamp,
) -> (Value, Option<Duration>) {
    let sum = |field: &str| -> i64 {
        sets.iter()
            .filter_map(|set| set["status"][field].as_i64())
            .sum()
    };
    let wanted = replicas(deployment);
    let total: i64 = sets.iter().map(|set| replicas(set)).sum();
    let available = sum("availableReplicas");
    let updated = sets
        .iter()
        .find(|set| Some(object::name(set)) == new)
        .and_then(|set| set["status"]["replicas"].as_i64())
        .unwrap_or(0);
    let mut status = counts(&[
        ("replicas", sum("replicas")),
        ("updatedReplicas", updated),
        ("readyReplicas", sum("readyReplicas")),
        ("availableReplicas", available),
        ("unavailableReplicas", (total - available).max(0)),
    ]);
    status["observedGeneration"] = deployment["metadata"]["generation"].clone();
    status["terminatingReplicas"] = json!(sum("terminatingReplicas"));
    status["conditions"] = json!(object::items(&deployment["status"]["conditions"]));
    let enough = available >= wanted - bounds(deployment).unavailable;
    let (reason, message) = if enough {
        (
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    set(
        &mut status,
        condition("Available", enough, reason, message, now),
    );
    let again = progress(deployment, &mut status, new, now);
    (status, again)
}

/// Says whether the rollout has ended, moves, or is stuck.
fn progress(
    deployment: &Value,
    status: &mut Value,
    new: Option<&str>,
    now: Timestamp,
) -> Option<Duration> {
    let deadline = deployment["spec"]["progressDeadlineSeconds"].as_i64()?;
    let count = |status: &Value, field: &str| status[field].as_i64().unwrap_or(0);
    let wanted = replicas(deployment);
    let told = object::condition(deployment, "Progressing");
    let finished = told.is_some_and(|told| told["reason"] == "NewReplicaSetAvailable");
    if finished && count(status, "replicas") == count(status, "updatedReplicas") {
        return None;
    }
    let what = new.map_or_else(
        || format!("Deployment \"{}\"", object::name(deployment)),
        |new| format!("ReplicaSet \"{new}\""),
    );
    let complete = ["replicas", "updatedReplicas", "availableReplicas"]
        .iter()
        .all(|field| count(status, field) == wanted);
    if complete {
        let message = format!("{what} has successfully progressed.");
        set(
            status,
            condition("Progressing", true, "NewReplicaSetAvailable", &message, now),
        );
        return None;
    }
    let old = &deployment["status"];
    let moved = |field: &str| count(status, field) > count(old, field);
    let outdated = |status: &Value| count(status, "replicas") - count(status, "updatedReplicas");
    let moves = ["updatedReplicas", "readyReplicas", "availableReplicas"]
        .into_iter()
        .any(moved)
        || outdated(status) < outdated(old);
    if moves {
        let message = format!("{what} is progressing.");
        set(
            status,
            condition("Progressing", true, "ReplicaSetUpdated", &message, now),
        );
        return Some(Duration::from_secs(
            u64::try_from(deadline).unwrap_or(0) + 1,
        ));
    }
    late(told, &what, deadline, status, now)
}

/// Stuck for the length of the deadline, or the time until then.
fn late(
    told: Option<&Value>,
    what: &str,
    deadline: i64,
    status: &mut Value,
    now: Timestamp,
) -> Option<Duration> {
    let told = told?;
    let since = object::stamp(&told["lastUpdateTime"])?;
    if told["reason"] == "ProgressDeadlineExceeded" || told["reason"] == "NewReplicaSetAvailable" {
        return None;
    }
    let left = since.as_second() + deadline - now.as_second();
    if left > 0 {
        return Some(Duration::from_secs(u64::try_from(left).unwrap_or(0) + 1));
    }
    let message = format!("{what} has timed out progressing.");
    set(
        status,
        condition(
            "Progressing",
            false,
            "ProgressDeadlineExceeded",
            &message,
            now,
        ),
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(reason: &str, updated_at: &str) -> Value {
        json!({
            "metadata": {"name": "demo", "generation": 2},
            "spec": {"replicas": 3, "progressDeadlineSeconds": 60, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}},
            "status": {"replicas": 4, "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 3, "conditions": [
                {"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": updated_at, "lastTransitionTime": "2026-01-01T00:00:00Z"}
            ]}
        })
    }

    fn set(name: &str, spec: i64, there: i64, available: i64) -> Arc<Value> {
        Arc::new(
            json!({"metadata": {"name": name}, "spec": {"replicas": spec}, "status": {"replicas": there, "readyReplicas": available, "availableReplicas": available, "terminatingReplicas": 0}}),
        )
    }

    fn told(status: &Value, kind: &str) -> (String, String) {
        let own = object::items(&status["conditions"])
            .iter()
            .find(|c| c["type"] == kind)
            .unwrap();
        (
            object::text(&own["status"]).to_owned(),
            object::text(&own["reason"]).to_owned(),
        )
    }

    fn pair(status: &str, reason: &str) -> (String, String) {
        (status.to_owned(), reason.to_owned())
    }

    #[test]
    fn progress_is_told_by_what_the_replica_sets_have() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        for (case, old, new, updated_at, progressing, available) in [
            (
                "one more available",
                (2, 3, 3),
                (1, 1, 1),
                "2026-01-01T00:00:50Z",
                pair("True", "ReplicaSetUpdated"),
                pair("True", "MinimumReplicasAvailable"),
            ),
            (
                "nothing moved",
                (3, 3, 3),
                (1, 1, 0),
                "2026-01-01T00:00:50Z",
                pair("True", "ReplicaSetUpdated"),
                pair("True", "MinimumReplicasAvailable"),
            ),
            (
                "stuck",
                (3, 3, 3),
                (1, 1, 0),
                "2026-01-01T00:00:00Z",
                pair("False", "ProgressDeadlineExceeded"),
                pair("True", "MinimumReplicasAvailable"),
            ),
            (
                "complete",
                (0, 0, 0),
                (3, 3, 3),
                "2026-01-01T00:00:50Z",
                pair("True", "NewReplicaSetAvailable"),
                pair("True", "MinimumReplicasAvailable"),
            ),
            (
                "too few",
                (0, 0, 0),
                (3, 3, 1),
                "2026-01-01T00:00:50Z",
                pair("True", "ReplicaSetUpdated"),
                pair("False", "MinimumReplicasUnavailable"),
            ),
        ] {
            let sets = [
                set("old", old.0, old.1, old.2),
                set("new", new.0, new.1, new.2),
            ];
            let (status, _) = status(
                &deployment("ReplicaSetUpdated", updated_at),
                &sets,
                Some("new"),
                now,
            );
            assert_eq!(told(&status, "Progressing"), progressing, "{case}");
            assert_eq!(told(&status, "Available"), available, "{case}");
        }
    }

    #[test]
    fn counts_are_sums_and_zero_is_left_out() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let sets = [set("old", 2, 2, 2), set("new", 2, 2, 1)];
        let (status, again) = status(
            &deployment("ReplicaSetUpdated", "2026-01-01T00:00:50Z"),
            &sets,
            Some("new"),
            now,
        );
        assert_eq!(status["replicas"], 4);
        assert_eq!(status["updatedReplicas"], 2);
        assert_eq!(status["unavailableReplicas"], 1);
        assert_eq!(status["observedGeneration"], 2);
        assert!(again.is_some());
        let (done, again) = super::status(
            &deployment("ReplicaSetUpdated", "2026-01-01T00:00:50Z"),
            &[set("new", 3, 3, 3)],
            Some("new"),
            now,
        );
        assert!(done.get("unavailableReplicas").is_none());
        assert_eq!(again, None);
    }
}
