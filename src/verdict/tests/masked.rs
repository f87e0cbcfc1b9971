//! The gate on requests that only a retry saved.

use super::*;

/// The gate `maxMasked: 1` of pods with a sidecar.
fn judged(masked: Option<u64>, at_least: u64) -> Gate {
    let mut bed = Bed::new();
    bed.findings.pods[0].sidecar = Some(SidecarKind::Classic);
    bed.findings.masked = masked;
    bed.findings.masked_at_least = at_least;
    let gates = Gates {
        max_masked: Some(1),
        ..Gates::default()
    };
    let verdict = bed.judge(&gates);
    let mut gates = verdict.gates.into_iter();
    gates
        .find(|gate| gate.name == "maxMasked")
        .expect("it is asked for")
}

#[test]
fn a_measured_number_holds_or_breaks_the_gate() {
    assert_eq!(judged(Some(1), 1).status, GateStatus::Held);
    assert_eq!(judged(Some(2), 2).status, GateStatus::Broken);
}

#[test]
fn what_was_seen_by_chance_never_holds_the_gate_and_may_break_it() {
    for seen in [0, 1] {
        let gate = judged(None, seen);
        assert_eq!(gate.status, GateStatus::Inconclusive, "{seen}");
        assert_eq!(gate.missing, [Missing::AccessLogs]);
    }
    let gate = judged(None, 2);
    assert_eq!(
        (gate.status, gate.observed),
        (GateStatus::Broken, Some(2.0))
    );
}
