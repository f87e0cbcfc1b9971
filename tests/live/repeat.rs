//! When does a run stop to repeat itself?

use crate::node::Node;
use crate::phases;
use crate::practice::Practice;
use crate::shown::shown;
use serde_json::Value;
use std::time::Duration;

/// Runs rolling restarts until the bound; gives the rounds, the bound and the report.
fn repeated(until: &str, max: u32) -> (usize, f64, Value, String) {
    let practice = Practice::alive(&Node::new(Duration::from_secs(1)));
    let before = practice.at_rest();
    let more =
        format!("  repeat: {{untilUpperBound: {until}, max: {max}}}\n  gates: {{minExposure: 1}}");
    let scenario = practice.scenario("[{rollingRestart: {}}]", &more);
    let output = practice.command(&scenario).arg("--yes").output().unwrap();
    let text = shown(&output);
    let phases = phases(&practice);
    assert_eq!(phases.last().unwrap(), "finished", "{text}");
    let report = practice.report();
    let bound = report["bound"]["per_request"].as_f64();
    let bound = bound.unwrap_or_else(|| panic!("{} {text}", report["bound"]));
    assert_eq!(practice.at_rest(), before, "{text}");
    let rounds = phases.iter().filter(|phase| *phase == "disruption");
    (rounds.count(), bound, report, text)
}

/// What the report says of the bound among its reasons; a busy machine adds others.
fn missed(report: &Value) -> Vec<&str> {
    let reasons = report["reasons"].as_array().unwrap().iter();
    let reasons = reasons.map(|reason| reason.as_str().unwrap());
    reasons
        .filter(|reason| reason.starts_with("the upper bound of "))
        .collect()
}

#[test]
fn a_run_repeats_until_its_bound_is_reached_and_no_longer() {
    // A termination takes a second, so about 50 requests meet one: 5 % needs 59, 3 % needs 99.
    let (rounds, bound, report, text) = repeated("3%", 9);
    assert_eq!(missed(&report), [""; 0], "{text}");
    assert!(bound <= 0.03, "{bound} {text}");
    assert!((2..9).contains(&rounds), "{rounds} rounds: {text}");
}

#[test]
fn a_bound_that_is_out_of_reach_ends_with_the_greatest_number_of_rounds() {
    let (rounds, bound, report, text) = repeated("0.01%", 2);
    assert_eq!(report["verdict"], "INCONCLUSIVE", "{text}");
    let [reason] = missed(&report)[..] else {
        panic!("{text}");
    };
    assert!(
        reason.starts_with("the upper bound of 0.01 % was not reached"),
        "{reason}"
    );
    assert_eq!(rounds, 2, "{text}");
    assert!(bound > 0.0001, "{bound} {text}");
}
