//! How does a Deployment move from one ReplicaSet to another?

mod plan;
mod progress;

use super::driver::{Controller, Key};
use super::pods::{self, owner_reference, say};
use crate::lab::event::Note;
use crate::lab::store::{Change, DeleteOptions, Status, Store, object};
use jiff::Timestamp;
use plan::{Scale, Step};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(super) const CONTROLLER: Controller = Controller {
    name: "deployment",
    watches: &["deployments", "replicasets", "pods"],
    lag: (2, 10),
    keys,
    reconcile,
};

const COMPONENT: &str = "deployment-controller";
const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";
const HASH: &str = "pod-template-hash";

fn keys(store: &Store, resource: &str, change: &Change) -> Vec<Key> {
    let namespace = object::namespace(&change.object);
    let of = |owned: &Value| Key::of_owner(owned, "Deployment");
    match resource {
        "deployments" => vec![Key::of(&change.object)],
        "replicasets" => of(&change.object).into_iter().collect(),
        // Only the end of a pod matters here: a Recreate waits for it.
        _ if change.kind == crate::lab::store::ChangeKind::Deleted => {
            object::controller(&change.object)
                .and_then(|owner| {
                    store.get("replicasets", Some(namespace), object::text(&owner["name"]))
                })
                .and_then(|set| of(&set))
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}

fn reconcile(store: &Arc<Store>, key: &Key) -> Result<Option<Duration>, Status> {
    let Some(deployment) = store.get("deployments", key.place(), &key.name) else {
        return Ok(None);
    };
    if object::is_terminating(&deployment) {
        return Ok(None);
    }
    let now = Timestamp::now();
    let (_, mut sets) = store.list("replicasets", key.place());
    sets.retain(|set| {
        object::controller(set).is_some_and(|owner| owner["uid"] == object::uid(&deployment))
    });
    sets.sort_by(|a, b| age(a).cmp(&age(b)));
    let running = sets
        .iter()
        .flat_map(|set| pods::owned(store, &key.namespace, object::uid(set)))
        .filter(|pod| !object::is_terminal(pod))
        .map(|pod| pod["metadata"]["labels"][HASH].clone())
        .collect::<Vec<_>>();
    let view = plan::View::new(&deployment, &sets, &running);
    for step in plan::steps(&view) {
        act(store, &deployment, step)?;
    }
    let new = view.new.map(object::name).map(str::to_owned);
    report(store, key, new.as_deref(), now)
}

/// Creation order, with the name for those of the same second.
fn age(set: &Value) -> (&str, &str) {
    (
        object::text(&set["metadata"]["creationTimestamp"]),
        object::name(set),
    )
}

fn act(store: &Arc<Store>, deployment: &Value, step: Step) -> Result<(), Status> {
    let place = Some(object::namespace(deployment));
    match step {
        Step::Create { replicas, revision } => create(store, deployment, replicas, revision),
        Step::Adopt { set, revision } => {
            store.update("replicasets", place, &set, |set| {
                set["metadata"]["annotations"][REVISION] = json!(revision.to_string());
                Ok(())
            })?;
            revise(store, deployment, revision)
        }
        Step::Revise { revision } => revise(store, deployment, revision),
        Step::Scale(scale) => rescale(store, deployment, &scale),
        Step::Annotate { set } => {
            store.update("replicasets", place, &set, |set| {
                annotate(set, deployment);
                Ok(())
            })?;
            Ok(())
        }
        Step::Remove { set } => {
            store.delete("replicasets", place, &set, DeleteOptions::default())?;
            Ok(())
        }
    }
}

/// Writes what the ReplicaSet's owner wants in all, for those who scale in proportion.
fn annotate(set: &mut Value, deployment: &Value) {
    let replicas = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let most = replicas + plan::bounds(deployment).surge;
    if !set["metadata"]["annotations"].is_object() {
        set["metadata"]["annotations"] = json!({});
    }
    set["metadata"]["annotations"][DESIRED] = json!(replicas.to_string());
    set["metadata"]["annotations"][MAXIMUM] = json!(most.to_string());
}

fn rescale(store: &Arc<Store>, deployment: &Value, scale: &Scale) -> Result<(), Status> {
    let place = Some(object::namespace(deployment));
    store.update("replicasets", place, &scale.set, |set| {
        set["spec"]["replicas"] = json!(scale.to);
        annotate(set, deployment);
        Ok(())
    })?;
    said_scaled(store, deployment, scale);
    Ok(())
}

fn said_scaled(store: &Arc<Store>, deployment: &Value, scale: &Scale) {
    let way = if scale.to > scale.from { "up" } else { "down" };
    let message = format!(
        "Scaled {way} replica set {} from {} to {}",
        scale.set, scale.from, scale.to
    );
    say(
        store,
        COMPONENT,
        deployment,
        &Note::normal("ScalingReplicaSet", &message),
    );
}

/// Makes the ReplicaSet of the present template.
fn create(
    store: &Arc<Store>,
    deployment: &Value,
    replicas: i64,
    revision: i64,
) -> Result<(), Status> {
    let mut template = deployment["spec"]["template"].clone();
    let hash = plan::hash(&template);
    let name = format!("{}-{hash}", object::name(deployment));
    template["metadata"]["labels"][HASH] = json!(hash);
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = json!(hash);
    let mut spec = json!({"replicas": replicas, "selector": selector, "template": template});
    if deployment["spec"]["minReadySeconds"].is_number() {
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"].clone();
    }
    let mut set = json!({
        "metadata": {
            "name": name,
            "namespace": object::namespace(deployment),
            "labels": spec["template"]["metadata"]["labels"],
            "annotations": own_annotations(deployment),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": spec,
    });
    annotate(&mut set, deployment);
    set["metadata"]["annotations"][REVISION] = json!(revision.to_string());
    store.create("replicasets", set)?;
    if replicas > 0 {
        let scale = Scale {
            set: name.clone(),
            from: 0,
            to: replicas,
        };
        said_scaled(store, deployment, &scale);
    }
    let message = format!("Created new replica set \"{name}\"");
    store.update(
        "deployments",
        Some(object::namespace(deployment)),
        object::name(deployment),
        |deployment| {
            set_revision(deployment, revision);
            let condition = progress::condition(
                "Progressing",
                true,
                "NewReplicaSetCreated",
                &message,
                Timestamp::now(),
            );
            progress::set(&mut deployment["status"], condition);
            Ok(())
        },
    )?;
    Ok(())
}

/// A Deployment's annotations without those that are about itself.
fn own_annotations(deployment: &Value) -> Value {
    let mut own = deployment["metadata"]["annotations"].clone();
    if !own.is_object() {
        own = json!({});
    }
    for key in [
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        DESIRED,
        MAXIMUM,
    ] {
        object::remove(&mut own, key);
    }
    own
}

fn revise(store: &Arc<Store>, deployment: &Value, revision: i64) -> Result<(), Status> {
    let (place, name) = (
        Some(object::namespace(deployment)),
        object::name(deployment),
    );
    store.update("deployments", place, name, |deployment| {
        set_revision(deployment, revision);
        Ok(())
    })?;
    Ok(())
}

fn set_revision(deployment: &mut Value, revision: i64) {
    if !deployment["metadata"]["annotations"].is_object() {
        deployment["metadata"]["annotations"] = json!({});
    }
    deployment["metadata"]["annotations"][REVISION] = json!(revision.to_string());
}

/// Writes the status from what the ReplicaSets say now.
fn report(
    store: &Arc<Store>,
    key: &Key,
    new: Option<&str>,
    now: Timestamp,
) -> Result<Option<Duration>, Status> {
    let Some(deployment) = store.get("deployments", key.place(), &key.name) else {
        return Ok(None);
    };
    let (_, mut sets) = store.list("replicasets", key.place());
    sets.retain(|set| {
        object::controller(set).is_some_and(|owner| owner["uid"] == object::uid(&deployment))
    });
    let new = sets
        .iter()
        .find(|set| plan::is_of_template(&deployment, set))
        .map(|set| object::name(set))
        .or(new)
        .map(str::to_owned);
    let (status, again) = progress::status(&deployment, &sets, new.as_deref(), now);
    store.update("deployments", key.place(), &key.name, |deployment| {
        deployment["status"] = status;
        Ok(())
    })?;
    Ok(again)
}
