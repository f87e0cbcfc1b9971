//! How long may a step take for which the scenario writes no timeout?
//!
//! As long as the workload's own settings let it: a rollout goes on in rounds, and what gets stuck is
//! told by its controller, by `progressDeadlineSeconds`, before our own patience ends.

use crate::cluster::ResolvedTarget;
use crate::scenario::{Action, Plan};
use std::time::Duration;

/// No step gets less.
const LEAST: Duration = Duration::from_secs(300);

/// For a pod to be scheduled, its image to be pulled and its containers to be started.
const START: Duration = Duration::from_secs(60);

/// What passes until the controller's word that it has given up is seen.
const SLACK: Duration = Duration::from_secs(30);

/// A longer progress deadline means that there is none.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3_600);

/// The plan with a timeout for each step.
pub fn with_timeouts(mut plan: Plan, target: &ResolvedTarget) -> Plan {
    let mut replicas = replicas_of(target);
    if plan.repeat.max > 1 {
        // A further round begins with as many as the one before has left.
        let last = plan.steps.iter().rev().find_map(|step| match step.action {
            Action::Scale { to } => Some(to),
            _ => None,
        });
        replicas = replicas.max(last.unwrap_or(0));
    }
    for step in &mut plan.steps {
        let own = step.timeout;
        step.timeout = own.or_else(|| Some(timeout_of(&step.action, replicas, target)));
        if let Action::Scale { to } = step.action {
            replicas = to;
        }
    }
    plan
}

/// The timeout of one step on so many pods.
pub(super) fn timeout_of(action: &Action, replicas: u32, target: &ResolvedTarget) -> Duration {
    let pace = &target.pace;
    let one = START + pace.ready;
    let needed = match action {
        Action::RollingRestart | Action::SetImage { .. } => {
            let rounds = (one + target.grace).saturating_mul(pace.rounds(replicas));
            let deadline = pace.progress_deadline.unwrap_or_default();
            let told = deadline.min(LONGEST_DEADLINE) + target.grace + SLACK;
            rounds.max(told)
        }
        Action::Scale { .. } => one + target.grace,
        Action::DeletePod { grace, .. } => one + grace.unwrap_or(target.grace),
        // A budget may let them go one by one.
        Action::Evict { pods } => (one + target.grace).saturating_mul(*pods),
        Action::Wait { duration } => duration.saturating_add(LEAST),
    };
    needed.max(LEAST)
}

pub(super) fn replicas_of(target: &ResolvedTarget) -> u32 {
    u32::try_from(target.replicas).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::mock::MemoryApi;
    use crate::disrupt::testing;
    use serde_json::{Value, json};

    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/demo";

    /// A Deployment of 100 whose pods take up to 35 s to be available and 60 s to end.
    async fn timeouts(settings: Value, steps: Value) -> Vec<u64> {
        let api = MemoryApi::start();
        let probe = json!({"initialDelaySeconds": 20, "periodSeconds": 10});
        let mut demo = json!({
            "metadata": {"name": "demo", "uid": "d1"},
            "spec": {
                "replicas": 100,
                "minReadySeconds": 5,
                "progressDeadlineSeconds": 600,
                "template": {"spec": {
                    "terminationGracePeriodSeconds": 60,
                    "containers": [{"name": "app", "readinessProbe": probe}]
                }}
            }
        });
        for (key, value) in settings.as_object().unwrap() {
            demo["spec"][key] = value.clone();
        }
        api.put(DEPLOYMENT, demo);
        let plan = testing::plan(&json!({"url": "http://demo"}), &steps);
        let target = ResolvedTarget::resolve(&api.cluster(), &plan.target).await;
        let plan = with_timeouts(plan, &target.unwrap());
        let steps = plan.steps.iter();
        steps.map(|step| step.timeout.unwrap().as_secs()).collect()
    }

    #[tokio::test]
    async fn a_step_gets_the_time_that_the_workloads_settings_let_it_take() {
        let slowly = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
        let restart = json!([{"rollingRestart": {}}]);
        for (settings, steps, seconds) in [
            // Two rounds would do with 310 s: the controller gives up after 600.
            (json!({}), restart.clone(), vec![600 + 60 + 30]),
            (
                json!({"strategy": slowly}),
                restart.clone(),
                vec![100 * (60 + 35 + 60)],
            ),
            (
                json!({"progressDeadlineSeconds": i32::MAX}),
                restart,
                vec![3_600 + 60 + 30],
            ),
            (
                json!({"strategy": slowly, "progressDeadlineSeconds": 60}),
                json!([{"scale": {"to": 4}}, {"rollingRestart": {}}]),
                vec![300, 4 * (60 + 35 + 60)],
            ),
            (
                json!({}),
                json!([{"evict": {"pods": 10}}, {"deletePod": {"grace": "400s"}}, {"wait": "5s"}]),
                vec![10 * (60 + 35 + 60), 60 + 35 + 400, 305],
            ),
            (
                json!({}),
                json!([{"rollingRestart": {"timeout": "2m"}}]),
                vec![120],
            ),
        ] {
            let given = timeouts(settings.clone(), steps.clone()).await;
            assert_eq!(given, seconds, "{settings} {steps}");
        }
    }
}
