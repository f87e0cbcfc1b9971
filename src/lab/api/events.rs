//! How is one event told in the core group and in `events.k8s.io`?

use super::path::EVENTS_GROUP;
use serde_json::Value;

/// Field names of `events.k8s.io/v1`, and of the core.
const NAMES: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// The stored (core) event as the group of the path tells it.
pub(super) fn outward(group: &str, mut event: Value) -> Value {
    if group == EVENTS_GROUP {
        rename(&mut event, |newer, core| (core, newer));
        event["apiVersion"] = Value::from("events.k8s.io/v1");
    }
    event
}

/// An event of the path's group as it is stored.
pub(super) fn inward(group: &str, mut event: Value) -> Value {
    if group == EVENTS_GROUP {
        rename(&mut event, |newer, core| (newer, core));
    }
    event
}

fn rename(
    event: &mut Value,
    order: impl Fn(&'static str, &'static str) -> (&'static str, &'static str),
) {
    let Some(map) = event.as_object_mut() else {
        return;
    };
    for (newer, core) in NAMES {
        let (from, to) = order(newer, core);
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_of_the_newer_group_comes_back_as_it_went() {
        let newer = json!({"regarding": {"name": "p"}, "note": "x", "reportingController": "c", "eventTime": "t", "apiVersion": "events.k8s.io/v1"});
        let stored = inward(EVENTS_GROUP, newer.clone());
        assert_eq!(stored["involvedObject"]["name"], "p");
        assert_eq!(outward(EVENTS_GROUP, stored), newer);
        assert_eq!(inward("", newer.clone()), newer);
    }
}
