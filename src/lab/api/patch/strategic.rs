//! How are lists of named things merged?
//!
//! A strategic merge patch merges lists by the key that the type of the field declares. The keys
//! here are those of the kinds that the lab serves.

use crate::lab::store::{Status, object};
use serde_json::{Map, Value};

/// How a list is patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lists {
    /// By the value of a key in each item.
    By(&'static str),
    /// As a set of plain values.
    Set,
    /// As a whole.
    Whole,
}

/// The rule for a list, by its field and the kind that it is in.
fn lists(kind: &str, field: &str) -> Lists {
    match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets" => Lists::By("name"),
        "secrets" if kind == "ServiceAccount" => Lists::By("name"),
        "ports" if kind == "Service" => Lists::By("port"),
        "ports" if kind != "EndpointSlice" => Lists::By("containerPort"),
        "volumeMounts" => Lists::By("mountPath"),
        "volumeDevices" => Lists::By("devicePath"),
        "hostAliases" | "podIPs" | "hostIPs" => Lists::By("ip"),
        "topologySpreadConstraints" => Lists::By("topologyKey"),
        "conditions" => Lists::By("type"),
        "ownerReferences" => Lists::By("uid"),
        "addresses" if kind == "Node" => Lists::By("type"),
        "taints" if kind == "Node" => Lists::By("key"),
        "finalizers" => Lists::Set,
        _ => Lists::Whole,
    }
}

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// Merges a patch into an object of a kind.
pub(super) fn merge(target: &mut Value, patch: &Value, kind: &str) -> Result<(), Status> {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return Ok(());
    };
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            *target = Value::Object(Map::new());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => {
            let text = format!("unknown patch type found: {other}");
            return Err(Status::bad_request(&text));
        }
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(map) = target.as_object_mut() else {
        return Ok(());
    };
    if let Some(retained) = patch.get(RETAIN) {
        let retained = object::items(retained);
        map.retain(|key, _| retained.iter().any(|own| own == key.as_str()));
    }
    for (key, value) in patch {
        field(map, key, value, kind)?;
    }
    // Orders are applied last, when the items that they name are there.
    for (key, order) in patch {
        if let Some(list) = key.strip_prefix(ORDER)
            && let Some(Value::Array(items)) = map.get_mut(list)
        {
            arrange(items, object::items(order), lists(kind, list));
        }
    }
    Ok(())
}

fn field(map: &mut Map<String, Value>, key: &str, value: &Value, kind: &str) -> Result<(), Status> {
    if let Some(list) = key.strip_prefix(DELETE) {
        if let Some(Value::Array(items)) = map.get_mut(list) {
            items.retain(|item| !object::items(value).contains(item));
        }
        return Ok(());
    }
    if key.starts_with('$') {
        return Ok(());
    }
    match value {
        Value::Null => {
            map.remove(key);
            Ok(())
        }
        Value::Object(_) => merge(map.entry(key).or_insert(Value::Null), value, kind),
        Value::Array(items) => {
            let old = match map.get_mut(key) {
                Some(Value::Array(old)) => std::mem::take(old),
                _ => Vec::new(),
            };
            let new = list(old, items, lists(kind, key), kind)?;
            map.insert(key.to_owned(), Value::Array(new));
            Ok(())
        }
        plain => {
            map.insert(key.to_owned(), plain.clone());
            Ok(())
        }
    }
}

