//! A sidecar that lived on and logged nothing of a request hardly had it.

use super::stage::{AT, Ending, Line, MILLI, SECOND, Stage};
use super::{Cause, SidecarKind};
use crate::evidence::{Blindness, EventKind, Outcome, RequestPhase, RunOffset};

const CUT: &str = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";

/// What is known of the sidecar of `old-2`.
#[derive(Clone, Copy)]
struct Sidecar {
    /// It logged a request before the failure.
    on: bool,
    /// Its end after the deletion; its agent says so in its log.
    ends: i64,
    /// It logged the request itself.
    own: bool,
    /// Its log has a gap.
    gap: bool,
    /// Most of its log is in a format that is not known.
    foreign: bool,
}

/// A plain client's request that a pod's sidecar answered: its app had ended under it. The app of
/// `old-2` ended then, which is deleted, and that of `old-1`, which crashed and whose log is cut.
fn cause(sidecar: Sidecar) -> Cause {
    let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
    let ending = Ending {
        app: (SECOND, 0),
        proxy: (sidecar.ends, 0),
        ..Ending::at_once()
    };
    stage.end("old-2", AT, ending, &[("old-1", true, true, false)]);
    stage.crash("old-1", AT + SECOND, 3, "Error");
    let (sent, end) = (AT + 200 * MILLI, AT + 1_005 * MILLI);
    let status = Outcome::Status {
        code: 503,
        grpc: None,
    };
    let request = stage.fail(sent, end - sent, status, RequestPhase::Body);
    request.request_id = "the-request".to_owned();
    request.response.body = Some(CUT.to_owned());
    if sidecar.on {
        stage.server_line("old-2", "before", AT - SECOND, MILLI, Line::PASSED_ON);
    }
    if sidecar.own {
        stage.server_line("old-2", "the-request", sent, end - sent, Line::CUT);
    }
    if sidecar.foreign {
        for number in 2..9 {
            let at = AT - number * SECOND;
            stage.log("old-2", "istio-proxy", at, "GET / 200 the-request");
        }
    }
    if sidecar.gap {
        let gap = Blindness {
            what: "logs/old-2/istio-proxy".to_owned(),
            from: Some(RunOffset(AT)),
            to: Some(RunOffset(AT + 2 * SECOND)),
            reason: "the stream broke".to_owned(),
            uids: None,
            resumed: false,
        };
        stage.at(AT, EventKind::Blind(gap));
    }
    stage.explain().failures[0].cause
}

#[test]
fn a_silent_sidecar_that_lived_on_speaks_against_its_pod() {
    let silent = Sidecar {
        on: true,
        ends: 5_040 * MILLI,
        own: false,
        gap: false,
        foreign: false,
    };
    let ends = |ends| Sidecar { ends, ..silent };
    for (what, sidecar, expected) in [
        ("nothing is logged", silent, Cause::ContainerCrashed),
        (
            "it has the line",
            Sidecar {
                own: true,
                ..silent
            },
            Cause::InFlightCut,
        ),
        ("it ended at once", ends(1_100 * MILLI), Cause::InFlightCut),
        (
            "it may not have written",
            ends(2_200 * MILLI),
            Cause::InFlightCut,
        ),
        (
            "its access log may be off",
            Sidecar {
                on: false,
                ..silent
            },
            Cause::InFlightCut,
        ),
        (
            "its line may be one that was not understood",
            Sidecar {
                foreign: true,
                ..silent
            },
            Cause::InFlightCut,
        ),
        (
            "its log has a gap",
            Sidecar {
                gap: true,
                ..silent
            },
            Cause::InFlightCut,
        ),
    ] {
        assert_eq!(cause(sidecar), expected, "{what}");
    }
}
