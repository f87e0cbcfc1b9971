//! The lab's sidecars end as the recorded ones did, mode by mode: what the agent says, in which
//! order and how far apart, with which exit codes the containers end, and which ends first.
//!
//! What is expected is read from the recordings, and so is what is set up: each recorded workload is
//! applied to a lab, with the lab's test app for the recorded one, its pod is deleted under a real
//! Envoy (`scripts/get-envoy`), and its end is compared. Where namespaces are not permitted there is
//! nothing to compare, and the test says so.

#![cfg(target_os = "linux")]

#[path = "lab/archive.rs"]
mod archive;
#[path = "lab/come_up.rs"]
mod come_up;
#[path = "lab_modes/ending.rs"]
mod ending;
#[path = "lab/inside.rs"]
mod inside;
#[path = "lab/namespaces.rs"]
mod namespaces;
#[path = "lab_modes/practice.rs"]
mod practice;
#[path = "lab_modes/recorded.rs"]
mod recorded;
#[path = "lab/up.rs"]
mod up;
#[path = "lab_modes/workload.rs"]
mod workload;

use ending::Ending;
use practice::Practice;
use recorded::Recording;
use std::collections::BTreeMap;

/// The modes of Deployments, with the milliseconds of a request that was on its way to each deleted
/// pod; 0: it made no difference.
const DEPLOYMENTS: &[(&str, u32)] = &[
    ("default", 0),
    ("copied", 0),
    ("exit-zero-minimum", 0),
    ("drain-duration", 0),
    ("native", 0),
    ("native-shed", 0),
    ("grace", 0),
    ("grace-cut", 11_000),
    ("deaf", 0),
    ("long", 8_000),
    ("nopre", 0),
];

/// A busy machine slows the lab down, so the best of some pods shows its own pace.
const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_end_as_the_recorded_ones_did_mode_by_mode() {
    let recordings: BTreeMap<&str, Recording> = DEPLOYMENTS
        .iter()
        .map(|(mode, _)| (*mode, Recording::of(mode)))
        .collect();
    let mut objects = workload::services();
    let deployments = recordings.iter();
    objects.extend(deployments.map(|(mode, own)| workload::deployment(mode, &own.workload)));
    let Some(practice) = Practice::start(&objects).await else {
        return;
    };
    let mut left: Vec<(&str, u32)> = DEPLOYMENTS.to_vec();
    let mut faults = BTreeMap::new();
    for round in 1..=ROUNDS {
        faults = BTreeMap::new();
        let ended = end_all(&practice, &left).await;
        for (mode, ending) in &ended {
            let unlike = ending.unlike(&recordings[mode].endings);
            if !unlike.is_empty() {
                println!("round {round}, {mode}, {}: {unlike:#?}", ending.pod);
                faults.insert(*mode, unlike);
            }
        }
        left.retain(|(mode, _)| faults.contains_key(mode));
        if left.is_empty() {
            break;
        }
    }
    assert!(
        faults.is_empty(),
        "in {ROUNDS} rounds, at last: {faults:#?}"
    );
}

