//! Which disruptions does the scenario ask for, and can its workload bear them?

use super::{fault_at, fitting, positive};
use crate::scenario::fault::Ledger;
use crate::scenario::plan::{Action, Step, WorkloadKind};
use crate::scenario::read::{At, List};
use crate::scenario::schema::{Count, Span, StepSpec, Text};
use std::time::Duration;

/// Pods where no number is written.
const DEFAULT_PODS: u32 = 1;

/// Resolves the steps.
pub(super) fn steps(
    list: At<List<StepSpec>>,
    kind: Option<WorkloadKind>,
    ledger: &mut Ledger,
) -> Option<Vec<Step>> {
    if list.value.0.is_empty() {
        ledger.add(fault_at(
            &list,
            "is empty, so nothing would be tested",
            "for instance `- rollingRestart: {}`; `- wait: 30s` to watch only",
        ));
        return None;
    }
    let mut steps = Vec::new();
    for at in list.value.0 {
        let place = at.clone();
        let Some(step) = step(at.value, ledger) else {
            continue;
        };
        if let Some(kind) = kind
            && let Some(problem) = unbearable(kind, &step.action)
        {
            ledger.add(fault_at(
                &place,
                format!("{} {problem}", step.action.name()),
                "name a Deployment in `spec.target.workload`, or only `wait`",
            ));
        }
        steps.push(step);
    }
    Some(steps)
}

/// Why the step is none for this kind of workload.
fn unbearable(kind: WorkloadKind, action: &Action) -> Option<&'static str> {
    match kind {
        WorkloadKind::Deployment => None,
        _ if !action.disrupts() => None,
        WorkloadKind::StatefulSet | WorkloadKind::DaemonSet | WorkloadKind::Job => {
            Some("is a step for Deployments only")
        }
    }
}

fn step(written: StepSpec, ledger: &mut Ledger) -> Option<Step> {
    let (action, timeout) = match written {
        StepSpec::RollingRestart(step) => (Some(Action::RollingRestart), step.timeout),
        StepSpec::Scale(step) => (
            step.to
                .and_then(|to| fitting(&to, ledger))
                .map(|to| Action::Scale { to }),
            step.timeout,
        ),
        StepSpec::DeletePod(step) => {
            let grace = step.grace.map(|grace| whole_seconds(&grace, ledger));
            let pods = pods(step.pods, ledger);
            (
                pods.map(|pods| Action::DeletePod { pods, grace }),
                step.timeout,
            )
        }
        StepSpec::Evict(step) => (
            pods(step.pods, ledger).map(|pods| Action::Evict { pods }),
            step.timeout,
        ),
        StepSpec::SetImage(step) => {
            let container = step.container.map(|at| at.value.0);
            let image = step.image.and_then(|at| image(at, ledger));
            (
                image.map(|image| Action::SetImage { container, image }),
                step.timeout,
            )
        }
        StepSpec::Wait(at) => {
            let duration = at.value.0;
            if duration.is_zero() {
                ledger.add(at.fault("is no time at all"));
            }
            return Some(Step {
                action: Action::Wait { duration },
                timeout: None,
            });
        }
    };
    Some(Step {
        action: action?,
        timeout: timeout_of(timeout, ledger),
    })
}

fn image(at: At<Text>, ledger: &mut Ledger) -> Option<String> {
    if at.value.0.is_empty() || at.value.0.contains(char::is_whitespace) {
        ledger.add(at.fault("is no image"));
        return None;
    }
    Some(at.value.0)
}

fn timeout_of(at: Option<At<Span>>, ledger: &mut Ledger) -> Option<Duration> {
    let at = at?;
    if at.value.0 < Duration::from_secs(1) {
        ledger.add(at.fault("is too short for any step"));
    }
    Some(at.value.0)
}

fn pods(at: Option<At<Count>>, ledger: &mut Ledger) -> Option<u32> {
    match at {
        None => Some(DEFAULT_PODS),
        Some(at) => positive(&at, ledger),
    }
}

fn whole_seconds(at: &At<Span>, ledger: &mut Ledger) -> Duration {
    if at.value.0.subsec_nanos() != 0 {
        ledger.add(at.fault("is not in whole seconds, as the API wants a grace period"));
    }
    at.value.0
}
