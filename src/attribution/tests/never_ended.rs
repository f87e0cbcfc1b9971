//! A sidecar that stays behind its app keeps a pod that nobody deletes from being done.

use super::stage::{AT, MILLI, SECOND, Stage, both, stamp};
use super::{Findings, SidecarKind};
use crate::evidence::{Change, Resource};
use serde_json::json;

/// The app of a pod ends with `code`, and the pod stays; `waits`: it is to be started again.
fn left(policy: Option<&str>, code: i64, waits: bool) -> Findings {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    let ended = json!({"terminated": {"exitCode": code, "reason": "Error",
        "startedAt": stamp(-60 * SECOND), "finishedAt": stamp(AT)}});
    let mut pod = stage.pod("new-1", ended.clone(), None, false);
    if waits {
        let status = &mut pod["status"]["containerStatuses"][0];
        status["lastState"] = ended;
        status["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    }
    if let Some(policy) = policy {
        pod["spec"]["restartPolicy"] = json!(policy);
    }
    stage.object(AT + 300 * MILLI, Resource::Pods, Change::Added, pod);
    stage.slice(AT + 8 * SECOND, &both((true, true, false)));
    stage.explain()
}

#[test]
fn a_sidecar_stays_for_good_only_behind_an_app_that_is_not_started_again() {
    for (policy, code, waits, hazard) in [
        (Some("Never"), 0, false, true),
        (Some("Never"), 1, false, true),
        (Some("OnFailure"), 0, false, true),
        (Some("OnFailure"), 1, false, false),
        (Some("OnFailure"), 1, true, false),
        (Some("Always"), 0, true, false),
        (Some("Always"), 1, true, false),
        (None, 1, true, false),
    ] {
        let found = left(policy, code, waits);
        let hazards = found.pods.iter().flat_map(|pod| &pod.hazards);
        let told = hazards.filter(|hazard| *hazard == "sidecar-never-ended");
        assert_eq!(
            told.count(),
            usize::from(hazard),
            "{policy:?} {code} {waits}"
        );
    }
}
