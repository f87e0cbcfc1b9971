//! What a report advises for a real rollout cures it: held against the manifests that do.

#[path = "lab/archive.rs"]
mod archive;

use archive::unpack;
use lastwatch::attribution::{Cause, attribute};
use lastwatch::evidence::RunDir;
use lastwatch::report::{Advice, Report};
use lastwatch::run::{ImportOptions, import};
use lastwatch::scenario::Gates;
use lastwatch::verdict::{Limits, judge};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What the report of a recording advises about the sidecar.
fn advised(name: &str) -> Option<Advice> {
    let archive = format!("tests/testdata/recordings/{name}.tar.gz");
    let folder = unpack(Path::new(&archive));
    let out = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join(name);
    import(&capture, out.path(), &ImportOptions::default()).expect("a capture that can be read");
    let timeline = RunDir::new(out.path())
        .timeline()
        .expect("a run that can be read");
    let findings = attribute(&timeline);
    let verdict = judge(&timeline, &findings, &Gates::default(), &Limits::default());
    let mut advice = Report::new(&timeline, findings, verdict).advice.into_iter();
    advice.find(|advice| advice.cures == Cause::SidecarExitedFirst.id())
}

/// The proxy's settings that a manifest of the demo has.
fn shipped(manifest: &str) -> Value {
    let text = fs::read_to_string(format!("manifests/demo/{manifest}.yaml")).expect("a manifest");
    let documents = text
        .split("\n---\n")
        .map(|one| serde_yaml::from_str::<Value>(one).expect("YAML"));
    let annotation = "/spec/template/metadata/annotations/proxy.istio.io~1config";
    let found = documents
        .into_iter()
        .find_map(|one| Some(one.pointer(annotation)?.as_str()?.to_owned()));
    serde_yaml::from_str(&found.expect("the annotation")).expect("YAML in the annotation")
}

fn seconds(setting: &Value) -> i64 {
    let text = setting.as_str().expect("a duration");
    text.trim_end_matches('s').parse().expect("seconds")
}

/// The proxy's settings that an advice prints, as a pod template would hold them.
fn printed(advice: &Advice) -> Value {
    let manifest: Value =
        serde_yaml::from_str(advice.manifest.as_deref().expect("a manifest")).expect("YAML");
    let annotation = "/template/metadata/annotations/proxy.istio.io~1config";
    let text = manifest
        .pointer(annotation)
        .and_then(Value::as_str)
        .expect("the annotation");
    serde_yaml::from_str(text).expect("YAML in the annotation")
}

#[test]
fn the_copied_setting_is_cured_by_what_the_report_prints() {
    let mut printed = printed(&advised("mesh-copied").expect("an advice"));
    let own = seconds(&printed["proxyMetadata"]["MINIMUM_DRAIN_DURATION"]);
    let mut shipped = shipped("mesh-copied-setting-cured");
    // The app ended 21.1 s after the signal; the manifest that cures it has some more to spare.
    let cure = seconds(&shipped["proxyMetadata"]["MINIMUM_DRAIN_DURATION"]);
    assert!((22..=cure).contains(&own), "{own} s, the cure has {cure} s");
    for settings in [&mut printed, &mut shipped] {
        settings["proxyMetadata"]["MINIMUM_DRAIN_DURATION"] = Value::Null;
    }
    assert_eq!(printed, shipped, "nothing else differs");
}

#[test]
fn a_sidecar_with_the_default_period_is_cured_by_what_the_report_prints() {
    let printed = printed(&advised("mesh-default").expect("an advice"));
    let own = seconds(&printed["terminationDrainDuration"]);
    let cure = seconds(&shipped("mesh-sidecar-first-drain-duration")["terminationDrainDuration"]);
    assert!((13..=cure).contains(&own), "{own} s, the cure has {cure} s");
}

#[test]
fn a_cured_rollout_is_told_nothing_about_its_sidecar() {
    for name in [
        "mesh-drain-duration",
        "mesh-exit-zero-minimum",
        "mesh-native",
    ] {
        assert_eq!(advised(name), None, "{name}");
    }
}
