//! Access lines that do not carry the id of the request: joined by peer, time and path.

use super::stage::{Ending, Line, MILLI, SECOND, Stage};
use super::{Cause, Confidence, Findings, SidecarKind};
use crate::evidence::{Outcome, RequestPhase};

const STAYS: &[(&str, bool, bool, bool)] = &[("old-2", true, true, false)];
const AT: i64 = 12 * SECOND;
const REFUSED: &str = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";

/// `old-1`'s app ends at once behind its proxy, and a plain client gets its proxy's 503.
fn refused(id: &str) -> Stage {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.end("old-1", AT, Ending::at_once(), STAYS);
    fail(&mut stage, id, AT + SECOND);
    stage
}

fn fail(stage: &mut Stage, id: &str, sent: i64) {
    let status = Outcome::Status {
        code: 503,
        grpc: None,
    };
    let request = stage.fail(sent, 30 * MILLI, status, RequestPhase::Body);
    id.clone_into(&mut request.request_id);
    request.response.body = Some(REFUSED.to_owned());
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
