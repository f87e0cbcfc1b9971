//! What would a run do, for how long, and how would it be undone?

use super::change::RESTARTED_AT;
use super::executor::describe;
use super::patience::with_timeouts;
use crate::cluster::{Cluster, ResolvedTarget, RunLock};
use crate::scenario::{Action, Plan, Stage};
use std::fmt::Write;
use std::time::Duration;

/// The plan in words; nothing was written to get it.
pub fn dry_run(cluster: &Cluster, plan: &Plan, target: &ResolvedTarget) -> String {
    let plan = &with_timeouts(plan.clone(), target);
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    line("dry run: nothing was changed and no request was sent".to_owned());
    line(format!(
        "cluster  {} at {}, namespace {}",
        cluster.context(),
        cluster.server(),
        cluster.namespace()
    ));
    line(format!("target   {}", aim(plan, target)));
    let (shortest, longest) = length(plan);
    line(format!(
        "length   {shortest:?} and what the steps take; at most {longest:?}"
    ));
    line(format!(
        "load     {} to {} requests, each run",
        requests(&plan.load.stages, shortest),
        requests(&plan.load.stages, longest)
    ));
    if plan.repeat.max > 1 {
        line(format!("repeated at most {} times", plan.repeat.max));
    }
    line("steps".to_owned());
    for (index, step) in plan.steps.iter().enumerate() {
        line(format!(
            "  {}. {}: {}, within {:?}",
            index + 1,
            step.action.name(),
            describe(&step.action),
            step.timeout.unwrap_or_default()
        ));
        line(format!("     undone: {}", undone(&step.action, target)));
    }
    let lock = RunLock::new(cluster, &target.workload, "");
    line(format!(
        "also     a Lease {} keeps other runs away; it is removed at the end",
        lock.lease()
    ));
    text
}

fn aim(plan: &Plan, target: &ResolvedTarget) -> String {
    let pods = format!(
        "{} with {} pods, grace period {:?}",
        target.workload, target.replicas, target.grace
    );
    match (&target.service, &plan.target.url) {
        (_, Some(url)) => format!("{pods}; asked at {url}"),
        (Some(service), None) => {
            format!(
                "{pods}; asked through service {} at {}",
                service.name,
                service.address().unwrap_or_default()
            )
        }
        (None, None) => pods,
    }
}

/// The shortest and the longest time that one run takes.
fn length(plan: &Plan) -> (Duration, Duration) {
    let around = plan.load.baseline + plan.load.settle;
    let waits = plan.steps.iter().map(|step| match &step.action {
        Action::Wait { duration } => *duration,
        _ => Duration::ZERO,
    });
    let timeouts = plan.steps.iter().map(|step| match &step.action {
        Action::Wait { duration } => *duration,
        _ => step.timeout.unwrap_or_default(),
    });
    (
        around + waits.sum::<Duration>(),
        around + timeouts.sum::<Duration>(),
    )
}

/// How many requests the stages send in this time; the last one goes on to the end.
fn requests(stages: &[Stage], length: Duration) -> u64 {
    let mut left = length.as_secs_f64();
    let mut sent = 0.0;
    for (index, stage) in stages.iter().enumerate() {
        let last = index + 1 == stages.len();
        let lasts = stage.duration.filter(|_| !last);
        let seconds = lasts.map_or(left, |lasts| lasts.as_secs_f64().min(left));
        sent += stage.rate * seconds;
        left -= seconds;
    }
    sent.round() as u64
}

fn undone(action: &Action, target: &ResolvedTarget) -> String {
    match action {
        Action::RollingRestart => format!(
            "the annotation {RESTARTED_AT} stays, for its removal would restart every pod once more"
        ),
        Action::Scale { .. } => format!("spec.replicas goes back to {}", target.replicas),
        Action::DeletePod { .. } | Action::Evict { .. } => {
            "the controller replaces the pods".to_owned()
        }
        Action::SetImage { container, .. } => {
            let image = super::rollout::choose_container(&target.containers, container.as_deref())
                .ok()
                .and_then(|name| target.containers.iter().find(|known| known.name == name))
                .and_then(|container| container.image.clone())
                .unwrap_or_default();
            format!("the image goes back to {image}, which is one more rollout")
        }
        Action::Wait { .. } => "nothing is changed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_follow_the_stages_and_the_last_one_goes_on() {
        let stage = |rate, seconds: Option<u64>| Stage {
            rate,
            duration: seconds.map(Duration::from_secs),
        };
        let stages = [stage(10.0, Some(5)), stage(100.0, Some(2))];
        for (seconds, sent) in [(0, 0), (3, 30), (5, 50), (10, 550)] {
            assert_eq!(requests(&stages, Duration::from_secs(seconds)), sent);
        }
    }
}
