//! Steps and their undo against an API server in memory whose controllers act at once.

use super::*;
use crate::cluster::mock::{MemoryApi, status};
use crate::disrupt::Outcome;
use crate::evidence::{Event, Fact, RunClock};
use crate::scenario::{Target, Workload, WorkloadKind};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::mpsc::Receiver;

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/demo";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/lastwatch-deployment-demo";
const PODS: &str = "/api/v1/namespaces/shop/pods";
const PATIENCE: Duration = Duration::from_secs(30);

fn pod(number: usize) -> Value {
    json!({
        "metadata": {"name": format!("demo-{number}"), "uid": format!("p{number}"),
                     "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment",
                                          "name": "demo", "uid": "d1", "controller": true}]},
        "spec": {"containers": [{"name": "app"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    })
}

/// The pods that the deployment wants, all of them new.
fn roll_out(objects: &mut BTreeMap<String, Value>) {
    objects.retain(|path, _| !path.starts_with(PODS));
    let deployment = objects.get_mut(DEPLOYMENT).unwrap();
    let generation = deployment["metadata"]["generation"].as_i64().unwrap() + 1;
    let replicas = deployment["spec"]["replicas"].as_u64().unwrap();
    deployment["metadata"]["generation"] = json!(generation);
    deployment["status"] = json!({
        "observedGeneration": generation, "replicas": replicas,
        "updatedReplicas": replicas, "availableReplicas": replicas
    });
    let base = usize::try_from(generation * 100).unwrap();
    for number in 0..usize::try_from(replicas).unwrap() {
        let pod = pod(base + number);
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        objects.insert(format!("{PODS}/{name}"), pod);
    }
}

fn shop() -> MemoryApi {
    let api = MemoryApi::start();
    api.put(
        DEPLOYMENT,
        json!({
            "metadata": {"name": "demo", "uid": "d1", "generation": 1},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "demo"}},
                "template": {"spec": {"containers": [{"name": "app", "image": "app:1"}]}}
            },
            "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2,
                       "availableReplicas": 2}
        }),
    );
    for number in 0..2 {
        api.put(&format!("{PODS}/demo-{number}"), pod(number));
    }
    api.react(|path, objects| {
        if path.starts_with(DEPLOYMENT) || path.starts_with(PODS) {
            roll_out(objects);
        }
    });
    api
}

struct Bench {
    api: MemoryApi,
    executor: Executor,
    facts: Receiver<Fact>,
    _run: tempfile::TempDir,
}

async fn bench() -> Bench {
    let api = shop();
    let run = tempfile::tempdir().unwrap();
    let (sink, facts) = EventSink::new(RunClock::start());
    let target = Target {
        workload: Workload {
            kind: WorkloadKind::Deployment,
            name: "demo".to_owned(),
        },
        namespace: None,
        service: None,
        port: None,
        url: Some("http://shop".to_owned()),
    };
    let cluster = api.cluster();
    let target = ResolvedTarget::resolve(&cluster, &target).await.unwrap();
    let executor = Executor::open(&cluster, target, "r1", run.path(), sink)
        .await
        .unwrap();
    Bench {
        api,
        executor,
        facts,
        _run: run,
    }
}

impl Bench {
    async fn step(&mut self, action: Action) -> Result<StepReport, StepError> {
        let step = Step {
            action,
            timeout: Some(Duration::from_secs(20)),
        };
        let stop = CancellationToken::new();
        self.executor.run_step(0, &step, &stop).await
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Ok(fact) = self.facts.try_recv() {
            if let Fact::Event(event) = fact {
                events.push(*event);
            }
        }
        events
    }

    /// How many of the pods that were there at first still are.
    fn old_pods(&self) -> usize {
        let there = |number: &usize| self.api.get(&format!("{PODS}/demo-{number}")).is_some();
        (0..2).filter(there).count()
    }

