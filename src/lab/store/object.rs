//! How are the parts of an object that every kind has read and filled?

use super::{Resource, Status};
use serde_json::{Value, json};

/// `metadata.name`, empty when absent.
pub fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

/// `metadata.namespace`, empty for what has none.
pub fn namespace(object: &Value) -> &str {
    text(&object["metadata"]["namespace"])
}

/// `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    text(&object["metadata"]["uid"])
}

/// A string value, empty when it is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether deletion has been asked for.
pub fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// The items of an array value; none when it is no array.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Removes a key of an object value.
pub fn remove(value: &mut Value, key: &str) {
    if let Some(map) = value.as_object_mut() {
        map.remove(key);
    }
}

/// The owner that controls the object (`ownerReferences` with `controller: true`).
pub fn controller(object: &Value) -> Option<&Value> {
    items(&object["metadata"]["ownerReferences"])
        .iter()
        .find(|owner| owner["controller"] == json!(true))
}

/// The status (`True`, `False`, `Unknown`) of a condition in `status.conditions`.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(&object["status"]["conditions"])
        .iter()
        .find(|condition| condition["type"] == kind)
}

/// Whether a pod's `Ready` condition is `True`.
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// Whether a pod has ended for good (`Succeeded` or `Failed`).
pub fn is_terminal(pod: &Value) -> bool {
    matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed")
}

/// A stamp as `metav1.Time` writes it: UTC, the fraction dropped.
pub fn second(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A stamp as `metav1.MicroTime` writes it.
pub fn micro(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// A stamp of either form.
pub fn stamp(value: &Value) -> Option<jiff::Timestamp> {
    value.as_str()?.parse().ok()
}

/// Sets `apiVersion` and `kind`, which clients may leave out.
pub(super) fn type_meta(object: &mut Value, kind: &Resource) {
    object["kind"] = json!(kind.kind);
    object["apiVersion"] = json!(kind.api_version());
}

/// Characters of generated names: no vowels, no digits that look like letters, as the real ones.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Random letters for a generated name.
pub fn suffix(length: usize) -> String {
    use rand::Rng;
    let mut rng = rand::rng();
    (0..length)
        .map(|_| char::from(NAME_LETTERS[rng.random_range(0..NAME_LETTERS.len())]))
        .collect()
}

/// The same letters for a hash, so that equal hashes give equal names.
pub fn safe_encode(digits: &str) -> String {
    digits
        .bytes()
        .map(|digit| char::from(NAME_LETTERS[usize::from(digit) % NAME_LETTERS.len()]))
        .collect()
}

/// A name from `generateName` where there is none, and a check of what was given.
pub(super) fn fill_name(object: &mut Value, kind: &Resource) -> Result<(), Status> {
    if name(object).is_empty() {
        let prefix = text(&object["metadata"]["generateName"]).to_owned();
        if prefix.is_empty() {
            return Err(Status::invalid(
                kind,
                "",
                "metadata.name",
                "FieldValueRequired",
                "Required value: name or generateName is required",
            ));
        }
        object["metadata"]["name"] = json!(format!("{prefix}{}", suffix(5)));
    }
    let given = name(object);
    let lax = kind.group == "rbac.authorization.k8s.io";
    let good = !given.is_empty()
        && given.len() <= 253
        && given.bytes().all(|byte| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || matches!(byte, b'-' | b'.')
                || (lax && matches!(byte, b':' | b'A'..=b'Z' | b'_'))
        })
        && given.starts_with(|first: char| first.is_ascii_alphanumeric())
        && given.ends_with(|last: char| last.is_ascii_alphanumeric());
    if good {
        return Ok(());
    }
    let text = format!(
        "Invalid value: {given:?}: a lowercase RFC 1123 subdomain must consist of lower case \
         alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
    );
    Err(Status::invalid(
        kind,
        given,
        "metadata.name",
        "FieldValueInvalid",
        &text,
    ))
}

/// Puts back what no update may change.
pub(super) fn keep_identity(new: &mut Value, old: &Value) {
    for key in ["kind", "apiVersion"] {
        new[key] = old[key].clone();
    }
    if !new["metadata"].is_object() {
        new["metadata"] = json!({});
    }
    for key in [
        "name",
        "generateName",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        match old["metadata"].get(key) {
            Some(value) => new["metadata"][key] = value.clone(),
            None => remove(&mut new["metadata"], key),
        }
    }
}

/// Whether anything but metadata and status differs.
pub(super) fn spec_changed(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        return true;
    };
    let counts = |key: &str| !matches!(key, "metadata" | "status");
    old.iter()
        .filter(|(key, _)| counts(key))
        .any(|(key, value)| new.get(key) != Some(value))
        || new.keys().any(|key| counts(key) && !old.contains_key(key))
}
