//! May a pod be evicted?

use super::respond::{self, Answer};
use super::{Call, parse};
use crate::lab::selector::Selector;
use crate::lab::store::{DeleteOptions, Status, Store, object};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// What an eviction is answered with.
#[derive(Debug, PartialEq)]
enum Decision {
    /// No budget counts for this pod now.
    Free,
    /// The budget of this name has one disruption to give.
    Spend(String),
    /// The budget gives none; the cause, and when to ask again.
    Blocked(String, u32),
    /// More than one budget selects the pod.
    TwoBudgets,
    /// The budget's own numbers are broken.
    Broken(String),
}

pub(super) fn evict(call: &Call<'_>, body: &[u8]) -> Result<Answer, Status> {
    let eviction = parse(call.parts, body)?;
    let pod = call.object()?;
    let (namespace, name) = call.address.of_object()?;
    let asked = object::name(&eviction);
    if !asked.is_empty() && asked != name {
        return Err(Status::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let options = &eviction["deleteOptions"];
    let dry_run = !object::items(&options["dryRun"]).is_empty() || call.query.dry_run()?;
    let budgets = call.store.list("poddisruptionbudgets", namespace).1;
    match decide(&pod, &budgets) {
        Decision::Free => {}
        Decision::Spend(budget) if dry_run => tracing::debug!(budget, "would be spent"),
        Decision::Spend(budget) => spend(call.store, namespace, &budget, name)?,
        Decision::Blocked(cause, wait) => return Err(blocked(&cause, wait)),
        Decision::TwoBudgets => {
            return Err(Status::failure(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        Decision::Broken(message) => {
            return Err(Status::forbidden("poddisruptionbudgets", "", message));
        }
    }
    if !dry_run {
        mark(call.store, namespace, name)?;
        let options = DeleteOptions {
            grace: options["gracePeriodSeconds"].as_i64(),
            uid: options["preconditions"]["uid"].as_str().map(str::to_owned),
        };
        call.store.delete("pods", namespace, name, options)?;
    }
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(respond::json(201, &success))
}

fn decide(pod: &Value, budgets: &[Arc<Value>]) -> Decision {
    let pending = pod["status"]["phase"] == "Pending";
    if object::is_terminal(pod) || pending || object::is_terminating(pod) {
        return Decision::Free;
    }
    let mut own = budgets
        .iter()
        .filter(|budget| Selector::from_object(&budget["spec"]["selector"]).matches(pod));
    let Some(budget) = own.next() else {
        return Decision::Free;
    };
    if own.next().is_some() {
        return Decision::TwoBudgets;
    }
    let count = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    let name = object::name(budget);
    if !object::is_ready(pod) {
        let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        let healthy =
            count("currentHealthy") >= count("desiredHealthy") && count("desiredHealthy") > 0;
        if always || healthy {
            return Decision::Free;
        }
    }
    if count("observedGeneration") < budget["metadata"]["generation"].as_i64().unwrap_or(0) {
        let cause = format!("The disruption budget {name} is still being processed by the server.");
        return Decision::Blocked(cause, 10);
    }
    match count("disruptionsAllowed") {
        allowed if allowed < 0 => Decision::Broken(format!(
            "poddisruptionbudgets.policy \"{name}\" is forbidden: pdb disruptions allowed is negative"
        )),
        0 => Decision::Blocked(
            format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                count("desiredHealthy"),
                count("currentHealthy")
            ),
            0,
        ),
        _ => Decision::Spend(name.to_owned()),
    }
}

fn blocked(cause: &str, wait: u32) -> Status {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut status = Status::too_many_requests(message, wait);
    let causes = json!([{"reason": "DisruptionBudget", "message": cause}]);
    if status.details.is_null() {
        status.details = json!({});
    }
    status.details["causes"] = causes;
    status
}

/// Takes one disruption from the budget; its controller counts anew when the pod is gone.
fn spend(
    store: &Arc<Store>,
    namespace: Option<&str>,
    budget: &str,
    pod: &str,
) -> Result<(), Status> {
    store.update("poddisruptionbudgets", namespace, budget, |object| {
        let left = object["status"]["disruptionsAllowed"].as_i64().unwrap_or(0) - 1;
        if left < 0 {
            let cause =
                format!("The disruption budget {budget} does not allow evicting pods currently");
            return Err(blocked(&cause, 0));
        }
        object["status"]["disruptionsAllowed"] = json!(left);
        if !object["status"]["disruptedPods"].is_object() {
            object["status"]["disruptedPods"] = json!({});
        }
        object["status"]["disruptedPods"][pod] = json!(object::second(Timestamp::now()));
        Ok(())
    })?;
    Ok(())
}

/// Writes the condition that tells an eviction from any other deletion.
fn mark(store: &Arc<Store>, namespace: Option<&str>, name: &str) -> Result<(), Status> {
    store.update("pods", namespace, name, |pod| {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True",
            "observedGeneration": pod["metadata"]["generation"],
            "lastProbeTime": null,
            "lastTransitionTime": object::second(Timestamp::now()),
            "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
        });
        let mut conditions = object::items(&pod["status"]["conditions"]).to_vec();
        conditions.retain(|old| old["type"] != "DisruptionTarget");
        conditions.push(condition);
        pod["status"]["conditions"] = json!(conditions);
        Ok(())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(phase: &str, ready: &str) -> Value {
        json!({"metadata": {"labels": {"app": "web"}}, "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn budget(name: &str, allowed: i64, healthy: i64, observed: i64) -> Arc<Value> {
        Arc::new(json!({
            "metadata": {"name": name, "generation": 1},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": 2, "observedGeneration": observed}
        }))
    }

    fn other() -> Arc<Value> {
        Arc::new(
            json!({"metadata": {"name": "o"}, "spec": {"selector": {"matchLabels": {"app": "other"}}}}),
        )
    }

    #[test]
    fn a_budget_decides_by_its_status_and_only_for_pods_that_count() {
        let running = pod("Running", "True");
        let blocked = |text: &str, wait| Decision::Blocked(text.to_owned(), wait);
        let mut terminating = running.clone();
        terminating["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let mut always = (*budget("b", 0, 1, 1)).clone();
        always["spec"]["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
        for (case, pod, budgets, decision) in [
            ("no budget", &running, vec![other()], Decision::Free),
            ("one to give", &running, vec![budget("b", 1, 3, 1), other()], Decision::Spend("b".into())),
            ("none to give", &running, vec![budget("b", 0, 2, 1)], blocked("The disruption budget b needs 2 healthy pods and has 2 currently", 0)),
            ("not counted yet", &running, vec![budget("b", 1, 3, 0)], blocked("The disruption budget b is still being processed by the server.", 10)),
            ("two budgets", &running, vec![budget("b", 1, 3, 1), budget("c", 1, 3, 1)], Decision::TwoBudgets),
            ("negative", &running, vec![budget("b", -1, 3, 1)], Decision::Broken("poddisruptionbudgets.policy \"b\" is forbidden: pdb disruptions allowed is negative".into())),
            ("terminal", &pod("Failed", "False"), vec![budget("b", 0, 2, 1)], Decision::Free),
            ("pending", &pod("Pending", "False"), vec![budget("b", 0, 2, 1)], Decision::Free),
            ("terminating", &terminating, vec![budget("b", 0, 2, 1)], Decision::Free),
            ("not ready, others are", &pod("Running", "False"), vec![budget("b", 0, 2, 1)], Decision::Free),
            ("not ready, others neither", &pod("Running", "False"), vec![budget("b", 0, 1, 1)], blocked("The disruption budget b needs 2 healthy pods and has 1 currently", 0)),
            ("not ready, always allowed", &pod("Running", "False"), vec![Arc::new(always)], Decision::Free),
        ] {
            assert_eq!(decide(pod, &budgets), decision, "{case}");
        }
    }

    #[test]
    fn a_blocked_eviction_names_its_budget_in_a_cause() {
        let status = super::blocked("why", 10).to_object();
        assert_eq!(status["code"], 429);
        assert_eq!(status["reason"], "TooManyRequests");
        assert_eq!(status["details"]["retryAfterSeconds"], 10);
        assert_eq!(status["details"]["causes"][0]["reason"], "DisruptionBudget");
        assert_eq!(super::blocked("why", 0).retry_after(), None);
    }
}
