//! Requests that were saved, by what the client's own sidecar counted.

use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage};
use super::{Findings, SidecarKind};
use crate::evidence::{ClientInfo, EventKind, Harness, Outcome, RequestPhase, RetryCounts};
use std::collections::BTreeMap;

const DEMO: &str = "outbound|80||demo.n.svc.cluster.local";
const SUBSET: &str = "outbound|80|v2|demo.n.svc.cluster.local";
const OTHER: &str = "outbound|80||canary.n.svc.cluster.local";
const LIKE: &str = "outbound|80||demo.n2.svc.cluster.local";
const ADMIN: &str = "outbound|81||demo.n.svc.cluster.local";

/// The first look, before the disruption, and the last one.
const LOOKS: (i64, i64) = (9 * SECOND, 30 * SECOND);

/// A stage on which 90 requests a second were answered until the last look.
fn stage() -> Stage {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.at(
        0,
        EventKind::Client(ClientInfo {
            name: "mesh".to_owned(),
            meshed: true,
            pod: Some("loadgen".to_owned()),
            target: Some("10.96.0.9:80".to_owned()),
            counted: true,
        }),
    );
    // Its app told when it was told to end: lines of its node can be placed.
    let ending = Ending {
        reacts: Some(10 * MILLI),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, ending, STAYS);
    stage.answers("mesh", 0, 29 * SECOND, 90, &["old-2"]);
    stage.server_line("old-2", "id-0", SECOND, 8 * MILLI, Line::PASSED_ON);
    stage
}

fn look(stage: &mut Stage, at: i64, uptime: Option<u64>, saved: &[(&str, u64)]) {
    let saved = saved
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count));
    let counts = RetryCounts {
        client: "mesh".to_owned(),
        uptime,
        saved: saved.collect(),
    };
    stage.at(at, EventKind::RetriesCounted(counts));
}

fn counts(found: &Findings) -> (Option<u64>, u64) {
    (found.masked, found.masked_at_least)
}

type Counts = &'static [(&'static str, u64)];

