//! Does an object match a label selector and a field selector?

use crate::lab::store::{Status, object};
use serde_json::Value;

/// The demands of a selector, all of which must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Demand>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug)]
enum Demand {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector` of a request for objects of `resource`.
    pub(crate) fn parse(
        resource: &str,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Self, Status> {
        Ok(Self {
            labels: label_demands(labels.unwrap_or_default())?,
            fields: field_demands(resource, fields.unwrap_or_default())?,
        })
    }

    /// A `LabelSelector` object as it stands in a spec. An empty one matches everything.
    pub(crate) fn from_object(selector: &Value) -> Self {
        let mut labels = Vec::new();
        if let Some(wanted) = selector["matchLabels"].as_object() {
            for (key, value) in wanted {
                let values = vec![object::text(value).to_owned()];
                labels.push(Demand::In(key.clone(), values));
            }
        }
        for expression in object::items(&selector["matchExpressions"]) {
            let key = object::text(&expression["key"]).to_owned();
            let values = object::items(&expression["values"])
                .iter()
                .map(|value| object::text(value).to_owned())
                .collect();
            labels.push(match object::text(&expression["operator"]) {
                "In" => Demand::In(key, values),
                "NotIn" => Demand::NotIn(key, values),
                "Exists" => Demand::Exists(key),
                _ => Demand::Absent(key),
            });
        }
        Self {
            labels,
            fields: Vec::new(),
        }
    }

    /// Whether every object matches.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the object meets every demand.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        let holds = |demand: &Demand| match demand {
            Demand::In(key, values) => {
                label(key).is_some_and(|own| values.iter().any(|v| v == own))
            }
            Demand::NotIn(key, values) => {
                label(key).is_none_or(|own| values.iter().all(|v| v != own))
            }
            Demand::Exists(key) => label(key).is_some(),
            Demand::Absent(key) => label(key).is_none(),
        };
        self.labels.iter().all(holds)
            && self
                .fields
                .iter()
                .all(|(path, equal, value)| (field(object, path) == *value) == *equal)
    }
}

fn field(value: &Value, path: &str) -> String {
    let found = path.split('.').fold(value, |value, key| &value[key]);
    match found {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn unparsable(text: &str, why: &str) -> Status {
    Status::bad_request(&format!("unable to parse requirement: {why} in {text:?}"))
}

/// Cuts at commas outside parentheses.
fn cut(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0i32, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

fn label_demands(text: &str) -> Result<Vec<Demand>, Status> {
    cut(text).into_iter().map(label_demand).collect()
}

fn label_demand(text: &str) -> Result<Demand, Status> {
    let key = |raw: &str| -> Result<String, Status> {
        let raw = raw.trim();
        let good = !raw.is_empty()
            && raw
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'));
        good.then(|| raw.to_owned())
            .ok_or_else(|| unparsable(text, &format!("invalid label key {raw:?}")))
    };
    if let Some((left, right)) = text.split_once("!=") {
        return Ok(Demand::NotIn(key(left)?, vec![right.trim().to_owned()]));
    }
    if let Some((left, right)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Demand::In(key(left)?, vec![right.trim().to_owned()]));
    }
    if let Some(absent) = text.strip_prefix('!') {
        return Ok(Demand::Absent(key(absent)?));
    }
    let Some((left, set)) = text.split_once('(') else {
        return Ok(Demand::Exists(key(text)?));
    };
    let set = set
        .strip_suffix(')')
        .ok_or_else(|| unparsable(text, "missing `)`"))?;
    let values = set.split(',').map(|v| v.trim().to_owned()).collect();
    let mut words = left.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(name), Some("in"), None) => Ok(Demand::In(key(name)?, values)),
        (Some(name), Some("notin"), None) => Ok(Demand::NotIn(key(name)?, values)),
        _ => Err(unparsable(text, "expected `in` or `notin`")),
    }
}

/// The fields that can be selected by, beyond name and namespace.
fn selectable(resource: &str) -> &'static [&'static str] {
    match resource {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "namespaces" => &["status.phase"],
        "nodes" => &["spec.unschedulable"],
        "replicasets" => &["status.replicas"],
        "jobs" => &["status.successful"],
        "services" => &["spec.clusterIP", "spec.type"],
        "secrets" => &["type"],
        _ => &[],
    }
}

fn field_demands(resource: &str, text: &str) -> Result<Vec<(String, bool, String)>, Status> {
    let mut demands = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (path, equal, value) = if let Some((path, value)) = part.split_once("!=") {
            (path, false, value)
        } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (path, true, value)
        } else {
            let text = format!("invalid selector: {part:?}; can't understand {part:?}");
            return Err(Status::bad_request(&text));
        };
        // The newer events have their own word for it.
        let path = path.trim().replace("regarding.", "involvedObject.");
        let known = matches!(path.as_str(), "metadata.name" | "metadata.namespace")
            || selectable(resource).contains(&path.as_str());
        if !known {
            let text = format!("field label not supported: {path}");
            return Err(Status::bad_request(&text));
        }
        let path = if path == "source" {
            "source.component".to_owned()
        } else {
            path
        };
        demands.push((path, equal, value.trim().to_owned()));
    }
    Ok(demands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_choose_as_the_real_ones_do() {
        let pod = json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"app": "web", "tier": "front", "empty": ""}},
            "spec": {"nodeName": "node1"}, "status": {"phase": "Running"}
        });
        for (labels, fields, matches) in [
            ("", "", true),
            ("app=web", "", true),
            ("app==web,tier!=back", "", true),
            ("app in (api, web),tier", "", true),
            ("app notin (web)", "", false),
            ("missing notin (x)", "", true),
            ("missing!=x", "", true),
            ("!missing", "", true),
            ("!app", "", false),
            ("empty=", "", true),
            ("", "metadata.name=p,spec.nodeName=node1", true),
            ("", "status.phase!=Running", false),
            ("", "spec.nodeName=", false),
            ("app=web", "metadata.namespace=other", false),
        ] {
            let selector = Selector::parse("pods", Some(labels), Some(fields)).unwrap();
            assert_eq!(selector.matches(&pod), matches, "{labels} {fields}");
        }
        for (labels, fields) in [
            ("a in x", ""),
            ("a b (c)", ""),
            ("a in (x", ""),
            ("=x", ""),
            ("", "spec.x=1"),
            ("", "name"),
        ] {
            let refused = Selector::parse("pods", Some(labels), Some(fields)).unwrap_err();
            assert_eq!(refused.code, 400, "{labels} {fields}");
        }
    }

    #[test]
    fn a_selector_in_a_spec_may_have_expressions() {
        let pod = json!({"metadata": {"labels": {"app": "web"}}});
        let select = |value: Value| Selector::from_object(&value).matches(&pod);
        assert!(select(json!({})));
        assert!(select(
            json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]})
        ));
        assert!(!select(
            json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]})
        ));
    }
}
