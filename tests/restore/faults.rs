//! What if the API server goes away, throttles, or no longer knows us, in the middle of a step?

use crate::shop::{NAMESPACE, Shop, all_steps, step};
use lastwatch::cluster::rights::{Need, RIGHTS};
use lastwatch::disrupt::{Outcome, StepError};
use lastwatch::evidence::{EventKind, Fact};
use lastwatch::lab::api::User;
use lastwatch::scenario::Action;
use lastwatch::task::wait_until;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

fn notes(facts: &mut Receiver<Fact>) -> Vec<String> {
    let mut notes = Vec::new();
    while let Ok(fact) = facts.try_recv() {
        if let Fact::Event(event) = fact
            && let EventKind::Step(step) = event.kind
            && step.state == "note"
        {
            notes.push(step.text);
        }
    }
    notes
}

/// The pods that are there.
fn uids(shop: &Shop) -> BTreeSet<String> {
    let pods = shop.store.list("pods", Some(NAMESPACE)).1;
    let uid = |pod: &Arc<Value>| pod["metadata"]["uid"].to_string();
    pods.iter().map(uid).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_during_a_rollout_is_waited_for_and_told() {
    let shop = Shop::open().await;
    let before = shop.at_rest().await;
    let (mut executor, mut facts) = shop.executor(&shop.kubeconfig, "outage").await;
    let old = uids(&shop);
    shop.api.outage(Duration::from_millis(1_500));
    let stop = CancellationToken::new();
    let restart = step(Action::RollingRestart);
    executor.run_step(0, &restart, &stop).await.unwrap();
    assert!(old.is_disjoint(&uids(&shop)), "every old pod is gone");
    let notes = notes(&mut facts);
    assert!(
        notes
            .iter()
            .any(|note| note.contains("cannot reach the API server")),
        "{notes:?}"
    );
    let undone = executor.undo(PATIENCE).await;
    assert!(undone.is_clean(), "{undone}");
    assert_eq!(shop.at_rest().await, before);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_delays_a_step_and_its_undo_and_nothing_else() {
    let shop = Shop::open().await;
    let before = shop.at_rest().await;
    let (mut executor, mut facts) = shop.executor(&shop.kubeconfig, "throttled").await;
    shop.api.throttle(5, 1);
    let stop = CancellationToken::new();
    let scale = step(Action::Scale { to: 1 });
    executor.run_step(0, &scale, &stop).await.unwrap();
    assert!(
        notes(&mut facts).iter().any(|note| note.contains("429")),
        "the throttling is recorded"
    );
    shop.api.throttle(5, 1);
    let undone = executor.undo(PATIENCE).await;
    assert!(undone.is_clean(), "{undone}");
    assert_eq!(shop.at_rest().await, before);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_during_a_run_fails_the_step_and_a_new_one_restores() {
    let shop = Shop::open().await;
    let before = shop.at_rest().await;
    let token = shop.api.issue_token(User::admin());
    let kubeconfig = shop.config("short.kubeconfig", "lab", &token);
    let (mut executor, _facts) = shop.executor(&kubeconfig, "expired").await;
    let stop = CancellationToken::new();
    let scale = step(Action::Scale { to: 1 });
    executor.run_step(0, &scale, &stop).await.unwrap();
    shop.api.revoke_token(&token);
    let restart = step(Action::RollingRestart);
    let error = executor.run_step(1, &restart, &stop).await.unwrap_err();
    let StepError::Cluster { source, .. } = error else {
        panic!("{error:?}");
    };
    assert!(source.to_string().contains("log in again"), "{source}");
    let undone = executor.undo(Duration::from_secs(1)).await;
    assert!(!undone.is_clean());
    assert!(
        matches!(undone.items[0].outcome, Outcome::Failed { .. }),
        "{undone}"
    );
    drop(executor);

    let cluster = shop.cluster().await;
    let run = lastwatch::evidence::RunDir::new(shop.folder.path().join("expired"));
    let restored = lastwatch::disrupt::restore(&cluster, &run, PATIENCE)
        .await
        .unwrap();
    assert!(restored.is_clean(), "{restored}");
    assert_eq!(shop.at_rest().await, before);
    shop.close().await;
}

/// Puts the shipped Role and its binding into the shop's namespace.
fn grant(shop: &Shop) {
    let text = std::fs::read_to_string("manifests/cluster/rbac.yaml").unwrap();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let mut object = Value::deserialize(document).unwrap();
        let plural = match object["kind"].as_str() {
            Some("Role") => "roles",
            Some("RoleBinding") => "rolebindings",
            _ => continue,
        };
        object["metadata"]["namespace"] = json!(NAMESPACE);
        shop.store.create(plural, object).unwrap();
    }
}

/// Waits until an account has renewed its run's Lease; whether it may is in the answer.
async fn renewal(shop: &Shop, account: &User) {
    let every = Duration::from_millis(100);
    let wait = wait_until("a renewal of the Lease", PATIENCE, every, || async {
        let mut requests = shop.api.requests();
        requests.retain(|request| request.user == account.name && request.resource == "leases");
        if requests.iter().any(|request| request.verb == "update") {
            Ok(())
        } else {
            Err(format!("{requests:?}"))
        }
    });
    wait.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_role_is_enough_for_every_step_and_its_undo() {
    let shop = Shop::open().await;
    let before = shop.at_rest().await;
    grant(&shop);
    let account = User::service_account("lastwatch", "lastwatch");
    let token = shop.api.issue_token(account.clone());
    let kubeconfig = shop.config("account.kubeconfig", "lab", &token);
    let (mut executor, _facts) = shop.executor(&kubeconfig, "account").await;
    let stop = CancellationToken::new();
    let keeping = executor.lock().clone();
    let kept = stop.clone();
    let keeper = tokio::spawn(async move { keeping.keep(&kept, drop).await });
    for (index, step) in all_steps().iter().enumerate() {
        executor.run_step(index, step, &stop).await.unwrap();
    }
    // A renewal needs its right as well.
    renewal(&shop, &account).await;
    let undone = executor.undo(PATIENCE).await;
    assert!(undone.is_clean(), "{undone}");
    keeper.await.unwrap().unwrap();
    assert_eq!(shop.at_rest().await, before);

    let text = |group: &str, resource: &str, verb: &str| format!("{group}/{resource} {verb}");
    let used: BTreeSet<String> = shop
        .api
        .requests()
        .into_iter()
        .filter(|request| request.user == account.name)
        .inspect(|request| assert_ne!(request.code, 403, "{request:?}"))
        .map(|request| {
            let resource = match request.subresource.as_str() {
                "" => request.resource.to_owned(),
                sub => format!("{}/{sub}", request.resource),
            };
            text(&request.group, &resource, request.verb)
        })
        .collect();
    let table: BTreeSet<String> = RIGHTS
        .iter()
        .map(|right| text(right.group, right.resource, right.verb))
        .collect();
    let beyond: Vec<&String> = used.difference(&table).collect();
    assert!(beyond.is_empty(), "not in the table: {beyond:?}");
    // What changes something is used by steps, lock and undo alone: all of it was seen.
    let changing: BTreeSet<String> = RIGHTS
        .iter()
        .filter(|right| matches!(right.verb, "patch" | "create" | "update" | "delete"))
        .filter(|right| {
            !matches!(
                right.resource,
                "statefulsets" | "statefulsets/scale" | "daemonsets"
            )
        })
        .filter(|right| right.need != Need::Wish)
        .map(|right| text(right.group, right.resource, right.verb))
        .collect();
    let unused: Vec<&String> = changing.difference(&used).collect();
    assert!(unused.is_empty(), "granted and not used: {unused:?}");
    shop.close().await;
}
