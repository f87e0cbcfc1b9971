//! Every line that a claim rests on is quoted with it.

use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage, address};
use super::{Cause, SidecarKind};
use crate::attribution::{Attribution, Evidence};
use crate::evidence::{Outcome, RequestPhase};

/// A meshed client's 503 for `old-1`, which ends as told, with the lines of both sides.
fn explained(
    ending: Ending,
    (sent, took): (i64, i64),
    client: Line<'_>,
    server: Option<Line<'_>>,
) -> Attribution {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.client("mesh", true);
    stage.end("old-1", AT, ending, STAYS);
    let status = Outcome::Status {
        code: 503,
        grpc: None,
    };
    let request = stage.fail(sent, took, status, RequestPhase::Body);
    request.client = "mesh".to_owned();
    request.request_id = "the-request".to_owned();
    request.response.body = Some("as the lines say".to_owned());
    let host = format!("{}:8080", address("old-1"));
    stage.client_line("the-request", sent, took, &host, client);
    if let Some(line) = server {
        stage.server_line("old-1", "the-request", sent, took, line);
    }
    // It logs requests, this one or others.
    stage.server_line("old-1", "another", AT - SECOND, MILLI, Line::PASSED_ON);
    stage.explain().failures.remove(0)
}

fn quotes(evidence: &[Evidence], place: &str, words: &str) -> bool {
    let mut lines = evidence.iter().filter_map(|one| one.line.as_deref());
    lines.any(|line| line.starts_with(place) && line.contains(words))
}

#[test]
fn both_sides_lines_are_quoted_where_both_were_written() {
    let sent = (AT + SECOND, 30 * MILLI);
    let found = explained(
        Ending::at_once(),
        sent,
        Line::PASSED_ON,
        Some(Line::REFUSED),
    );
    assert_eq!(found.cause, Cause::EndpointPropagation);
    let told = &found.evidence;
    assert!(
        quotes(told, "loadgen/istio-proxy: ", "via_upstream"),
        "{told:?}"
    );
    assert!(
        quotes(told, "old-1/istio-proxy: ", "inbound|8080"),
        "{told:?}"
    );
}

#[test]
fn a_proxy_s_end_is_told_with_its_agent_s_word_and_with_the_line_that_is_missing() {
    let serves = Ending::serves_on();
    for (what, ending, sent, line) in [
        ("cut", serves, (AT + SECOND, 4_045 * MILLI), Line::CUT),
        (
            "refused",
            serves,
            (AT + 7 * SECOND, 60 * MILLI),
            Line::REFUSED,
        ),
    ] {
        let found = explained(ending, sent, line, None);
        assert_eq!(found.cause, Cause::SidecarExitedFirst, "{what}");
        let told = &found.evidence;
        assert!(
            quotes(told, "old-1/istio-proxy: ", "Aborting proxy"),
            "{what}: {told:?}"
        );
        assert!(
            quotes(told, "loadgen/istio-proxy: ", "outbound|80"),
            "{what}: {told:?}"
        );
        let missing = told
            .iter()
            .any(|one| one.text.contains("no line of the sidecar of `old-1`"));
        assert!(missing, "{what}: {told:?}");
    }
}

#[test]
fn what_a_proxy_decides_by_itself_is_told_with_its_line() {
    for (flags, details, cause) in [
        (
            "UO",
            "upstream_reset_before_response_started{overflow}",
            Cause::ProxyOverload,
        ),
        ("NR", "route_not_found", Cause::MeshConfig),
        ("FI", "fault_filter_abort", Cause::MeshConfig),
        (
            "-",
            "rbac_access_denied_matched_policy[none]",
            Cause::MeshConfig,
        ),
    ] {
        let line = Line {
            flags,
            details,
            ..Line::NOBODY
        };
        let found = explained(Ending::at_once(), (AT + SECOND, MILLI), line, None);
        assert_eq!(found.cause, cause, "{flags}");
        let told = &found.evidence;
        assert!(
            quotes(told, "loadgen/istio-proxy: ", details),
            "{flags}: {told:?}"
        );
        assert!(
            !told.iter().any(|one| one.text.contains("in its answer")),
            "{flags}: {told:?}"
        );
    }
}