/// What is counted; the counts at both looks; Envoy's age at the second; what is to be said.
type Case = (&'static str, Counts, Counts, Option<u64>, Option<u64>);

#[test]
fn the_difference_of_two_looks_at_one_envoy_is_what_was_saved() {
    let cases: &[Case] = &[
        ("some", &[(DEMO, 3)], &[(DEMO, 8)], Some(60), Some(5)),
        ("none", &[(DEMO, 3)], &[(DEMO, 3)], Some(60), Some(0)),
        (
            "by a subset",
            &[(SUBSET, 0)],
            &[(SUBSET, 2)],
            Some(60),
            Some(2),
        ),
        (
            "by hosts that it is routed to",
            &[(DEMO, 0), (LIKE, 1)],
            &[(DEMO, 1), (LIKE, 1), (OTHER, 4)],
            Some(60),
            Some(5),
        ),
        ("a stock mesh counts none", &[], &[], Some(60), None),
        ("not yet counted", &[], &[(DEMO, 5)], Some(60), None),
        ("no more counted", &[(DEMO, 0)], &[], Some(60), None),
        (
            "one no more",
            &[(DEMO, 0), (OTHER, 1)],
            &[(DEMO, 0)],
            Some(60),
            None,
        ),
        (
            "another Service",
            &[(LIKE, 0)],
            &[(LIKE, 5)],
            Some(60),
            None,
        ),
        ("another port", &[(ADMIN, 0)], &[(ADMIN, 5)], Some(60), None),
        ("went back", &[(DEMO, 5)], &[(DEMO, 2)], Some(60), None),
        ("a new Envoy", &[(DEMO, 0)], &[(DEMO, 5)], Some(21), None),
        (
            "just old enough",
            &[(DEMO, 0)],
            &[(DEMO, 5)],
            Some(22),
            Some(5),
        ),
        ("of any age", &[(DEMO, 0)], &[(DEMO, 5)], None, None),
    ];
    let mut wrong = BTreeMap::new();
    for (what, before, after, uptime, wanted) in cases {
        let mut stage = stage();
        look(&mut stage, LOOKS.0, Some(39), before);
        look(&mut stage, LOOKS.1, *uptime, after);
        let found = stage.explain();
        if counts(&found) != (*wanted, wanted.unwrap_or(0))
            || found.masked_hint.is_some() != wanted.is_none()
        {
            wrong.insert(what, counts(&found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn without_a_look_before_the_disruption_and_one_after_the_load_nothing_is_measured() {
    for (first, last) in [
        (None, Some(LOOKS.1)),
        (Some(LOOKS.0), None),
        (Some(11 * SECOND), Some(LOOKS.1)),
        (Some(LOOKS.0), Some(20 * SECOND)),
    ] {
        let mut stage = stage();
        for (at, count) in [(first, 0), (last, 5)] {
            if let Some(at) = at {
                look(&mut stage, at, Some(60), &[(DEMO, count)]);
            }
        }
        let found = stage.explain();
        assert_eq!(counts(&found), (None, 0), "{first:?} {last:?}");
    }
}

#[test]
fn the_setting_that_keeps_statistics_is_named_where_none_are_kept() {
    for (before, named) in [(&[][..], true), (&[(DEMO, 0)][..], false)] {
        let mut stage = stage();
        look(&mut stage, LOOKS.0, Some(39), before);
        let hint = stage.explain().masked_hint.expect("it is not measured");
        assert_eq!(hint.contains("statsInclusionRegexps"), named, "{hint}");
        assert!(hint.contains("UPSTREAM_REQUEST_ATTEMPT_COUNT"), "{hint}");
    }
}

#[test]
fn a_failure_that_may_have_been_counted_leaves_a_lower_bound() {
    let cases = [
        ("nobody knows its end", None, (None, 4)),
        (
            "the answer of the second try",
            Some(Line::PASSED_ON),
            (None, 4),
        ),
        ("the second try was cut", Some(Line::CUT), (None, 4)),
        ("all tries were spent", Some(Line::REFUSED), (Some(5), 5)),
        ("nobody was left", Some(Line::NOBODY), (Some(5), 5)),
        ("the client left", Some(Line::HUNG), (Some(5), 5)),
    ];
    for (what, line, wanted) in cases {
        let mut stage = stage();
        look(&mut stage, LOOKS.0, Some(39), &[(DEMO, 0)]);
        look(&mut stage, LOOKS.1, Some(60), &[(DEMO, 5)]);
        let (code, grpc) = (503, None);
        let outcome = Outcome::Status { code, grpc };
        let request = stage.fail(AT + SECOND, 9 * MILLI, outcome, RequestPhase::Body);
        request.request_id = "id-1".to_owned();
        request.client = "mesh".to_owned();
        if let Some(line) = line {
            stage.client_line("id-1", AT + SECOND, 8 * MILLI, "10.0.0.1:8080", line);
        }
        assert_eq!(counts(&stage.explain()), wanted, "{what}");
    }
}

#[test]
fn of_failures_that_were_not_stored_nobody_knows_the_end() {
    for (saved, wanted) in [(5, (None, 3)), (0, (Some(0), 0))] {
        let mut stage = stage();
        look(&mut stage, LOOKS.0, Some(39), &[(DEMO, 0)]);
        look(&mut stage, LOOKS.1, Some(60), &[(DEMO, saved)]);
        let harness = Harness {
            scope: "total".to_owned(),
            unstored_failures: 2,
            ..Harness::default()
        };
        stage.at(LOOKS.1, EventKind::Harness(harness));
        assert_eq!(counts(&stage.explain()), wanted);
    }
}

#[test]
fn what_answers_or_lines_count_comes_first() {
    let mut stage = stage();
    look(&mut stage, LOOKS.0, Some(39), &[(DEMO, 0)]);
    look(&mut stage, LOOKS.1, Some(60), &[(DEMO, 5)]);
    let line = serde_json::json!({
        "start_time": super::stage::fine_stamp(AT + SECOND, 3), "response_code": 200,
        "response_flags": "-", "request_id": "id-1", "upstream_cluster": DEMO,
        "upstream_service_time": "3", "upstream_request_attempt_count": 1,
    });
    stage.log("loadgen", "istio-proxy", AT + SECOND, &line.to_string());
    assert_eq!(counts(&stage.explain()), (Some(0), 0));
}

#[test]
fn what_the_servers_sidecars_saved_is_no_part_of_what_the_clients_counted() {
    for (by_client, by_servers, wanted, unsure) in [
        (0, 0, 0, 0),
        (0, 2, 2, 0),
        // They may be the same requests.
        (2, 1, 2, 1),
        (1, 2, 2, 1),
    ] {
        let mut stage = stage();
        look(&mut stage, LOOKS.0, Some(39), &[(DEMO, 0)]);
        look(&mut stage, LOOKS.1, Some(60), &[(DEMO, by_client)]);
        for number in 0..by_servers {
            let line = serde_json::json!({
                "start_time": super::stage::fine_stamp(AT + SECOND, 3), "response_code": 200,
                "response_flags": "-", "request_id": format!("id-{number}"),
                "upstream_cluster": "inbound|8080||", "upstream_service_time": "3",
                "upstream_request_attempt_count": 2,
            });
            stage.log("old-2", "istio-proxy", AT + SECOND, &line.to_string());
        }
        let found = stage.explain();
        assert_eq!(
            counts(&found),
            (Some(wanted), wanted),
            "{by_client}, {by_servers}"
        );
        assert_eq!(found.masked_unsure, unsure, "{by_client}, {by_servers}");
    }
}
