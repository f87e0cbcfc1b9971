//! How are single pods deleted and evicted?

use super::change::{Field, ObjectRef};
use super::executor::StepError;
use super::rollout::Goal;
use super::stepping::{AGAIN, Stepping, failed};
use crate::cluster::{Call, Exchange, PodView};
use kube::core::Status;
use serde_json::{Value, json};
use std::time::Duration;

/// How long to wait after a refused eviction where the server does not say.
const BUDGET_PATIENCE: Duration = Duration::from_secs(2);

/// What the API server made of an eviction (facts 1.12).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Eviction {
    /// The pod is being deleted.
    Accepted,
    /// It is gone already.
    Gone,
    /// A disruption budget holds it back.
    Budget { words: String, wait: Duration },
    /// The server has no time.
    Throttled { wait: Duration },
    /// Writes crossed each other.
    Conflict,
    /// It will never be accepted.
    Refused { words: String },
}

impl Stepping<'_> {
    pub(super) async fn delete_pods(
        &mut self,
        number: u32,
        grace: Option<Duration>,
    ) -> Result<(), StepError> {
        let victims = self.victims(number).await?;
        for pod in &victims {
            let mut options = json!({
                "kind": "DeleteOptions",
                "apiVersion": "v1",
                "preconditions": {"uid": pod.uid},
            });
            if let Some(grace) = grace {
                options["gracePeriodSeconds"] = json!(grace.as_secs());
            }
            self.delete(pod, options).await?;
        }
        self.await_replacement(victims).await
    }

    async fn delete(&mut self, pod: &PodView, options: Value) -> Result<(), StepError> {
        let act = format!("delete pod {}", pod.name);
        let object = self.pod_ref(pod);
        loop {
            let change = self.intend_pod(pod, &object)?;
            let call = Call::delete(object.path.clone(), options.clone());
            let error = match self.attempt(&call).await {
                Ok(exchange) => match self.executor.cluster.refusal(&exchange) {
                    None => {
                        self.done(change);
                        self.report
                            .changed
                            .push(format!("deleted pod {}", pod.name));
                        return Ok(());
                    }
                    Some(error) => {
                        self.not_made(change, &error)?;
                        error
                    }
                },
                Err(error) => error,
            };
            // Deleted by somebody else, or by a call of ours whose answer was lost.
            if error.is_not_found() || error.is_conflict() {
                self.note(format!("pod {} was gone already", pod.name));
                return Ok(());
            }
            self.survive(&act, error).await?;
        }
    }

    /// Evicts pods side by side, as `kubectl drain` does; what a budget holds back is asked again.
    pub(super) async fn evict(&mut self, number: u32) -> Result<(), StepError> {
        let victims = self.victims(number).await?;
        let mut waiting: Vec<PodView> = victims.clone();
        loop {
            let mut wait = Duration::ZERO;
            let mut last = String::new();
            let mut held = Vec::new();
            for pod in waiting {
                match self.evict_once(&pod).await? {
                    Eviction::Accepted => {
                        self.report
                            .changed
                            .push(format!("evicted pod {}", pod.name));
                    }
                    Eviction::Gone => self.note(format!("pod {} was gone already", pod.name)),
                    Eviction::Refused { words } => {
                        return Err(Self::impossible(format!(
                            "pod {} cannot be evicted: {words}",
                            pod.name
                        )));
                    }
                    Eviction::Budget { words, wait: asked } => {
                        last = format!("the eviction of {} waits: {words}", pod.name);
                        wait = wait.max(asked);
                        held.push(pod);
                    }
                    Eviction::Throttled { wait: asked } => {
                        last = format!("the API server throttles the eviction of {}", pod.name);
                        wait = wait.max(asked);
                        held.push(pod);
                    }
                    Eviction::Conflict => {
                        last = format!("the eviction of {} met another change", pod.name);
                        wait = wait.max(AGAIN);
                        held.push(pod);
                    }
                }
                if !last.is_empty() && self.report.notes.last() != Some(&last) {
                    self.note(last.clone());
                }
            }
            if held.is_empty() {
                break;
            }
            waiting = held;
            self.again(wait, &last).await?;
        }
        self.await_replacement(victims).await
    }

    async fn evict_once(&mut self, pod: &PodView) -> Result<Eviction, StepError> {
        let act = format!("evict pod {}", pod.name);
        let object = self.pod_ref(pod);
        let body = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": self.executor.target.namespace},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        });
        let call = Call::post(format!("{}/eviction", object.path), body);
        loop {
            let change = self.intend_pod(pod, &object)?;
            let exchange = match self.attempt(&call).await {
                Ok(exchange) => exchange,
                Err(error) => {
                    self.survive(&act, error).await?;
                    continue;
                }
            };
            let eviction = judge(&exchange);
            match (&eviction, self.executor.cluster.refusal(&exchange)) {
                (Some(Eviction::Accepted), _) => self.done(change),
                (Some(_), Some(error)) => self.not_made(change, &error)?,
                (Some(_), None) => {}
                (None, Some(error)) => {
                    self.not_made(change, &error)?;
                    self.survive(&act, error).await?;
                    continue;
                }
                (None, None) => {}
            }
            return eviction.ok_or_else(|| {
                let words = "the answer to an eviction is none that is known";
                failed(&act, self.executor.cluster.unknown_answer(&exchange, words))
            });
        }
    }

    /// Ready pods of the workload, the first ones by name.
    async fn victims(&mut self, number: u32) -> Result<Vec<PodView>, StepError> {
        let pods = self.pods().await?;
        let ready: Vec<PodView> = pods
            .into_iter()
            .filter(|pod| pod.ready && !pod.terminating)
            .collect();
        let number = number as usize;
        if ready.len() < number {
            return Err(Self::impossible(format!(
                "{number} ready pods are to go and there are {}\n\
                 hint: scale the workload up first, or take fewer",
                ready.len()
            )));
        }
        Ok(ready.into_iter().take(number).collect())
    }

    async fn await_replacement(&mut self, victims: Vec<PodView>) -> Result<(), StepError> {
        let view = self.workload().await?;
        self.await_rollout(Goal {
            generation: view.metadata.generation.unwrap_or(0),
            old: victims,
            replicas: None,
        })
        .await
    }

    fn pod_ref(&self, pod: &PodView) -> ObjectRef {
        let namespace = &self.executor.target.namespace;
        ObjectRef {
            name: format!("pod/{}", pod.name),
            path: format!("/api/v1/namespaces/{namespace}/pods/{}", pod.name),
            uid: pod.uid.clone(),
        }
    }

    fn intend_pod(&mut self, pod: &PodView, object: &ObjectRef) -> Result<u64, StepError> {
        let uid = json!(pod.uid);
        let version = &pod.resource_version;
        self.intend(object, &Field::Pod, uid, &Value::Null, version)
    }
}

