//! What do the gates of a recording say, against what truly happened?
//!
//! With evidence taken away a gate may become inconclusive; it may neither be held where the truth
//! breaks it nor be broken where the truth holds it.

use super::{Explained, Recording, vary};
use lastwatch::attribution::Missing;
use lastwatch::scenario::Gates;
use lastwatch::verdict::{Gate, GateStatus};
use serde_json::Value;

/// All gates that a recording has the evidence for.
pub(crate) fn gates() -> Gates {
    Gates {
        max_masked: Some(0),
        min_drain_margin: Some(std::time::Duration::from_secs(1)),
        ..Gates::for_import()
    }
}

/// Whether the truth breaks a gate; `None` where the truth does not tell.
fn broken_in_truth(recording: &Recording, gate: &str) -> Option<bool> {
    let hazards = |starts: &[&str]| {
        let pods = recording.pods.iter();
        let mut all = pods.flat_map(|pod| pod["hazards"].as_array().expect("hazards"));
        all.any(|hazard| {
            let hazard = hazard.as_str().unwrap_or_default();
            starts.iter().any(|start| hazard.starts_with(start))
        })
    };
    let lost = |pod: &Value| pod["outbound_failures"].as_u64().unwrap_or(0) > 0;
    match gate {
        "maxSigkills" => Some(hazards(&["sigkill:"])),
        "sidecarOutlivesApp" => Some(hazards(&["sidecar-exited-first", "sidecar-never-ended"])),
        "maxOutboundFailures" => Some(recording.pods.iter().any(lost)),
        _ => None,
    }
}

impl Explained {
    pub(crate) fn gate(&self, name: &str) -> Option<&Gate> {
        self.verdict.gates.iter().find(|gate| gate.name == name)
    }

    /// Gates that say what is not true.
    pub(crate) fn gates_wrong(&self) -> Vec<String> {
        let wrong = |gate: &&Gate| match broken_in_truth(&self.recording, &gate.name) {
            Some(true) => gate.status == GateStatus::Held,
            Some(false) => gate.status == GateStatus::Broken,
            None => false,
        };
        let gates = self.verdict.gates.iter().filter(wrong);
        gates
            .map(|gate| {
                let status = gate.status;
                format!(
                    "{}: {} is {status:?} and is not",
                    self.recording.name, gate.name
                )
            })
            .collect()
    }
}

impl Recording {
    /// A pod was being deleted at some time in this span, in seconds after the action began.
    pub(crate) fn terminated_within(&self, from: f64, to: f64) -> bool {
        let began = vary::action_began(&self.capture());
        let within = |pod: &Value| {
            let micros = |key: &str| pod[key].as_f64();
            let deleted = micros("deleted_seen")?;
            let removed = micros("removed").unwrap_or(f64::INFINITY);
            Some(deleted <= began + to * 1e6 && removed >= began + from * 1e6)
        };
        self.pods.iter().any(|pod| within(pod) == Some(true))
    }

    /// A pod was deleted.
    pub(crate) fn terminated(&self) -> bool {
        self.pods.iter().any(|pod| !pod["deleted_seen"].is_null())
    }
}

/// In every recording of which this evidence was taken away, the gate is broken on what was seen, or
/// inconclusive for want of it.
pub(crate) fn assert_never_held(
    explained: &[Explained],
    taken_away: impl Fn(&Recording) -> bool,
    gate: &str,
    missing: Missing,
) {
    let mut faults = Vec::new();
    let mut inconclusive = 0;
    for one in explained.iter().filter(|one| taken_away(&one.recording)) {
        let Some(gate) = one.gate(gate) else {
            continue;
        };
        match gate.status {
            GateStatus::Broken => {}
            GateStatus::Inconclusive if gate.missing.contains(&missing) => inconclusive += 1,
            _ => faults.push(format!("{}: {gate:?}", one.recording.name)),
        }
    }
    assert!(
        faults.is_empty(),
        "without {missing:?}\n{}",
        faults.join("\n")
    );
    assert!(inconclusive > 0, "{gate} was never inconclusive");
}