    fn replicas(&self) -> Value {
        self.api.get(DEPLOYMENT).unwrap()["spec"]["replicas"].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn steps_are_told_and_undone_and_the_lease_is_gone() {
    let mut bench = bench().await;
    bench.step(Action::RollingRestart).await.unwrap();
    assert_eq!(bench.old_pods(), 0);
    bench.step(Action::Scale { to: 5 }).await.unwrap();
    let image = "app:2".to_owned();
    let container = None;
    bench
        .step(Action::SetImage { container, image })
        .await
        .unwrap();
    assert!(bench.api.get(LEASE).is_some(), "the run holds its lease");
    let states: Vec<String> = bench
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::Step(step) => Some(format!("{} {}", step.step, step.state)),
            EventKind::Api(api) if api.verb == "PATCH" => {
                assert!(api.sent <= api.received && api.server_stamp.is_some());
                Some(api.path.rsplit('/').next().unwrap().to_owned())
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        states.join(", "),
        "rollingRestart started, demo, rollingRestart ended, scale started, scale, scale ended, \
         setImage started, demo, setImage ended"
    );

    let report = bench.executor.undo(PATIENCE).await;
    assert!(report.is_clean(), "{report}");
    let deployment = bench.api.get(DEPLOYMENT).unwrap();
    assert_eq!(bench.replicas(), json!(2));
    let template = &deployment["spec"]["template"];
    assert_eq!(template["spec"]["containers"][0]["image"], json!("app:1"));
    assert!(template["metadata"]["annotations"][RESTARTED_AT].is_null());
    assert!(bench.api.get(LEASE).is_none());
    let before = bench.api.writes().len();
    let again = bench.executor.undo(PATIENCE).await;
    assert_eq!(again.to_string(), "nothing to undo");
    assert_eq!(
        bench.api.writes().len(),
        before,
        "the second undo writes nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_changed_is_left_and_told() {
    let mut bench = bench().await;
    bench.step(Action::Scale { to: 1 }).await.unwrap();
    bench
        .api
        .change(DEPLOYMENT, |demo| demo["spec"]["replicas"] = json!(7));
    let report = bench.executor.undo(Duration::ZERO).await;
    assert!(!report.is_clean());
    assert_eq!(
        report.to_string(),
        "not restored: deployment/demo spec.replicas: \
         it was set to `1` here, and is `7` now: somebody else has changed it"
    );
    assert_eq!(bench.replicas(), json!(7));
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_holds_an_eviction_back_is_waited_out_and_recorded() {
    let mut bench = bench().await;
    let asked = AtomicU32::new(0);
    bench.api.answer(move |verb, path| {
        if verb != "POST" || !path.ends_with("/eviction") {
            return None;
        }
        Some(match asked.fetch_add(1, Ordering::Relaxed) {
            0 => (
                429,
                json!({"kind": "Status", "status": "Failure", "code": 429, "message": "no",
                       "reason": "TooManyRequests", "details": {"causes": [
                        {"reason": "DisruptionBudget", "message": "demo needs 2 and has 2"}]}}),
            ),
            1 => status(429, "TooManyRequests", "slow down"),
            _ => (
                201,
                json!({"kind": "Status", "status": "Success", "code": 201}),
            ),
        })
    });
    let step = bench.step(Action::Evict { pods: 1 }).await;
    let StepError::Timeout { last, .. } = step.expect_err("nobody deletes the pod here") else {
        panic!("a timeout");
    };
    assert_eq!(last, "old pods are still there: demo-0");
    let notes: Vec<String> = bench
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::Step(step) if step.state == "note" => Some(step.text),
            _ => None,
        })
        .collect();
    assert_eq!(
        notes,
        [
            "the eviction of demo-0 waits: demo needs 2 and has 2",
            "the API server throttles the eviction of demo-0"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn two_budgets_over_one_pod_end_the_step_at_once() {
    let mut bench = bench().await;
    bench.api.answer(|_, path| {
        let words = "This pod has more than one PodDisruptionBudget, which the eviction \
                     subresource does not support.";
        // The status line says 201, as older servers do.
        path.ends_with("/eviction")
            .then(|| (201, status(500, "InternalError", words).1))
    });
    let error = bench.step(Action::Evict { pods: 1 }).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("pod demo-0 cannot be evicted: This pod has more than one"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn deleted_pods_are_asked_for_by_uid_and_awaited() {
    let mut bench = bench().await;
    let grace = Some(Duration::from_secs(3));
    assert_eq!(bench.old_pods(), 2);
    bench
        .step(Action::DeletePod { pods: 2, grace })
        .await
        .unwrap();
    assert_eq!(bench.old_pods(), 0);
    let error = bench
        .step(Action::DeletePod { pods: 3, grace })
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("3 ready pods are to go and there are 2")
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_the_change_and_not_the_undo() {
    let mut bench = bench().await;
    bench.step(Action::Scale { to: 1 }).await.unwrap();
    bench.executor.journal.fill_the_disk();
    let error = bench.step(Action::Scale { to: 4 }).await.unwrap_err();
    assert!(matches!(error, StepError::Journal { .. }), "{error:?}");
    assert_eq!(
        bench.replicas(),
        json!(1),
        "nothing is changed without a journal line"
    );
    let report = bench.executor.undo(PATIENCE).await;
    assert!(report.is_clean(), "{report}");
    assert!(
        report.notes[0].contains("the undo is not in the journal"),
        "{report}"
    );
    assert_eq!(bench.replicas(), json!(2));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_restarts_in_the_middle_of_a_step_is_waited_for() {
    let mut bench = bench().await;
    let asked = AtomicU32::new(0);
    bench.api.answer(move |_, path| {
        let down = path.starts_with(DEPLOYMENT) && asked.fetch_add(1, Ordering::Relaxed) < 4;
        down.then(|| status(503, "ServiceUnavailable", "starting"))
    });
    bench.step(Action::Scale { to: 1 }).await.unwrap();
    assert_eq!(bench.replicas(), json!(1));
    let report = bench.executor.undo(PATIENCE).await;
    assert!(
        matches!(report.items[0].outcome, Outcome::Restored { .. }),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_step_that_waits() {
    let mut bench = bench().await;
    let step = Step {
        action: Action::Wait {
            duration: Duration::from_secs(600),
        },
        timeout: Some(Duration::from_secs(700)),
    };
    let stop = CancellationToken::new();
    stop.cancel();
    let error = bench.executor.run_step(0, &step, &stop).await.unwrap_err();
    assert!(matches!(error, StepError::Stopped));
}
