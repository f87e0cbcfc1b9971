//! How fast may a workload roll out, by its own settings?

use super::workload::WorkloadView;
use k8s_openapi::api::core::v1::{Container, PodSpec, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::time::Duration;

/// What a Deployment has where its strategy says nothing.
const QUARTER: &str = "25%";

/// A rollout's settings, as far as they say how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    surge: IntOrString,
    unavailable: IntOrString,
    recreate: bool,
    /// From the start of a pod's containers until it may count as available: what its probes allow
    /// and `minReadySeconds`.
    pub ready: Duration,
    /// `progressDeadlineSeconds`: so long without progress, and its controller gives up.
    pub progress_deadline: Option<Duration>,
}

impl Pace {
    pub(super) fn of(view: &WorkloadView) -> Self {
        let strategy = view.spec.strategy.clone().unwrap_or_default();
        let rolling = strategy.rolling_update.unwrap_or_default();
        let portion = |written: Option<IntOrString>| {
            written.unwrap_or_else(|| IntOrString::String(QUARTER.to_owned()))
        };
        let pod = view.spec.template.spec.clone().unwrap_or_default();
        let deadline = view.spec.progress_deadline_seconds;
        Self {
            surge: portion(rolling.max_surge),
            unavailable: portion(rolling.max_unavailable),
            recreate: strategy.type_.as_deref() == Some("Recreate"),
            ready: starting(&pod) + seconds(view.spec.min_ready_seconds),
            progress_deadline: deadline.map(|deadline| seconds(Some(deadline))),
        }
    }

    /// After how many rounds all of so many pods are replaced.
    pub fn rounds(&self, replicas: u32) -> u32 {
        if self.recreate {
            return 1;
        }
        let surge = portion(&self.surge, replicas, true);
        let unavailable = portion(&self.unavailable, replicas, false);
        let at_a_time = surge.saturating_add(unavailable).max(1);
        replicas.div_ceil(at_a_time).max(1)
    }
}

/// `maxSurge` is rounded up, `maxUnavailable` down.
fn portion(value: &IntOrString, replicas: u32, up: bool) -> u32 {
    match value {
        IntOrString::Int(number) => u32::try_from(*number).unwrap_or(0),
        IntOrString::String(text) => {
            let percent: u64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let hundredths = percent.saturating_mul(u64::from(replicas));
            let whole = if up {
                hundredths.div_ceil(100)
            } else {
                hundredths / 100
            };
            u32::try_from(whole).unwrap_or(u32::MAX)
        }
    }
}

/// Native sidecars start one after the other, then all containers together.
fn starting(pod: &PodSpec) -> Duration {
    let native = pod.init_containers.iter().flatten();
    let native = native.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let before: Duration = native
        .map(|sidecar| allowed(sidecar.startup_probe.as_ref()))
        .sum();
    let main = pod.containers.iter().map(available).max();
    before + main.unwrap_or_default()
}

fn available(container: &Container) -> Duration {
    let ready = container
        .readiness_probe
        .as_ref()
        .map_or(Duration::ZERO, |probe| {
            let successes = probe.success_threshold.unwrap_or(1);
            delay(probe) + period(probe) * u32::try_from(successes).unwrap_or(1)
        });
    allowed(container.startup_probe.as_ref()) + ready
}

/// For how long a startup probe lets a container start.
fn allowed(startup: Option<&Probe>) -> Duration {
    startup.map_or(Duration::ZERO, |probe| {
        let failures = probe.failure_threshold.unwrap_or(3);
        delay(probe) + period(probe) * u32::try_from(failures).unwrap_or(1)
    })
}

fn delay(probe: &Probe) -> Duration {
    seconds(probe.initial_delay_seconds)
}

fn period(probe: &Probe) -> Duration {
    seconds(Some(probe.period_seconds.unwrap_or(10)))
}

fn seconds(written: Option<i32>) -> Duration {
    Duration::from_secs(u64::try_from(written.unwrap_or(0)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pace(spec: &Value, pod: &Value) -> Pace {
        let mut workload = json!({"metadata": {}, "spec": spec});
        workload["spec"]["template"] = json!({"spec": pod});
        Pace::of(&serde_json::from_value(workload).unwrap())
    }

    #[test]
    fn rounds_follow_the_strategy_with_its_roundings() {
        let rolling = |surge: Value, unavailable: Value| {
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate":
                {"maxSurge": surge, "maxUnavailable": unavailable}}})
        };
        let pod = json!({"containers": [{"name": "app"}]});
        for (spec, replicas, rounds) in [
            (json!({}), 100, 2),
            (json!({}), 3, 3),
            (rolling(json!(1), json!(0)), 100, 100),
            (rolling(json!("100%"), json!(0)), 7, 1),
            (rolling(json!(0), json!("50%")), 3, 3),
            (rolling(json!("10%"), json!("10%")), 15, 5),
            (json!({"strategy": {"type": "Recreate"}}), 9, 1),
            (json!({}), 0, 1),
        ] {
            assert_eq!(
                pace(&spec, &pod).rounds(replicas),
                rounds,
                "{spec} {replicas}"
            );
        }
    }

    #[test]
    fn a_pod_is_given_what_its_probes_and_min_ready_seconds_allow() {
        let pod = json!({
            "initContainers": [
                {"name": "migrate", "startupProbe": {"failureThreshold": 99}},
                {"name": "proxy", "restartPolicy": "Always",
                 "startupProbe": {"periodSeconds": 1, "failureThreshold": 20}}
            ],
            "containers": [
                {"name": "app", "readinessProbe": {"initialDelaySeconds": 30, "periodSeconds": 5}},
                {"name": "slow", "startupProbe": {"initialDelaySeconds": 10}}
            ]
        });
        let spec = json!({"minReadySeconds": 7, "progressDeadlineSeconds": 900});
        let pace = pace(&spec, &pod);
        assert_eq!(pace.ready, Duration::from_secs(20 + 40 + 7));
        assert_eq!(pace.progress_deadline, Some(Duration::from_secs(900)));
    }
}
