//! How is an object deleted: at once, at the end of a grace period, or with its last finalizer?

use super::object;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// What a deleter may ask for.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds of grace; the pod's own when absent. Zero removes at once.
    pub grace: Option<i64>,
    /// Delete only the object with this uid.
    pub uid: Option<String>,
}

/// What becomes of the object.
#[derive(Debug, PartialEq)]
pub(super) enum Deletion {
    /// Deletion is under way already and is not shortened: nothing is written.
    Pending,
    /// It is removed.
    Now,
    /// It is written with its deletion stamps and stays for its grace period or finalizers.
    Marked(Value),
    /// It is written once more, with no grace left, and then removed: the last two events of a pod.
    MarkedThenNow(Value),
}

/// Decides as `BeforeDelete` of the API server's registry does.
pub(super) fn decide(resource: &str, old: &Value, asked: Option<i64>, now: Timestamp) -> Deletion {
    let held = has_finalizers(old);
    if resource != "pods" {
        return match (held, object::is_terminating(old)) {
            (false, _) => Deletion::Now,
            (true, true) => Deletion::Pending,
            (true, false) => Deletion::Marked(marked(resource, old, 0, now)),
        };
    }
    let grace = match running_grace(old) {
        Some(running) => match asked.map(at_least_one_if_negative) {
            Some(asked) if asked < running => asked,
            // Asked again with no grace left: only finalizers keep it.
            Some(_) if running == 0 && !held => return Deletion::Now,
            _ => return Deletion::Pending,
        },
        None => first_grace(old, asked),
    };
    let end = match (
        running_grace(old),
        object::stamp(&old["metadata"]["deletionTimestamp"]),
    ) {
        // Shortened: the end moves back from the old one, but never into the past.
        (Some(running), Some(end)) => (end - SignedDuration::from_secs(running - grace)).max(now),
        _ => now + SignedDuration::from_secs(grace),
    };
    let marked = marked(resource, old, grace, end);
    if grace == 0 && !held {
        Deletion::MarkedThenNow(marked)
    } else {
        Deletion::Marked(marked)
    }
}

/// Whether an object that was just written has nothing left that keeps it.
pub(super) fn ends_now(object: &Value) -> bool {
    object::is_terminating(object)
        && !has_finalizers(object)
        && running_grace(object).unwrap_or(0) == 0
}

fn has_finalizers(object: &Value) -> bool {
    let of_namespace =
        object["kind"] == "Namespace" && !object::items(&object["spec"]["finalizers"]).is_empty();
    of_namespace || !object::items(&object["metadata"]["finalizers"]).is_empty()
}

fn running_grace(object: &Value) -> Option<i64> {
    object["metadata"]["deletionGracePeriodSeconds"].as_i64()
}

fn at_least_one_if_negative(grace: i64) -> i64 {
    if grace < 0 { 1 } else { grace }
}

/// The grace of a pod's first deletion.
fn first_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let unscheduled = object::text(&pod["spec"]["nodeName"]).is_empty();
    if unscheduled || object::is_terminal(pod) {
        return 0;
    }
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64();
    at_least_one_if_negative(asked.or(own).unwrap_or(30))
}

fn marked(resource: &str, old: &Value, grace: i64, end: Timestamp) -> Value {
    let mut marked = old.clone();
    let first = !object::is_terminating(old);
    let meta = &mut marked["metadata"];
    meta["deletionTimestamp"] = json!(object::second(end));
    meta["deletionGracePeriodSeconds"] = json!(grace);
    if first && let Some(generation) = meta["generation"].as_i64() {
        meta["generation"] = json!(generation + 1);
    }
    if resource == "namespaces" {
        marked["status"] = json!({"phase": "Terminating"});
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05.700Z";

    fn now() -> Timestamp {
        NOW.parse().expect("a stamp")
    }

    fn pod() -> Value {
        json!({"kind": "Pod", "metadata": {"generation": 1}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 20}, "status": {"phase": "Running"}})
    }

    fn terminating(end: &str, grace: i64) -> Value {
        let mut pod = pod();
        pod["metadata"]["deletionTimestamp"] = json!(end);
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        pod
    }

    fn stamps(value: &Value) -> (&str, i64) {
        let meta = &value["metadata"];
        (
            object::text(&meta["deletionTimestamp"]),
            meta["deletionGracePeriodSeconds"].as_i64().unwrap(),
        )
    }

    #[test]
    fn a_running_pod_is_marked_with_the_end_of_its_grace() {
        for (asked, grace, end) in [
            (None, 20, "2026-01-02T03:04:25Z"),
            (Some(5), 5, "2026-01-02T03:04:10Z"),
            (Some(-3), 1, "2026-01-02T03:04:06Z"),
        ] {
            let Deletion::Marked(marked) = decide("pods", &pod(), asked, now()) else {
                panic!("{asked:?} is graceful");
            };
            assert_eq!(stamps(&marked), (end, grace));
            assert_eq!(marked["metadata"]["generation"], 2);
        }
    }

    #[test]
    fn a_pod_without_a_node_or_at_its_end_goes_at_once() {
        let mut unscheduled = pod();
        unscheduled["spec"]["nodeName"] = json!("");
        let mut failed = pod();
        failed["status"]["phase"] = json!("Failed");
        for gone in [unscheduled, failed] {
            let Deletion::MarkedThenNow(marked) = decide("pods", &gone, None, now()) else {
                panic!("no grace is left");
            };
            assert_eq!(stamps(&marked), ("2026-01-02T03:04:05Z", 0));
        }
    }

    #[test]
    fn a_second_deletion_can_only_shorten() {
        let old = terminating("2026-01-02T03:04:25Z", 20);
        for asked in [None, Some(20), Some(60)] {
            assert_eq!(decide("pods", &old, asked, now()), Deletion::Pending);
        }
        let Deletion::Marked(shorter) = decide("pods", &old, Some(12), now()) else {
            panic!("shortened");
        };
        assert_eq!(stamps(&shorter), ("2026-01-02T03:04:17Z", 12));
        assert_eq!(shorter["metadata"]["generation"], 1);
    }

    #[test]
    fn the_kubelets_last_deletion_is_stamped_with_its_own_time() {
        let old = terminating("2026-01-02T03:04:20Z", 20);
        let Deletion::MarkedThenNow(last) = decide("pods", &old, Some(0), now()) else {
            panic!("removed");
        };
        assert_eq!(stamps(&last), ("2026-01-02T03:04:05Z", 0));
    }

    #[test]
    fn finalizers_keep_an_object_until_the_last_has_gone() {
        let held = json!({"kind": "ConfigMap", "metadata": {"finalizers": ["x/y"]}});
        let Deletion::Marked(marked) = decide("configmaps", &held, None, now()) else {
            panic!("held");
        };
        assert!(!ends_now(&marked));
        assert_eq!(
            decide("configmaps", &marked, None, now()),
            Deletion::Pending
        );
        let mut freed = marked;
        freed["metadata"]["finalizers"] = json!([]);
        assert!(ends_now(&freed));
        assert_eq!(
            decide("configmaps", &json!({"metadata": {}}), None, now()),
            Deletion::Now
        );
    }
}
