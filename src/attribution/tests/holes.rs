//! Logs with a hole: what nobody saw is neither silence nor nought.

use super::stage::{AT, SECOND, STAYS, Stage};
use super::{Findings, Missing, PodFinding, SidecarKind};

fn pod(found: &Findings) -> &PodFinding {
    let mut pods = found.pods.iter();
    pods.find(|pod| pod.pod == "old-1").expect("it was deleted")
}

#[test]
fn calls_of_a_pod_whose_proxys_end_nobody_saw_are_not_called_held() {
    for (calls, counted) in [(0, Some(0)), (1, None)] {
        let mut stage = Stage::with_sidecar(Some(SidecarKind::Classic)).with_old_pods();
        stage.delete("old-1", AT, 12 * SECOND, STAYS);
        for _ in 0..calls {
            let text = "notify: connect: connection refused";
            stage.log("old-1", "app", AT + 8 * SECOND, text);
        }
        let found = stage.explain();
        assert_eq!(pod(&found).sidecar_lead_s, None);
        assert_eq!(pod(&found).outbound_failures, counted);
        assert!(pod(&found).missing.contains(&Missing::ExitCodes));
    }
}
