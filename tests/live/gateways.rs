//! The pods of another namespace that stand on the way.

use crate::practice::Practice;
use crate::{NO_EXPOSURE, QUIET, shown};
use serde_json::{Value, json};

const ELSEWHERE: &str = "istio-system";

fn add_pod(practice: &Practice, name: &str, container: &str) {
    let pod = json!({
        "metadata": {"name": name, "namespace": ELSEWHERE, "labels": {"app": name}},
        "spec": {"nodeName": "node1", "containers": [{"name": container, "image": "proxy"}]},
    });
    practice.store.create("pods", pod).unwrap();
}

#[test]
fn the_proxies_of_a_namespace_that_is_named_are_recorded_and_are_none_of_the_workloads() {
    let practice = Practice::start();
    add_pod(&practice, "edge", "istio-proxy");
    add_pod(&practice, "istiod", "discovery");
    let more = format!("{NO_EXPOSURE}\n  observe: {{gateways: [{ELSEWHERE}]}}");
    let scenario = practice.scenario(QUIET, &more);
    let text = shown(&practice.command(&scenario).output().unwrap());
    let recorded = |name: &str| {
        let events = practice.events();
        let is = |event: &Value| event["kind"]["object"]["object"]["metadata"]["name"] == name;
        events.iter().any(is)
    };
    assert!(recorded("edge"), "{text}");
    assert!(!recorded("istiod"), "{text}");
    let told = practice.report()["pods"].to_string();
    assert!(!told.contains("edge"), "{told}");
}
