//! How does a component of the cluster write an Event?

use super::store::{Store, object};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// Who writes, and by which clock.
#[derive(Clone, Debug)]
pub(crate) struct Emitter<'a> {
    /// `kubelet`, `replicaset-controller`, ...
    pub(crate) component: &'a str,
    /// The node, for what runs on one; else empty.
    pub(crate) host: &'a str,
    /// The emitter's own time.
    pub(crate) now: Timestamp,
}

/// What is written.
#[derive(Clone, Debug)]
pub(crate) struct Note<'a> {
    /// `Normal` or `Warning`.
    pub(crate) kind: &'a str,
    /// The machine's word.
    pub(crate) reason: &'a str,
    /// The people's words.
    pub(crate) message: &'a str,
    /// The part of the object that is meant (`spec.containers{app}`), else empty.
    pub(crate) field: &'a str,
}

impl<'a> Note<'a> {
    /// A normal event about a whole object.
    pub(crate) fn normal(reason: &'a str, message: &'a str) -> Self {
        Self {
            kind: "Normal",
            reason,
            message,
            field: "",
        }
    }

    /// A warning about a whole object.
    pub(crate) fn warning(reason: &'a str, message: &'a str) -> Self {
        Self {
            kind: "Warning",
            ..Self::normal(reason, message)
        }
    }
}

/// Writes an event, or counts the same one up. An event that cannot be written is lost, as in a
/// real cluster; the cluster goes on.
pub(crate) fn record(store: &Arc<Store>, emitter: &Emitter<'_>, about: &Value, note: &Note<'_>) {
    let namespace = match object::namespace(about) {
        "" => "default",
        namespace => namespace,
    };
    let written = match same(store, namespace, emitter, about, note) {
        Some(name) => count_up(store, namespace, &name, emitter.now),
        None => store.create("events", event(namespace, emitter, about, note)),
    };
    if let Err(status) = written {
        tracing::debug!(%status, reason = note.reason, "an event was lost");
    }
}

fn event(namespace: &str, emitter: &Emitter<'_>, about: &Value, note: &Note<'_>) -> Value {
    let meta = &about["metadata"];
    let mut involved = json!({
        "kind": about["kind"], "namespace": meta["namespace"], "name": meta["name"],
        "uid": meta["uid"], "apiVersion": about["apiVersion"], "resourceVersion": meta["resourceVersion"],
    });
    if meta["namespace"].is_null() {
        object::remove(&mut involved, "namespace");
    }
    if !note.field.is_empty() {
        involved["fieldPath"] = json!(note.field);
    }
    let name = format!(
        "{}.{:x}",
        object::name(about),
        Timestamp::now().as_nanosecond()
    );
    let mut event = json!({
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved,
        "reason": note.reason,
        "message": note.message,
        "type": note.kind,
    });
    let fields = if emitter.component == SCHEDULER {
        newer(emitter)
    } else {
        classic(emitter)
    };
    if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
        event.extend(fields);
    }
    event
}

/// The scheduler writes events of the newer form: one stamp, in microseconds.
const SCHEDULER: &str = "default-scheduler";

fn newer(emitter: &Emitter<'_>) -> Value {
    json!({
        "source": {}, "firstTimestamp": null, "lastTimestamp": null,
        "eventTime": object::micro(emitter.now), "action": "Binding",
        "reportingComponent": SCHEDULER, "reportingInstance": format!("{SCHEDULER}-lab"),
    })
}

fn classic(emitter: &Emitter<'_>) -> Value {
    let now = object::second(emitter.now);
    let mut source = json!({"component": emitter.component});
    if !emitter.host.is_empty() {
        source["host"] = json!(emitter.host);
    }
    json!({
        "source": source, "firstTimestamp": now, "lastTimestamp": now, "count": 1, "eventTime": null,
        "reportingComponent": emitter.component, "reportingInstance": emitter.host,
    })
}

/// The name of an event that says the same about the same object.
fn same(
    store: &Arc<Store>,
    namespace: &str,
    emitter: &Emitter<'_>,
    about: &Value,
    note: &Note<'_>,
) -> Option<String> {
    if emitter.component == SCHEDULER {
        return None;
    }
    store
        .list("events", Some(namespace))
        .1
        .iter()
        .find(|event| {
            event["involvedObject"]["uid"] == about["metadata"]["uid"]
                && event["reason"] == note.reason
                && event["message"] == note.message
                && event["source"]["component"] == emitter.component
                && object::text(&event["involvedObject"]["fieldPath"]) == note.field
        })
        .map(|event| object::name(event).to_owned())
}

fn count_up(
    store: &Arc<Store>,
    namespace: &str,
    name: &str,
    now: Timestamp,
) -> Result<Arc<Value>, super::store::Status> {
    store.update("events", Some(namespace), name, |event| {
        event["count"] = json!(event["count"].as_i64().unwrap_or(1) + 1);
        event["lastTimestamp"] = json!(object::second(now));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_event_is_counted_and_another_is_written() {
        let store = Store::new();
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "n", "uid": "u"}});
        let emitter = |second| Emitter {
            component: "kubelet",
            host: "node1",
            now: Timestamp::from_second(second).unwrap(),
        };
        let probe = Note {
            field: "spec.containers{app}",
            ..Note::warning("Unhealthy", "Readiness probe failed: x")
        };
        record(&store, &emitter(10), &pod, &probe);
        record(&store, &emitter(12), &pod, &probe);
        record(
            &store,
            &emitter(13),
            &pod,
            &Note {
                field: "spec.containers{other}",
                ..probe
            },
        );
        let events = store.list("events", Some("n")).1;
        assert_eq!(events.len(), 2);
        let twice = events.iter().find(|event| event["count"] == 2).unwrap();
        assert_eq!(twice["firstTimestamp"], "1970-01-01T00:00:10Z");
        assert_eq!(twice["lastTimestamp"], "1970-01-01T00:00:12Z");
        assert_eq!(twice["involvedObject"]["fieldPath"], "spec.containers{app}");
        assert_eq!(
            twice["source"],
            json!({"component": "kubelet", "host": "node1"})
        );
    }

    #[test]
    fn the_scheduler_stamps_in_microseconds() {
        let store = Store::new();
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "u"}});
        let now = Timestamp::from_microsecond(1_500_001).unwrap();
        let emitter = Emitter {
            component: SCHEDULER,
            host: "",
            now,
        };
        record(&store, &emitter, &pod, &Note::normal("Scheduled", "x"));
        let event = &store.list("events", None).1[0];
        assert_eq!(event["eventTime"], "1970-01-01T00:00:01.500001Z");
        assert_eq!(event["firstTimestamp"], Value::Null);
    }
}
