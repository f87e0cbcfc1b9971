//! What is one change: which object, which field, from what to what?

use crate::cluster::{Call, PatchKind, WorkloadView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// The annotation that `kubectl rollout restart` sets in a pod template.
pub(crate) const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// An object of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// As kubectl writes it: `deployment/demo`.
    pub name: String,
    /// Its path in the API.
    pub path: String,
    /// Its uid: an object that was made anew is another one.
    pub uid: String,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Field {
    /// `spec.replicas` of a workload.
    Replicas,
    /// An annotation of a workload's pod template.
    TemplateAnnotation {
        /// Its key.
        key: String,
    },
    /// The image of a container in a workload's pod template.
    Image {
        /// The container.
        container: String,
    },
    /// The existence of a pod, which its controller replaces.
    Pod,
    /// The Lease of the run.
    Lease,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replicas => f.write_str("spec.replicas"),
            Self::TemplateAnnotation { key } => write!(f, "template annotation {key}"),
            Self::Image { container } => write!(f, "image of container {container}"),
            Self::Pod => f.write_str("pod"),
            Self::Lease => f.write_str("lease"),
        }
    }
}

/// Why a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A step of the plan.
    Step {
        /// Its index.
        index: usize,
    },
    /// The run keeps others away.
    Lock,
    /// An earlier change is undone.
    Undo,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Why.
    pub purpose: Purpose,
    /// Of what.
    pub object: ObjectRef,
    /// Of which field.
    pub field: Field,
    /// The value that was read before; `null`: there was none.
    pub before: Value,
    /// The value that is asked for; `null`: none.
    pub after: Value,
    /// The object's resource version at which `before` was read.
    pub resource_version: String,
}

impl Field {
    /// The field's value in a workload; `null` where it has none.
    pub(crate) fn value_in(&self, view: &WorkloadView) -> Value {
        match self {
            Self::Replicas => json!(view.spec.replicas),
            Self::TemplateAnnotation { key } => json!(view.template_annotation(key)),
            Self::Image { container } => json!(view.image(container)),
            Self::Pod | Self::Lease => Value::Null,
        }
    }
}

/// The call that sets fields of one workload, if nobody has changed it since `resource_version`.
///
/// `spec.replicas` goes through the `scale` subresource, whose right is granted apart; it is never
/// set together with another field.
pub(crate) fn patch(object: &ObjectRef, resource_version: &str, set: &[(&Field, &Value)]) -> Call {
    if let [(Field::Replicas, value)] = set {
        let body = json!({
            "metadata": {"resourceVersion": resource_version},
            "spec": {"replicas": value},
        });
        return Call::patch(format!("{}/scale", object.path), PatchKind::Merge, body);
    }
    let (mut annotations, mut containers) = (serde_json::Map::new(), Vec::new());
    for (field, value) in set {
        match field {
            Field::TemplateAnnotation { key } => {
                annotations.insert(key.clone(), (*value).clone());
            }
            Field::Image { container } => {
                containers.push(json!({"name": container, "image": value}));
            }
            Field::Replicas | Field::Pod | Field::Lease => {}
        }
    }
    let mut template = json!({});
    if !annotations.is_empty() {
        template["metadata"]["annotations"] = Value::Object(annotations);
    }
    if !containers.is_empty() {
        template["spec"]["containers"] = Value::Array(containers);
    }
    let body = json!({
        "metadata": {"resourceVersion": resource_version},
        "spec": {"template": template},
    });
    Call::patch(object.path.clone(), PatchKind::Strategic, body)
}

/// A value as people write it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
