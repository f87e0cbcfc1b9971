//! Each scenario of the mesh that breaks stands beside those that cure it.

use super::{documents, files};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The broken ones whose cures are not called after them, with `-cured`.
const OTHERWISE: &[(&str, &[&str])] = &[
    ("mesh-access-log-off", &["mesh-access-log-on"]),
    (
        "mesh-sidecar-first",
        &[
            "mesh-sidecar-first-drain-duration",
            "mesh-sidecar-first-minimum",
            "mesh-sidecar-first-native",
        ],
    ),
];

fn cures(broken: &str) -> Vec<String> {
    let otherwise = OTHERWISE.iter().find(|(name, _)| *name == broken);
    match otherwise {
        Some((_, cures)) => cures.iter().map(|name| (*name).to_owned()).collect(),
        None => vec![format!("{broken}-cured")],
    }
}

/// The scenarios of the mesh, by name.
fn mesh() -> BTreeMap<String, Value> {
    let named = files("scenarios", "yaml").into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, documents(&path).remove(0))
    });
    named
        .filter(|(name, _)| name.starts_with("mesh-"))
        .collect()
}

fn passes(scenario: &Value) -> bool {
    scenario["metadata"]["annotations"]["lastwatch.dev/expected-verdict"] == "PASS"
}

#[test]
fn every_broken_scenario_of_the_mesh_has_a_repaired_one_under_the_same_load() {
    let mesh = mesh();
    let mut claimed = BTreeSet::new();
    for (name, broken) in mesh.iter().filter(|(_, scenario)| !passes(scenario)) {
        for cure in cures(name) {
            let cured = mesh.get(&cure);
            let cured = cured.unwrap_or_else(|| panic!("{name} has no cure {cure}"));
            assert!(passes(cured), "{cure} is to end PASS");
            let [target, load] = ["target", "load"].map(|part| &broken["spec"][part]);
            assert_eq!(cured["spec"]["target"], *target, "{cure}");
            assert_eq!(cured["spec"]["load"], *load, "{cure}");
            claimed.insert(cure);
        }
        let text = fs::read_to_string(format!("scenarios/{name}.yaml")).unwrap();
        assert!(text.contains("Cured by"), "{name} tells what cures it");
    }
    let repaired = mesh.iter().filter(|(_, scenario)| passes(scenario));
    let repaired: BTreeSet<String> = repaired.map(|(name, _)| name.clone()).collect();
    assert_eq!(claimed, repaired, "each repaired one cures a broken one");
}