/// What an eviction's answer means; `None`: nothing that is known.
fn judge(exchange: &Exchange) -> Option<Eviction> {
    let body = exchange.status_body().unwrap_or_default();
    // The body may contradict the status line (facts 1.12): it is the one that is meant.
    let code = if body.is_failure() && body.code >= 400 {
        body.code
    } else {
        exchange.status()
    };
    verdict(code, &body)
}

fn verdict(code: u16, body: &Status) -> Option<Eviction> {
    let details = body.details.as_ref();
    let wait = details
        .map(|details| u64::from(details.retry_after_seconds))
        .filter(|seconds| *seconds > 0)
        .map_or(BUDGET_PATIENCE, Duration::from_secs);
    let budget: Vec<&str> = details
        .iter()
        .flat_map(|details| &details.causes)
        .filter(|cause| cause.reason == "DisruptionBudget")
        .map(|cause| cause.message.as_str())
        .collect();
    match code {
        200..=299 => Some(Eviction::Accepted),
        404 => Some(Eviction::Gone),
        409 => Some(Eviction::Conflict),
        429 if budget.is_empty() => Some(Eviction::Throttled { wait }),
        429 => Some(Eviction::Budget {
            words: budget.join("; "),
            wait,
        }),
        500 if body.message.contains("more than one PodDisruptionBudget") => {
            Some(Eviction::Refused {
                words: format!(
                    "{}\nhint: let one disruption budget select the pod",
                    body.message
                ),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str, causes: Value, retry: u64) -> Status {
        serde_json::from_value(json!({
            "kind": "Status", "status": "Failure", "code": code, "message": message,
            "reason": "", "details": {"causes": causes, "retryAfterSeconds": retry}
        }))
        .unwrap()
    }

    #[test]
    fn an_eviction_is_judged_by_its_body_and_a_429_by_its_cause() {
        let budget = json!([{
            "reason": "DisruptionBudget",
            "message": "The disruption budget demo needs 2 healthy pods and has 2 currently"
        }]);
        let two = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        for (status, expected) in [
            (
                status(429, "", budget, 10),
                Some(Eviction::Budget {
                    words: "The disruption budget demo needs 2 healthy pods and has 2 currently"
                        .to_owned(),
                    wait: Duration::from_secs(10),
                }),
            ),
            (
                status(429, "", json!([]), 0),
                Some(Eviction::Throttled {
                    wait: BUDGET_PATIENCE,
                }),
            ),
            (
                status(500, two, json!([]), 0),
                Some(Eviction::Refused {
                    words: format!("{two}\nhint: let one disruption budget select the pod"),
                }),
            ),
            (status(500, "etcd is away", json!([]), 0), None),
            (status(404, "", json!([]), 0), Some(Eviction::Gone)),
        ] {
            assert_eq!(verdict(status.code, &status), expected);
        }
    }
}
