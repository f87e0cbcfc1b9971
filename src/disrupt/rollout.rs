//! When is a rollout over?
//!
//! When every pod that was there before is gone, whatever its status says: `kubectl rollout status`
//! returns seconds earlier, while the last old pods still answer or refuse requests.

use super::change::{Field, RESTARTED_AT};
use super::executor::StepError;
use super::stepping::Stepping;
use crate::cluster::{ContainerView, PodView, WorkloadView};
use serde_json::json;
use std::time::Duration;

/// How often a rollout is looked at.
const LOOK: Duration = Duration::from_millis(400);

/// Names of containers that a mesh injects: they are not the workload's own.
const PROXIES: &[&str] = &["istio-proxy", "istio-init", "linkerd-proxy", "linkerd-init"];

/// What a rollout must reach.
pub(super) struct Goal {
    /// Its controller must have seen this generation.
    pub(super) generation: i64,
    /// These pods must be gone.
    pub(super) old: Vec<PodView>,
    /// So many pods are wanted; somebody else may change that.
    pub(super) replicas: Option<u32>,
}

impl Stepping<'_> {
    pub(super) async fn rolling_restart(&mut self) -> Result<(), StepError> {
        let view = self.workload().await?;
        if view.spec.paused {
            return Err(Self::impossible(
                "the deployment is paused, so a restart would not start\n\
                 hint: `kubectl rollout resume` it first",
            ));
        }
        let old = self.pods().await?;
        let stamp = Self::restart_stamp(view.template_annotation(RESTARTED_AT));
        let field = Field::TemplateAnnotation {
            key: RESTARTED_AT.to_owned(),
        };
        let generation = self.change(field, json!(stamp)).await?;
        let text = format!("template annotation {RESTARTED_AT} = {stamp}");
        self.report.changed.push(text);
        self.await_rollout(Goal {
            generation: generation.unwrap_or(0),
            old,
            replicas: None,
        })
        .await
    }

    pub(super) async fn set_image(
        &mut self,
        container: Option<&str>,
        image: &str,
    ) -> Result<(), StepError> {
        let view = self.workload().await?;
        let container = choose_container(&self.executor.target.containers, container)
            .map_err(Self::impossible)?;
        let before = view.image(&container).unwrap_or("none").to_owned();
        let old = self.pods().await?;
        let field = Field::Image {
            container: container.clone(),
        };
        let Some(generation) = self.change(field, json!(image)).await? else {
            self.note(format!("container {container} has image {image} already"));
            return Ok(());
        };
        let text = format!("image of container {container}: {before} -> {image}");
        self.report.changed.push(text);
        self.await_rollout(Goal {
            generation,
            old,
            replicas: None,
        })
        .await
    }

    pub(super) async fn scale(&mut self, to: u32) -> Result<(), StepError> {
        let view = self.workload().await?;
        let from = view.wanted();
        let Some(generation) = self.change(Field::Replicas, json!(to)).await? else {
            self.note(format!("spec.replicas is {to} already"));
            return Ok(());
        };
        self.report
            .changed
            .push(format!("spec.replicas: {from} -> {to}"));
        self.await_scale(generation, to).await
    }

    /// Waits until all old pods are gone and the new ones are available.
    pub(super) async fn await_rollout(&mut self, goal: Goal) -> Result<(), StepError> {
        loop {
            let view = self.workload().await?;
            if view.progress_deadline_exceeded() && seen(&view, goal.generation) {
                let last = view.unrest().unwrap_or_default();
                return Err(StepError::ProgressDeadline { last });
            }
            let pods = self.pods().await?;
            let left: Vec<&str> = goal
                .old
                .iter()
                .filter(|old| pods.iter().any(|pod| pod.uid == old.uid))
                .map(|old| old.name.as_str())
                .collect();
            let last = match not_there(&view, &goal) {
                Some(unrest) => unrest,
                None if left.is_empty() => break,
                None => format!("old pods are still there: {}", left.join(", ")),
            };
            self.again(LOOK, &last).await?;
        }
        Ok(())
    }

    async fn await_scale(&mut self, generation: i64, to: u32) -> Result<(), StepError> {
        loop {
            let view = self.workload().await?;
            let pods = self.pods().await?;
            let goal = Goal {
                generation,
                old: Vec::new(),
                replicas: Some(to),
            };
            let surplus: Vec<&str> = pods
                .iter()
                .filter(|pod| pod.terminating)
                .map(|pod| pod.name.as_str())
                .collect();
            let there = pods.iter().filter(|pod| !pod.terminating).count();
            let last = match not_there(&view, &goal) {
                Some(unrest) => unrest,
                None if !surplus.is_empty() => {
                    format!("surplus pods are still there: {}", surplus.join(", "))
                }
                None if there != to as usize => format!("{there} of {to} pods exist"),
                None => return Ok(()),
            };
            self.again(LOOK, &last).await?;
        }
    }
}

fn seen(view: &WorkloadView, generation: i64) -> bool {
    view.status.observed_generation.unwrap_or(0) >= generation
}

/// What the workload's status still lacks.
fn not_there(view: &WorkloadView, goal: &Goal) -> Option<String> {
    if !seen(view, goal.generation) {
        return Some("its controller has not seen the change".to_owned());
    }
    let wanted = view.wanted();
    if let Some(replicas) = goal.replicas
        && i64::from(wanted) != i64::from(replicas)
    {
        return Some(format!(
            "spec.replicas is {wanted}, somebody else has set it (an autoscaler?)"
        ));
    }
    view.unrest()
}

/// The container whose image is meant.
pub(super) fn choose_container(
    containers: &[ContainerView],
    asked: Option<&str>,
) -> Result<String, String> {
    let own: Vec<&str> = containers
        .iter()
        .filter(|container| !container.init && !PROXIES.contains(&container.name.as_str()))
        .map(|container| container.name.as_str())
        .collect();
    let listed = own.join("`, `");
    match (asked, own.as_slice()) {
        (Some(asked), own) if own.contains(&asked) => Ok(asked.to_owned()),
        (Some(asked), _) => Err(format!(
            "there is no container `{asked}`\nhint: the containers there are: `{listed}`"
        )),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => Err(format!(
            "the workload has several containers\nhint: choose one with `container`: `{listed}`"
        )),
    }
}
