//! Proxies' logs in a format that nobody declared: what is not understood is counted, and its silence
//! says nothing.

use super::stage::{AT, Ending, Line, MILLI, SECOND, STAYS, Stage};
use super::{Findings, Missing, NotUnderstood, SidecarKind};

/// An access line by a format of somebody's own.
const FOREIGN: &str = "GET / 200 125a4afb-6f55-94ba-ad80-413f09f48a28";

/// `old-1` is deleted; its sidecar has logged so many requests as we know it, and so many otherwise.
fn found(known: i64, foreign: i64) -> Findings {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    stage.answers("local", SECOND, 9 * SECOND, 10, &["old-1", "old-2"]);
    for number in 0..known {
        let at = 2 * SECOND + number * MILLI;
        stage.server_line("old-1", "before", at, MILLI, Line::PASSED_ON);
    }
    stage.agent("old-1", 3 * SECOND, "Effective config: binaryPath: envoy");
    let goes_on = 3 * SECOND + MILLI;
    stage.log("old-1", "istio-proxy", goes_on, "concurrency: 2");
    for number in 0..foreign {
        let at = 4 * SECOND + number * MILLI;
        stage.log("old-1", "istio-proxy", at, FOREIGN);
    }
    stage.end("old-1", AT, Ending::serves_on(), STAYS);
    stage.explain()
}

#[test]
fn a_log_that_was_mostly_not_understood_has_not_shown_which_requests_there_were() {
    for (known, foreign, unseen) in [
        (0, 0, true),
        (1, 0, false),
        (1, 4, false),
        (1, 5, true),
        (9, 12, false),
        (9, 13, true),
        (0, 1, true),
    ] {
        let found = found(known, foreign);
        let pod = found.pods.iter().find(|pod| pod.pod == "old-1").unwrap();
        let missing = pod.missing.contains(&Missing::AccessLogs);
        assert_eq!(missing, unseen, "{known}, {foreign}");
        assert!(!pod.missing.contains(&Missing::AgentLogs));
    }
}

#[test]
fn lines_that_were_not_understood_are_counted_without_those_that_go_on_with_a_message() {
    assert_eq!(found(5, 0).logs_not_understood, []);
    let counted = &found(5, 7).logs_not_understood;
    let [log] = counted.as_slice() else {
        panic!("{counted:?}");
    };
    let NotUnderstood {
        pod,
        container,
        lines,
        of_lines,
    } = log;
    assert_eq!((pod.as_str(), container.as_str()), ("old-1", "istio-proxy"));
    // The agent tells of its proxy's end in some lines of its own.
    assert_eq!(*lines, 7);
    assert!(*of_lines > 5 + 2 + 7, "{of_lines}");
}
