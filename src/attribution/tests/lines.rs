//! Lines that gates count: those that the disruption can have caused, and no older ones.

use super::SidecarKind;
use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage};

/// A run that looks for lines about a panic.
fn looking(sidecar: Option<SidecarKind>) -> Stage {
    let text = "
apiVersion: lastwatch.dev/v1alpha1
kind: Scenario
metadata: {name: lines}
spec:
  target: {workload: deployment/demo, service: demo, port: 80}
  load: {rate: 10/s, requests: [{path: /}]}
  observe: {logPatterns: [panic]}
  steps: [{rollingRestart: {}}]
";
    let folder = std::path::Path::new(".");
    let plan = crate::scenario::read_str("lines", text, folder, &|_| None).expect("a plan");
    let mut stage = Stage::with_sidecar(sidecar).with_old_pods();
    stage.plan = serde_json::to_value(plan).expect("a plan is data");
    // A line about the signal bounds the node's clock.
    let ending = Ending {
        reacts: Some(10 * MILLI),
        ..Ending::at_once()
    };
    stage.end("old-1", AT, ending, STAYS);
    stage
}

#[test]
fn only_lines_since_the_disruption_began_match() {
    for (lines, counted) in [
        (vec![], 0),
        (vec![-3_600 * SECOND, -SECOND, 2 * SECOND, 8 * SECOND], 0),
        (vec![2 * SECOND, AT], 1),
        (vec![AT, AT + SECOND, AT + 8 * SECOND], 3),
    ] {
        let mut stage = looking(None);
        for at in &lines {
            stage.log("old-2", "app", *at, "panic: oh no");
            stage.log("old-2", "app", *at, "all is well");
        }
        let found = stage.explain();
        assert_eq!(found.log_matches, counted, "{lines:?}");
        assert_eq!(found.log_matches_unsure, 0, "{lines:?}");
    }
}

#[test]
fn a_line_whose_clock_nobody_knows_is_in_doubt() {
    let mut stage = looking(None);
    stage.log("elsewhere", "app", AT + SECOND, "panic: oh no");
    let found = stage.explain();
    assert_eq!((found.log_matches, found.log_matches_unsure), (0, 1));
}

#[test]
fn only_requests_that_were_saved_since_the_disruption_began_are_masked() {
    for (at, masked) in [(3 * SECOND, 0), (AT + SECOND, 1)] {
        let mut stage = looking(Some(SidecarKind::Classic));
        let answered = Line {
            code: 200,
            ..Line::PASSED_ON
        };
        for pod in ["old-1", "old-2"] {
            stage.server_line(pod, "11111111-1111", at, 3 * MILLI, answered);
        }
        let found = stage.explain();
        assert_eq!((found.masked_at_least, found.doubled), (masked, masked));
    }
}
