//! Plans for tests of what is done with them.

use crate::scenario::{Plan, read_str};
use serde_json::{Value, json};
use std::path::Path;

/// The plan of a scenario with these steps on `deployment/demo`, asked as `target` says besides.
pub(super) fn plan(target: &Value, steps: &Value) -> Plan {
    let mut scenario = json!({
        "apiVersion": "lastwatch.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "x"},
        "spec": {
            "target": target,
            "load": {"rate": "10/s", "requests": [{"name": "all", "path": "/"}]},
            "steps": steps
        }
    });
    scenario["spec"]["target"]["workload"] = json!("deployment/demo");
    read_str("x.yaml", &scenario.to_string(), Path::new(""), &|_| None).unwrap()
}
