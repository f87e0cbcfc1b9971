//! Access lines that do not carry the id of the request: joined by peer, time and path.

use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage, address, stamp};
use super::{Cause, Confidence, Findings, SidecarKind};
use crate::evidence::{Change, FailedRequest, Outcome, RequestPhase, Resource};
use serde_json::json;

const REFUSED: &str = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";

/// `old-1`'s app ends at once behind its proxy, and a plain client gets its proxy's 503.
fn refused(id: &str) -> Stage {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.end("old-1", AT, Ending::at_once(), STAYS);
    fail(&mut stage, id, AT + SECOND);
    stage
}

fn fail<'s>(stage: &'s mut Stage, id: &str, sent: i64) -> &'s mut FailedRequest {
    let status = Outcome::Status {
        code: 503,
        grpc: None,
    };
    let request = stage.fail(sent, 30 * MILLI, status, RequestPhase::Body);
    id.clone_into(&mut request.request_id);
    request.response.body = Some(REFUSED.to_owned());
    request
}

fn explained(stage: Stage) -> Findings {
    let found = stage.explain();
    for failure in &found.failures {
        assert_eq!(failure.cause, Cause::EndpointPropagation);
    }
    found
}

#[test]
fn one_line_that_fits_names_the_pod() {
    for logged in ["another", "-"] {
        let mut stage = refused("mine");
        stage.server_line("old-1", logged, AT + SECOND, 29 * MILLI, Line::REFUSED);
        let found = explained(stage);
        assert_eq!(found.failures[0].pod.as_deref(), Some("old-1"), "{logged}");
    }
}

#[test]
fn a_line_that_fits_two_requests_proves_neither() {
    let mut stage = refused("mine");
    fail(&mut stage, "yours", AT + SECOND + 5 * MILLI);
    stage.server_line("old-1", "-", AT + SECOND, 29 * MILLI, Line::REFUSED);
    for failure in explained(stage).failures {
        assert_ne!(failure.confidence, Confidence::Proved);
    }
}

#[test]
fn lines_of_two_pods_that_fit_name_neither() {
    let mut stage = refused("mine");
    stage.server_line("old-1", "-", AT + SECOND, 29 * MILLI, Line::REFUSED);
    stage.server_line(
        "old-2",
        "-",
        AT + SECOND + 2 * MILLI,
        28 * MILLI,
        Line::REFUSED,
    );
    let found = explained(stage);
    assert_eq!(found.failures[0].pod, None);
    assert_ne!(found.failures[0].confidence, Confidence::Proved);
}

#[test]
fn a_line_of_another_answer_or_another_time_is_not_joined() {
    for (after, line) in [(SECOND, Line::HUNG), (9 * SECOND, Line::REFUSED)] {
        let mut stage = refused("mine");
        stage.server_line("old-1", "-", AT + after, 29 * MILLI, line);
        assert_eq!(explained(stage).failures[0].pod, None);
    }
}

#[test]
fn a_log_that_has_the_ids_of_others_is_joined_by_ids_alone() {
    let mut stage = refused("mine");
    fail(&mut stage, "lost", AT + 2 * SECOND);
    stage.server_line("old-1", "mine", AT + SECOND, 29 * MILLI, Line::REFUSED);
    stage.server_line(
        "old-1",
        "foreign",
        AT + 2 * SECOND,
        29 * MILLI,
        Line::REFUSED,
    );
    let found = explained(stage);
    assert_eq!(found.failures[0].pod.as_deref(), Some("old-1"));
    assert_eq!(found.failures[1].pod, None);
}

#[test]
fn no_guess_denies_an_answer_that_names_its_pod() {
    let mut stage = refused("mine");
    let named = fail(&mut stage, "named", AT + 2 * SECOND);
    named.response.pod = Some("old-1".to_owned());
    for pod in ["old-2", "old-1"] {
        stage.server_line(pod, "-", AT + 2 * SECOND, 29 * MILLI, Line::REFUSED);
    }
    let found = explained(stage);
    assert_eq!(found.failures[1].pod.as_deref(), Some("old-1"));
}

#[test]
fn no_guess_denies_a_line_that_has_the_id() {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.client("mesh", true);
    let running = json!({"running": {"startedAt": stamp(-60 * SECOND)}});
    let mut own = stage.pod("loadgen", running, None, true);
    own["metadata"]["ownerReferences"][0]["name"] = json!("loadgen-1");
    stage.object(0, Resource::Pods, Change::Added, own);
    stage.end("old-1", AT, Ending::at_once(), STAYS);
    let first = [("old-1", false, true, true)];
    stage.end("old-2", AT, Ending::at_once(), &first);
    fail(&mut stage, "mine", AT + SECOND).client = "mesh".to_owned();
    stage.server_line("old-1", "mine", AT + SECOND, 28 * MILLI, Line::REFUSED);
    for pod in ["old-2", "old-1"] {
        let host = format!("{}:8080", address(pod));
        stage.client_line("-", AT + SECOND, 29 * MILLI, &host, Line::PASSED_ON);
    }
    let found = explained(stage);
    assert_eq!(found.failures[0].pod.as_deref(), Some("old-1"));
}

#[test]
fn where_many_lines_fit_no_pod_is_named() {
    let mut stage = refused("mine");
    // What is kept of them, the best, is all of one pod.
    for _ in 0..64 {
        stage.server_line("old-1", "-", AT + SECOND, 30 * MILLI, Line::REFUSED);
    }
    stage.server_line("old-2", "-", AT + SECOND, 29 * MILLI, Line::REFUSED);
    let found = explained(stage);
    assert_eq!(found.failures[0].pod, None);
    assert_ne!(found.failures[0].confidence, Confidence::Proved);
}