fn list(
    mut old: Vec<Value>,
    patch: &[Value],
    rule: Lists,
    kind: &str,
) -> Result<Vec<Value>, Status> {
    let key = match rule {
        Lists::Whole => return Ok(patch.to_vec()),
        Lists::Set => {
            for item in patch {
                if !old.contains(item) {
                    old.push(item.clone());
                }
            }
            return Ok(old);
        }
        Lists::By(key) => key,
    };
    if patch.iter().any(|item| item[DIRECTIVE] == "replace") {
        old.clear();
    }
    for item in patch {
        if item[DIRECTIVE] == "replace" {
            continue;
        }
        let id = &item[key];
        if id.is_null() {
            let text = format!("map: {item} does not contain declared merge key: {key}");
            return Err(Status::bad_request(&text));
        }
        if item[DIRECTIVE] == "delete" {
            old.retain(|own| own[key] != *id);
            continue;
        }
        match old.iter_mut().find(|own| own[key] == *id) {
            Some(own) => merge(own, item, kind)?,
            None => {
                let mut new = Value::Null;
                merge(&mut new, item, kind)?;
                old.push(new);
            }
        }
    }
    Ok(old)
}

/// Puts the items that `order` names into that order; the others stay behind them.
fn arrange(items: &mut [Value], order: &[Value], rule: Lists) {
    let place = |item: &Value| {
        let at = order.iter().position(|named| match rule {
            Lists::By(key) => named[key] == item[key],
            _ => named == item,
        });
        at.unwrap_or(usize::MAX)
    };
    items.sort_by_key(place);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(kind: &str, target: Value, patch: Value) -> Value {
        let mut target = target;
        merge(&mut target, &patch, kind).unwrap();
        target
    }

    #[test]
    fn named_items_are_merged_deleted_and_replaced() {
        let pod = json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}], "args": ["1", "2"]}, {"name": "b"}]});
        for (patch, result) in [
            (
                json!({"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}], "args": ["3"]}]}),
                json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}], "args": ["3"]}, {"name": "b"}]}),
            ),
            (
                json!({"containers": [{"name": "a", "$patch": "delete"}]}),
                json!({"containers": [{"name": "b"}]}),
            ),
            (
                json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}),
                json!({"containers": [{"name": "c"}]}),
            ),
            (
                json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}], "containers": [{"name": "c"}, {"name": "a", "env": null, "args": null}]}),
                json!({"containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}]}),
            ),
        ] {
            assert_eq!(merged("Pod", pod.clone(), patch.clone()), result, "{patch}");
        }
    }

    #[test]
    fn ports_are_named_by_what_their_kind_calls_them() {
        let service = json!({"ports": [{"port": 80, "targetPort": 1}]});
        let patch = json!({"ports": [{"port": 80, "targetPort": 2}, {"port": 81}]});
        assert_eq!(
            merged("Service", service, patch),
            json!({"ports": [{"port": 80, "targetPort": 2}, {"port": 81}]})
        );
        let container = json!({"ports": [{"containerPort": 80}]});
        let patch = json!({"ports": [{"containerPort": 80, "name": "http"}]});
        assert_eq!(
            merged("Pod", container, patch),
            json!({"ports": [{"containerPort": 80, "name": "http"}]})
        );
    }

    #[test]
    fn directives_of_maps_and_plain_lists_are_followed() {
        for (target, patch, result) in [
            (
                json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}}),
                json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
                json!({"strategy": {"type": "Recreate"}}),
            ),
            (
                json!({"labels": {"a": "1", "b": "2"}}),
                json!({"labels": {"$patch": "replace", "c": "3"}}),
                json!({"labels": {"c": "3"}}),
            ),
            (
                json!({"finalizers": ["a", "b"]}),
                json!({"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}),
                json!({"finalizers": ["b", "c"]}),
            ),
            (
                json!({"tolerations": [{"key": "a"}]}),
                json!({"tolerations": [{"key": "b"}]}),
                json!({"tolerations": [{"key": "b"}]}),
            ),
        ] {
            assert_eq!(
                merged("Deployment", target, patch.clone()),
                result,
                "{patch}"
            );
        }
        let mut target = json!({});
        assert_eq!(
            merge(&mut target, &json!({"$patch": "melt"}), "Pod")
                .unwrap_err()
                .code,
            400
        );
        assert_eq!(
            merge(&mut target, &json!({"env": [{"value": "x"}]}), "Pod")
                .unwrap_err()
                .code,
            400
        );
    }
}