/// Deletes a pod of each mode; gives how they ended.
async fn end_all<'m>(practice: &Practice, modes: &[(&'m str, u32)]) -> Vec<(&'m str, Ending)> {
    let mut pods = Vec::new();
    for (mode, millis) in modes {
        let pod = practice.pod(mode).await;
        pods.push((*mode, *millis, practice.follow(&pod), pod));
    }
    let mut requests = Vec::new();
    for (_, millis, _, pod) in &pods {
        if *millis > 0 {
            requests.push(practice.send(pod, *millis));
        }
        practice.delete(pod).await;
    }
    let mut ended = Vec::new();
    for (mode, _, log, pod) in pods {
        practice
            .until(&pod, "is gone", |pod| pod["gone"] == true)
            .await;
        let log = log.await.expect("the log's reader");
        let deleted = practice.truth(&pod, &[("kind", "deleting")]).await;
        ended.push((mode, practice.ending(&pod, &log, deleted)));
    }
    drop(requests);
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_of_jobs_end_or_stay_as_the_recorded_ones_did() {
    let modes = ["job", "job-quit"];
    let recordings = modes.map(|mode| (mode, Recording::of(mode)));
    let jobs = recordings
        .each_ref()
        .map(|(mode, recorded)| workload::job(mode, &recorded.workload));
    let Some(practice) = Practice::start(&jobs).await else {
        return;
    };
    for (mode, recording) in &recordings {
        let pod = practice.created(mode).await;
        let done = practice
            .truth(&pod, &[("kind", "ended"), ("container", "app")])
            .await;
        if recording
            .endings
            .iter()
            .all(|ending| ending.agent.is_none())
        {
            practice.outlives(&pod, done).await;
        } else {
            let ended = |pod: &serde_json::Value| pod["status"]["phase"] == "Succeeded";
            practice.until(&pod, "succeeds", ended).await;
        }
        let log = practice.log(&pod).await;
        let ending = practice.ending(&pod, &log, done);
        let faults = ending.unlike(&recording.endings);
        assert!(faults.is_empty(), "{mode}: {faults:#?}\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_dies_takes_the_agent_with_it_and_the_agent_says_so() {
    let mut objects = workload::services();
    objects.push(stock());
    let Some(practice) = Practice::start(&objects).await else {
        return;
    };
    let pod = practice.pod("default").await;
    practice.kill_envoy(&pod);
    let restarted = |pod: &serde_json::Value| {
        let statuses = pod["status"]["containerStatuses"].as_array();
        let mut statuses = statuses.into_iter().flatten();
        statuses.any(|own| own["name"] == "istio-proxy" && own["restartCount"] == 1)
    };
    practice.until(&pod, "has a new sidecar", restarted).await;
    let log = practice.previous_log(&pod).await;
    let said: Vec<_> = log.lines().rev().take(2).collect();
    assert!(
        said[0].ends_with("Envoy exited with error: signal: killed"),
        "{log}"
    );
    assert!(
        said[1].contains("Envoy may have been out of memory killed"),
        "{log}"
    );
}

/// The recorded workload with the defaults.
fn stock() -> serde_json::Value {
    workload::deployment("default", &Recording::of("default").workload)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_held_starts_when_its_proxy_is_ready() {
    let mut held = stock();
    held["spec"]["template"]["metadata"]["annotations"] =
        serde_json::json!({"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"});
    let mut objects = workload::services();
    objects.push(held);
    let Some(practice) = Practice::start(&objects).await else {
        return;
    };
    let pod = practice.pod("default").await;
    let started = |container| [("kind", "started"), ("container", container)];
    let proxy = practice.truth(&pod, &started("istio-proxy")).await;
    let app = practice.truth(&pod, &started("app")).await;
    let listening = practice.listening(&pod, 15_006).expect("Envoy listens");
    assert!(
        proxy < listening && listening < app,
        "{proxy} {listening} {app}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoys_lines_tell_the_time_of_its_node() {
    let mut objects = workload::services();
    objects.push(stock());
    let lab = serde_json::json!({"clockSkew": {"node1": "7300ms", "node2": "7300ms"}});
    let Some(practice) = Practice::set_up(&objects, lab).await else {
        return;
    };
    let pod = practice.pod("default").await;
    let request = practice.send(&pod, 1_000);
    let now = jiff::Timestamp::now();
    drop(request);
    let line = practice.line(&pod, "/delay?ms=1000 ").await;
    let stamp = line.split(['[', ']']).nth(1).expect("a stamp");
    let at: jiff::Timestamp = stamp
        .parse()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    let ahead = at.duration_since(now).as_secs_f64();
    assert!((5.3..7.4).contains(&ahead), "{ahead} s: {line}");
}
