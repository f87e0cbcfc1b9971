//! Are an object's labels and annotations such as Kubernetes lets them be?
//!
//! What a lenient lab stored, a real cluster would answer with 422: keys are qualified names, values
//! of labels are short and end in a letter or digit, annotations are bounded in all.

use super::{Resource, Status, object};
use serde_json::Value;

/// The longest value of a label, and the longest name in a key.
const LONGEST: usize = 63;

/// The longest prefix of a key.
const LONGEST_PREFIX: usize = 253;

/// All keys and values of an object's annotations together.
const ANNOTATIONS: usize = 256 << 10;

const EDGES: &str = "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. ";

/// Checks labels and annotations of an object and, where it has one, of its pod template.
pub(super) fn check(kind: &Resource, value: &Value) -> Result<(), Status> {
    let refuse = |field: &str, cause: &str, why: &str| {
        Status::invalid(kind, object::name(value), field, cause, why)
    };
    let template = &value["spec"]["template"]["metadata"];
    for (metadata, path) in [
        (&value["metadata"], "metadata"),
        (template, "spec.template"),
    ] {
        let labels = metadata["labels"].as_object();
        for (key, label) in labels.into_iter().flatten() {
            let label = object::text(label);
            for (given, fault) in [
                (key.as_str(), fault_of_key(key)),
                (label, fault_of_value(label)),
            ] {
                if let Some(fault) = fault {
                    let why = format!("Invalid value: {given:?}: {fault}");
                    return Err(refuse(&format!("{path}.labels"), "FieldValueInvalid", &why));
                }
            }
        }
        let field = format!("{path}.annotations");
        let mut size = 0;
        for (key, text) in metadata["annotations"].as_object().into_iter().flatten() {
            size += key.len() + object::text(text).len();
            if let Some(fault) = fault_of_key(&key.to_lowercase()) {
                let why = format!("Invalid value: {key:?}: {fault}");
                return Err(refuse(&field, "FieldValueInvalid", &why));
            }
        }
        if size > ANNOTATIONS {
            let why = format!("Too long: may not be more than {ANNOTATIONS} bytes");
            return Err(refuse(&field, "FieldValueTooLong", &why));
        }
    }
    Ok(())
}

fn fault_of_value(value: &str) -> Option<String> {
    if value.len() > LONGEST {
        return Some(format!("must be no more than {LONGEST} bytes"));
    }
    (!value.is_empty() && !is_name(value)).then(|| {
        format!(
            "a valid label must be an empty string or consist of alphanumeric characters, {EDGES}\
             'MyValue',  or 'my_value',  or '12345', regex used for validation is \
             '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )
    })
}

/// A key is a name, or a DNS subdomain, `/` and a name.
fn fault_of_key(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let form = format!(
        "must consist of alphanumeric characters, {EDGES}'MyName',  or 'my.name',  or '123-abc', \
         regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    );
    if name.contains('/') {
        return Some(format!(
            "a qualified name {form} with an optional DNS subdomain prefix and '/' (e.g. \
             'example.com/MyName')"
        ));
    }
    match prefix {
        Some("") => return Some("prefix part must be non-empty".to_owned()),
        Some(prefix) if prefix.len() > LONGEST_PREFIX => {
            return Some(format!(
                "prefix part must be no more than {LONGEST_PREFIX} bytes"
            ));
        }
        Some(prefix) if !is_subdomain(prefix) => {
            return Some(
                "prefix part a lowercase RFC 1123 subdomain must consist of lower case \
                 alphanumeric characters, '-' or '.', and must start and end with an alphanumeric \
                 character (e.g. 'example.com', regex used for validation is \
                 '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                    .to_owned(),
            );
        }
        Some(_) | None => {}
    }
    if name.is_empty() {
        return Some("name part must be non-empty".to_owned());
    }
    if name.len() > LONGEST {
        return Some(format!("name part must be no more than {LONGEST} bytes"));
    }
    (!is_name(name)).then(|| format!("name part {form}"))
}

fn is_name(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(edge)
        && text.ends_with(edge)
        && text
            .chars()
            .all(|c| edge(c) || matches!(c, '-' | '_' | '.'))
}

fn is_subdomain(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.split('.').all(|part| {
        part.starts_with(edge) && part.ends_with(edge) && part.chars().all(|c| edge(c) || c == '-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::store::{Store, resource};
    use serde_json::json;

    fn fault(metadata: Value) -> Option<String> {
        let mut config = json!({"metadata": metadata});
        config["metadata"]["name"] = json!("a");
        check(resource("configmaps").unwrap(), &config)
            .err()
            .map(|status| status.message)
    }

    #[test]
    fn labels_and_annotations_are_refused_as_kubernetes_refuses_them() {
        let (long, longest) = ("x".repeat(64), "x".repeat(63));
        let labels = |key: &str, value: &str| json!({"labels": {key: value}});
        for good in [
            labels("app", ""),
            labels("lastwatch.dev/run", "20261124-172500-a.b_C-ab12"),
            labels(&longest, &longest),
            json!({"annotations": {"a.b/C": "any {text} / of any length"}}),
        ] {
            assert_eq!(fault(good.clone()), None, "{good}");
        }
        for (bad, words) in [
            (
                labels("app", &long),
                format!("ConfigMap \"a\" is invalid: metadata.labels: Invalid value: \"{long}\": must be no more than 63 bytes"),
            ),
            (
                labels("app", "ends-"),
                "metadata.labels: Invalid value: \"ends-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')".to_owned(),
            ),
            (labels("app", "a b"), "a valid label must be".to_owned()),
            (labels(&long, ""), "name part must be no more than 63 bytes".to_owned()),
            (labels("a/", ""), "name part must be non-empty".to_owned()),
            (labels("/a", ""), "prefix part must be non-empty".to_owned()),
            (labels("A.b/c", ""), "prefix part a lowercase RFC 1123 subdomain".to_owned()),
            (labels("a/b/c", ""), "with an optional DNS subdomain prefix and '/'".to_owned()),
            (
                json!({"annotations": {"bad key": ""}}),
                "metadata.annotations: Invalid value: \"bad key\": name part must consist of".to_owned(),
            ),
            (
                json!({"annotations": {"a": "x".repeat(ANNOTATIONS)}}),
                "metadata.annotations: Too long: may not be more than 262144 bytes".to_owned(),
            ),
        ] {
            let fault = fault(bad).unwrap();
            assert!(fault.contains(&words), "`{words}` is not in: {fault}");
        }
    }

    #[test]
    fn a_write_with_a_bad_label_is_answered_with_422_wherever_it_stands() {
        let store = Store::new();
        let config = json!({"metadata": {"name": "a", "labels": {"app": "ends-"}}});
        let status = store.create("configmaps", config).unwrap_err();
        assert_eq!((status.code, status.reason), (422, "Invalid"));
        let deployment = json!({
            "metadata": {"name": "demo", "namespace": "shop"},
            "spec": {
                "selector": {"matchLabels": {"app": "demo"}},
                "template": {
                    "metadata": {"labels": {"app": "demo"}},
                    "spec": {"containers": [{"name": "app", "image": "x"}]}
                }
            }
        });
        store.create("deployments", deployment).unwrap();
        let relabel = |demo: &mut Value| {
            demo["spec"]["template"]["metadata"]["labels"]["tier"] = json!("-");
            Ok(())
        };
        let status = store
            .update("deployments", Some("shop"), "demo", relabel)
            .unwrap_err();
        assert_eq!(status.code, 422);
        assert!(
            status
                .message
                .contains("spec.template.labels: Invalid value: \"-\""),
            "{}",
            status.message
        );
    }
}
