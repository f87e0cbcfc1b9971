//! A whole rollout: what the controllers write, in which order.

use super::cluster::{Practice, demo};
use lastwatch::lab::store::{ChangeKind, object};
use lastwatch::task::wait_until;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_millis(20);

fn restart(practice: &Practice) {
    practice
        .store
        .update("deployments", Some("default"), "demo", |deployment| {
            deployment["spec"]["template"]["metadata"]["annotations"] =
                json!({"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"});
            Ok(())
        })
        .unwrap();
}

async fn settled(practice: &Practice, reason: &str, replicas: i64) {
    wait_until("the rollout to end", PATIENCE, EVERY, || async {
        let own = practice
            .store
            .get("deployments", Some("default"), "demo")
            .unwrap();
        let pods = practice.store.list("pods", None).1.len();
        let condition = object::condition(&own, "Progressing").map(|c| c["reason"].clone());
        let counts = ["replicas", "updatedReplicas", "availableReplicas"]
            .map(|field| own["status"][field].as_i64());
        let observed = own["status"]["observedGeneration"] == own["metadata"]["generation"]
            && own["status"]["terminatingReplicas"] == 0;
        if observed
            && condition == Some(json!(reason))
            && counts == [Some(replicas); 3]
            && pods as i64 == replicas
        {
            Ok(())
        } else {
            Err(format!("{pods} pods, {}", own["status"]))
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_restart_replaces_every_pod_within_its_bounds_and_says_so() {
    let practice = Practice::start().await;
    for (resource, object) in ["deployments", "services"].into_iter().zip(demo(3)) {
        practice.store.create(resource, object).unwrap();
    }
    settled(&practice, "NewReplicaSetAvailable", 3).await;
    let from = practice.store.version();
    let old: Vec<String> = practice
        .store
        .list("pods", None)
        .1
        .iter()
        .map(|pod| object::uid(pod).to_owned())
        .collect();
    let mut pods = practice.store.watch("pods", None, Some(from)).unwrap();
    restart(&practice);
    settled(&practice, "NewReplicaSetAvailable", 3).await;

    let left = practice.store.list("pods", None).1;
    assert!(
        left.iter()
            .all(|pod| !old.contains(&object::uid(pod).to_owned()))
    );
    let mut ready: BTreeMap<String, bool> = old.iter().map(|uid| (uid.clone(), true)).collect();
    while let Some(change) = pods.try_next().unwrap() {
        let serves = change.kind != ChangeKind::Deleted
            && object::is_ready(&change.object)
            && !object::is_terminating(&change.object);
        ready.insert(object::uid(&change.object).to_owned(), serves);
        let serving = ready.values().filter(|serves| **serves).count();
        assert!((3..=4).contains(&serving), "{serving} serve");
    }
    let sets = practice.store.list("replicasets", None).1;
    assert_eq!(sets.len(), 2);
    let own = practice
        .store
        .get("deployments", Some("default"), "demo")
        .unwrap();
    assert_eq!(
        own["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
    told(&practice);
    practice.stop().await;
}

/// The events of the rollout, in the real words.
fn told(practice: &Practice) {
    let said: Vec<String> = practice
        .store
        .list("events", None)
        .1
        .iter()
        .map(|event| {
            format!(
                "{} {}",
                object::text(&event["reason"]),
                object::text(&event["message"])
            )
        })
        .collect();
    let sets = practice.store.list("replicasets", None).1;
    let [old, new] = [0, 3].map(|size| {
        let set = sets
            .iter()
            .find(|set| set["spec"]["replicas"] == size)
            .unwrap();
        object::name(set).to_owned()
    });
    for message in [
        format!("ScalingReplicaSet Scaled up replica set {new} from 0 to 1"),
        format!("ScalingReplicaSet Scaled down replica set {old} from 3 to 2"),
        format!("ScalingReplicaSet Scaled up replica set {new} from 1 to 2"),
        format!("ScalingReplicaSet Scaled down replica set {old} from 1 to 0"),
    ] {
        assert!(said.contains(&message), "{message} is not in {said:#?}");
    }
    for start in [
        format!("SuccessfulCreate Created pod: {new}-"),
        format!("SuccessfulDelete Deleted pod: {old}-"),
        format!("Scheduled Successfully assigned default/{new}-"),
    ] {
        assert!(
            said.iter().any(|own| own.starts_with(&start)),
            "{start} is not in {said:#?}"
        );
    }
}

#[tokio::test]
async fn a_deleted_pod_stays_in_its_slice_as_terminating_until_it_has_ended() {
    let practice = Practice::start().await;
    for (resource, object) in ["deployments", "services"].into_iter().zip(demo(2)) {
        practice.store.create(resource, object).unwrap();
    }
    settled(&practice, "NewReplicaSetAvailable", 2).await;
    wait_until("two ready endpoints", PATIENCE, EVERY, || async {
        let slices = practice.store.list("endpointslices", None).1;
        let ready = slices
            .iter()
            .flat_map(|slice| object::items(&slice["endpoints"]))
            .filter(|e| e["conditions"]["ready"] == true)
            .count();
        if ready == 2 {
            Ok(())
        } else {
            Err(format!("{ready}"))
        }
    })
    .await
    .unwrap();
    let pod = practice.store.list("pods", None).1[0].clone();
    let mut slices = practice
        .store
        .watch("endpointslices", None, Some(practice.store.version()))
        .unwrap();
    let asked = Instant::now();
    practice
        .store
        .delete(
            "pods",
            Some("default"),
            object::name(&pod),
            Default::default(),
        )
        .unwrap();
    let seen: Arc<Mutex<Vec<(String, Duration)>>> = Arc::default();
    let reading = async {
        loop {
            let change = slices.next().await.unwrap();
            let state = state(&change.object, object::uid(&pod));
            let mut seen = seen.lock().unwrap();
            if seen.last().is_none_or(|(last, _)| *last != state) {
                let done = state == "absent";
                seen.push((state, asked.elapsed()));
                if done {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("it leaves the slice");
    let seen = seen.lock().unwrap().clone();
    let states: Vec<&str> = seen.iter().map(|(state, _)| state.as_str()).collect();
    assert_eq!(states, ["serving, terminating", "absent"]);
    assert!(seen[0].1 < Duration::from_millis(1500), "{seen:?}");
    practice.stop().await;
}

fn state(slice: &Value, uid: &str) -> String {
    let Some(endpoint) = object::items(&slice["endpoints"])
        .iter()
        .find(|e| e["targetRef"]["uid"] == uid)
    else {
        return "absent".to_owned();
    };
    let holds = |key: &str| endpoint["conditions"][key] == true;
    let words: Vec<&str> = ["ready", "serving", "terminating"]
        .into_iter()
        .filter(|key| holds(key))
        .collect();
    words.join(", ")
}

#[tokio::test]
async fn what_a_deployment_owns_goes_with_it() {
    let practice = Practice::start().await;
    for (resource, object) in ["deployments", "services"].into_iter().zip(demo(2)) {
        practice.store.create(resource, object).unwrap();
    }
    settled(&practice, "NewReplicaSetAvailable", 2).await;
    for resource in ["deployments", "services"] {
        practice
            .store
            .delete(resource, Some("default"), "demo", Default::default())
            .unwrap();
    }
    wait_until("everything to go", PATIENCE, EVERY, || async {
        let left: Vec<String> = ["replicasets", "pods", "endpointslices"]
            .iter()
            .flat_map(|resource| practice.store.list(resource, None).1)
            .map(|object| object::name(&object).to_owned())
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await
    .unwrap();
    practice.stop().await;
}

#[tokio::test]
async fn a_job_completes_when_its_pod_has_ended_well() {
    let practice = Practice::start().await;
    let job = json!({"metadata": {"name": "once", "namespace": "default"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "x:1"}]}}}});
    practice.store.create("jobs", job).unwrap();
    let pod = wait_until("the Job's pod", PATIENCE, EVERY, || async {
        let pods = practice.store.list("pods", None).1;
        pods.into_iter()
            .find(|pod| object::is_ready(pod))
            .ok_or_else(|| "none ready".to_owned())
    })
    .await
    .unwrap();
    practice
        .store
        .update("pods", Some("default"), object::name(&pod), |pod| {
            pod["status"]["phase"] = json!("Succeeded");
            Ok(())
        })
        .unwrap();
    wait_until("completion", PATIENCE, EVERY, || async {
        let job = practice.store.get("jobs", Some("default"), "once").unwrap();
        match object::condition(&job, "Complete") {
            Some(done) if done["reason"] == "CompletionsReached" => Ok(()),
            _ => Err(job["status"].to_string()),
        }
    })
    .await
    .unwrap();
    practice.stop().await;
}
