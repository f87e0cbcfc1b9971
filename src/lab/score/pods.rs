//! Was what the report says of each pod true: its hazards, and the calls that its app lost?

use super::history::{History, PodHistory};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// How long before its app a sidecar must have left, and how long after an app that nobody deletes
/// it must have stayed, in nanoseconds.
const LEFT_FIRST: i64 = 500_000_000;
const NEVER_ENDED: i64 = 5_000_000_000;

/// Hazards of which the truth knows; the report may name others.
const KNOWN: [&str; 3] = [
    "term-signal-unhandled",
    "sidecar-exited-first",
    "sidecar-never-ended",
];

/// What is claimed of a pod, or true of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PodFacts {
    /// Its hazards, of the kinds that the truth knows.
    pub hazards: BTreeSet<String>,
    /// Calls that its app lost after its sidecar had left.
    pub outbound_failures: u64,
}

impl fmt::Display for PodFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hazards: Vec<_> = self.hazards.iter().map(String::as_str).collect();
        let lost = self.outbound_failures;
        write!(f, "[{}] and {lost} lost calls", hazards.join(", "))
    }
}

/// A pod of the report against the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodScore {
    /// Its name.
    pub pod: String,
    /// What the report says.
    pub said: PodFacts,
    /// What is true.
    pub truly: PodFacts,
}

impl PodScore {
    /// Whether both are the same.
    pub fn is_right(&self) -> bool {
        self.said == self.truly
    }
}

/// Compares every pod that the report names, and every other one of the same workload, or of the
/// run's target, that had something to tell. The history ends at `until`.
pub(super) fn compare(report: &Value, history: &History, until: i64) -> Vec<PodScore> {
    let said = report["pods"].as_array().map_or(&[][..], Vec::as_slice);
    let name = |pod: &Value| pod["pod"].as_str().unwrap_or_default().to_owned();
    let named: BTreeSet<String> = said.iter().map(name).collect();
    let workloads: BTreeSet<&str> = named.iter().map(|name| workload(name)).collect();
    // A report that names no pod at all has missed those of its target all the same.
    let target = report["run"]["workload"].as_str().unwrap_or_default();
    let expected = |pod: &str| workloads.contains(workload(pod)) || belongs(pod, target);
    let mut scores: Vec<_> = said
        .iter()
        .map(|pod| PodScore {
            pod: name(pod),
            said: claimed(pod),
            truly: find(history, &name(pod))
                .map_or_else(PodFacts::default, |own| truth(own, until)),
        })
        .collect();
    let others = history
        .pods()
        .iter()
        .filter(|pod| !named.contains(&pod.name) && expected(&pod.name));
    let untold = others.map(|pod| PodScore {
        pod: pod.name.clone(),
        said: PodFacts::default(),
        truly: truth(pod, until),
    });
    scores.extend(untold.filter(|score| !score.is_right()));
    scores
}

fn find<'h>(history: &'h History, name: &str) -> Option<&'h PodHistory> {
    history.pods().iter().find(|pod| pod.name == name)
}

/// A pod's name without what its ReplicaSet, and the Deployment before it, have added.
fn workload(pod: &str) -> &str {
    let set = pod.rsplit_once('-').map_or(pod, |(set, _)| set);
    set.rsplit_once('-').map_or(set, |(workload, _)| workload)
}

/// Whether a pod is one of a target's, which is written `deployment/demo` or `job/work`.
fn belongs(pod: &str, target: &str) -> bool {
    let Some((kind, workload)) = target.split_once('/') else {
        return false;
    };
    let added = pod.strip_prefix(workload);
    let added = added.and_then(|rest| rest.strip_prefix('-'));
    // A Deployment's pod has its ReplicaSet's part as well.
    let parts = if kind == "deployment" { 2 } else { 1 };
    added.is_some_and(|added| added.split('-').count() == parts)
}

fn claimed(pod: &Value) -> PodFacts {
    let hazards = pod["hazards"].as_array().into_iter().flatten();
    let hazards = hazards.filter_map(Value::as_str);
    let known = |hazard: &&str| hazard.starts_with("sigkill:") || KNOWN.contains(hazard);
    PodFacts {
        hazards: hazards.filter(known).map(str::to_owned).collect(),
        outbound_failures: pod["outbound_failures"].as_u64().unwrap_or(0),
    }
}

