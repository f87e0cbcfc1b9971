//! How does a patch change an object?

mod strategic;

use super::header_text;
use crate::lab::store::{Resource, Status};
use http::header;
use http::request::Parts;
use serde_json::Value;

/// A patch of one of the four kinds.
#[derive(Debug)]
pub(super) enum Patch {
    /// JSON merge patch: what is null goes, lists are replaced.
    Merge(Value),
    /// JSON patch: a list of operations.
    Operations(json_patch::Patch),
    /// Strategic merge patch: lists of named things are merged by their names.
    Strategic(Value),
    /// Server-side apply: what is given is merged, and created when nothing is there.
    Apply(Value),
}

const ACCEPTED: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";

impl Patch {
    pub(super) fn parse(parts: &Parts, body: &[u8]) -> Result<Self, Status> {
        let kind = header_text(parts, header::CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let faulty = |error: &dyn std::fmt::Display| {
            Status::bad_request(&format!("error decoding patch: {error}"))
        };
        let object = || -> Result<Value, Status> {
            let value: Value = serde_json::from_slice(body).map_err(|error| faulty(&error))?;
            if value.is_object() {
                Ok(value)
            } else {
                Err(Status::bad_request(
                    "error decoding patch: it is not an object",
                ))
            }
        };
        Ok(match kind {
            "application/merge-patch+json" => Self::Merge(object()?),
            "application/strategic-merge-patch+json" => Self::Strategic(object()?),
            "application/json-patch+json" => {
                Self::Operations(serde_json::from_slice(body).map_err(|error| faulty(&error))?)
            }
            "application/apply-patch+yaml" => {
                let value: Value = serde_yaml::from_slice(body).map_err(|error| faulty(&error))?;
                if !value.is_object() {
                    return Err(Status::bad_request(
                        "error decoding patch: it is not an object",
                    ));
                }
                Self::Apply(value)
            }
            other => return Err(Status::unsupported_media_type(other, ACCEPTED)),
        })
    }
}

/// The object after the patch.
pub(super) fn apply(kind: &Resource, patch: &Patch, mut object: Value) -> Result<Value, Status> {
    match patch {
        Patch::Merge(patch) => json_patch::merge(&mut object, patch),
        Patch::Operations(operations) => {
            json_patch::patch(&mut object, operations).map_err(|error| {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                Status::invalid(kind, name, "patch", "FieldValueInvalid", &error.to_string())
            })?;
        }
        Patch::Strategic(patch) | Patch::Apply(patch) => {
            strategic::merge(&mut object, patch, kind.kind)?;
        }
    }
    if object.is_object() {
        Ok(object)
    } else {
        Err(Status::bad_request("the patch leaves no object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::store::resource;
    use serde_json::json;

    fn patched(kind: &str, body: Value, object: Value) -> Result<Value, Status> {
        let request = http::Request::builder()
            .header("content-type", kind)
            .body(())
            .unwrap();
        let parts = request.into_parts().0;
        let patch = Patch::parse(&parts, body.to_string().as_bytes())?;
        apply(resource("deployments").unwrap(), &patch, object)
    }

    #[test]
    fn each_kind_of_patch_has_its_own_way_with_lists_and_nulls() {
        let object = json!({"spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}}}});
        let containers = |value: &Value| value["spec"]["template"]["spec"]["containers"].clone();
        let body = json!({"spec": {"replicas": null, "template": {"spec": {"containers": [{"name": "b", "image": "2"}]}}}});
        let merged = patched("application/merge-patch+json", body.clone(), object.clone()).unwrap();
        assert_eq!(containers(&merged), json!([{"name": "b", "image": "2"}]));
        assert!(merged["spec"].get("replicas").is_none());
        let strategic = patched(
            "application/strategic-merge-patch+json; charset=utf-8",
            body,
            object.clone(),
        )
        .unwrap();
        assert_eq!(
            containers(&strategic),
            json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}])
        );
        let operations = json!([{"op": "test", "path": "/spec/replicas", "value": 3}, {"op": "replace", "path": "/spec/replicas", "value": 5}]);
        assert_eq!(
            patched("application/json-patch+json", operations, object.clone()).unwrap()["spec"]["replicas"],
            5
        );
        let failing = json!([{"op": "test", "path": "/spec/replicas", "value": 4}]);
        assert_eq!(
            patched("application/json-patch+json", failing, object.clone())
                .unwrap_err()
                .code,
            422
        );
        for (kind, body, code) in [
            ("text/plain", json!({}), 415),
            ("application/merge-patch+json", json!([]), 400),
            ("application/json-patch+json", json!({}), 400),
            ("application/apply-patch+yaml", json!(3), 400),
        ] {
            assert_eq!(
                patched(kind, body, object.clone()).unwrap_err().code,
                code,
                "{kind}"
            );
        }
    }
}