/// What really became of a pod.
fn truth(pod: &PodHistory, until: i64) -> PodFacts {
    let mut facts = PodFacts::default();
    let mut hazard = |word: String| facts.hazards.insert(word);
    for container in pod
        .sigkilled
        .iter()
        .filter(|own| pod.codes.get(*own) == Some(&137))
    {
        hazard(format!("sigkill:{container}"));
    }
    let deaf = pod.told.is_some_and(|(_, handled)| !handled);
    if deaf && pod.killed.is_some() {
        hazard("term-signal-unhandled".to_owned());
    }
    let app = pod.ends.last().copied();
    let proxy = pod.proxy_ends.last().copied();
    if pod.meshed
        && let Some(app) = app
    {
        let first = proxy.is_some_and(|proxy| app - proxy > LEFT_FIRST);
        if pod.deleting.is_some() && first {
            hazard("sidecar-exited-first".to_owned());
        }
        let stays = proxy.unwrap_or(until) - app >= NEVER_ENDED;
        if pod.deleting.is_none() && stays && pod.done {
            hazard("sidecar-never-ended".to_owned());
        }
    }
    if let (true, Some(proxy)) = (pod.meshed, proxy) {
        let end = app.unwrap_or(until);
        let lost = pod.lost.iter().filter(|at| (proxy..=end).contains(*at));
        facts.outbound_failures = lost.count() as u64;
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::score::testing::{at, born, call_lost, deleting, end, proxy_end, started};
    use crate::lab::truth::Record;
    use serde_json::json;

    /// The history of a pod with a sidecar.
    fn history(more: Vec<Record>) -> History {
        let mut records = vec![born(0), started(1, "app"), started(1, "istio-proxy")];
        records.extend(more);
        History::new(records)
    }

    #[test]
    fn a_sidecar_that_left_its_app_and_the_calls_lost_behind_it_are_known() {
        let history = history(vec![
            deleting(10_000),
            call_lost(12_000),
            proxy_end(15_000),
            call_lost(16_000),
            call_lost(17_000),
            end(18_000, 0),
        ]);
        let report = json!({"pods": [{"pod": "demo-1-a", "hazards": ["sidecar-exited-first", "thin-margin"], "outbound_failures": 2}]});
        let scores = compare(&report, &history, at(30_000));
        assert_eq!(scores.len(), 1);
        assert!(scores[0].is_right(), "{scores:?}");
        assert_eq!(scores[0].truly.outbound_failures, 2);
    }

    #[test]
    fn a_sidecar_that_nobody_ends_is_missed_when_the_report_is_silent() {
        let history = history(vec![end(4_000, 0)]);
        let report = json!({"pods": [{"pod": "demo-1-b", "hazards": []}]});
        let scores = compare(&report, &history, at(20_000));
        let missed = scores.iter().find(|score| !score.is_right()).unwrap();
        assert_eq!(missed.pod, "demo-1-a");
        assert!(missed.truly.hazards.contains("sidecar-never-ended"));
    }

    #[test]
    fn a_report_without_pods_has_missed_those_of_its_target() {
        let missed = |target: &str| {
            let report = json!({"pods": [], "run": {"workload": target}});
            let scores = compare(&report, &history(vec![end(4_000, 0)]), at(20_000));
            scores.iter().filter(|score| !score.is_right()).count()
        };
        assert_eq!(missed("deployment/demo"), 1);
        assert_eq!(missed("job/demo-1"), 1);
        assert_eq!(missed("deployment/other"), 0);
    }

    #[test]
    fn a_pod_belongs_to_the_workload_whose_name_its_own_begins_with() {
        assert!(belongs("demo-7c9f-x2k4z", "deployment/demo"));
        assert!(belongs("night-work-x2k4z", "job/night-work"));
        assert!(belongs("db-0", "statefulset/db"));
        assert!(!belongs("demo-1-7c9f-x2k4z", "deployment/demo"));
        assert!(!belongs("demos-7c9f-x2k4z", "deployment/demo"));
        assert!(!belongs("demo-7c9f-x2k4z", ""));
    }
}
