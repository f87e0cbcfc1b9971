//! What if the API server fails while pods are ending?

use crate::node::Node;
use crate::practice::{Practice, wait_for};
use crate::shown::shown;
use crate::{NO_EXPOSURE, begin, ended, is_one, phases};
use lastwatch::lab::api::User;
use serde_json::Value;
use std::time::Duration;

const RESTART: &str = "[{rollingRestart: {}}]";

fn terminating(practice: &Practice) -> Result<(), String> {
    let pods = practice
        .store
        .list("pods", Some(crate::practice::NAMESPACE))
        .1;
    let one = pods
        .iter()
        .any(|pod| pod["metadata"]["deletionTimestamp"].is_string());
    one.then_some(())
        .ok_or_else(|| format!("{} pods", pods.len()))
}

/// The statuses of the gates, by name.
fn gates(practice: &Practice) -> Vec<(String, String)> {
    let report = practice.report();
    let gates = report["gates"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let status = |gate: &Value| (text(&gate["name"]), text(&gate["status"]));
    gates.iter().map(status).collect()
}

#[test]
fn a_pod_that_ends_while_the_api_server_is_away_is_no_pass() {
    let practice = Practice::alive(&Node::new(Duration::from_millis(300)));
    let before = practice.at_rest();
    let scenario = practice.scenario(RESTART, NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    wait_for("a pod that ends", || terminating(&practice));
    practice.api.outage(Duration::from_secs(3));
    let text = ended(&run.wait_with_output().unwrap(), 2);
    assert_eq!(phases(&practice).last().unwrap(), "finished", "{text}");
    let sigkills = ("maxSigkills".to_owned(), "inconclusive".to_owned());
    assert!(gates(&practice).contains(&sigkills), "{text}");
    let gaps = practice.blind("pods");
    assert_eq!(gaps.len(), 1, "{gaps:?} {text}");
    assert!(gaps[0]["to"].is_i64(), "it was seen again: {gaps:?}");
    assert_eq!(practice.at_rest(), before, "{text}");
}

#[test]
fn throttling_in_the_midst_of_a_rollout_is_waited_out_and_the_rollout_is_undone() {
    let practice = Practice::alive(&Node::new(Duration::from_millis(300)));
    let before = practice.at_rest();
    let scenario = practice.scenario("[{scale: {to: 1}}]", NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    practice.wait_for_demo("change", is_one);
    practice.api.throttle(25, 1);
    let text = shown(&run.wait_with_output().unwrap());
    assert_eq!(phases(&practice).last().unwrap(), "finished", "{text}");
    assert!(
        text.contains("restored: deployment/demo spec.replicas"),
        "{text}"
    );
    assert_eq!(practice.at_rest(), before, "{text}");
}

#[test]
fn a_token_that_expires_in_mid_run_is_told_with_the_way_to_put_back_what_was_changed() {
    let practice = Practice::alive(&Node::new(Duration::from_millis(300)));
    let before = practice.at_rest();
    let steps = "[{scale: {to: 1}}, {wait: 3s}, {scale: {to: 3}}]";
    let scenario = practice.scenario(steps, NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    // Long before the next step: what was missed for less than a second is no gap.
    practice.wait_for_event("wait", |event| {
        let step = &event["kind"]["step"];
        step["step"] == "wait" && step["state"] == "started"
    });
    practice.api.revoke_token(&practice.token);
    practice.api.cut_watches();
    let text = ended(&run.wait_with_output().unwrap(), 70);
    assert!(text.contains("log in again"), "{text}");
    assert!(
        text.contains("failed to restore: deployment/demo spec.replicas"),
        "{text}"
    );
    assert!(
        text.contains("hint: try again with `lastwatch restore"),
        "{text}"
    );
    assert!(!text.contains("PASS"), "{text}");
    assert!(!practice.blind("pods").is_empty(), "{text}");
    let token = practice.api.issue_token(User::admin());
    practice.write_kubeconfig(&token);
    let restored = practice.restore();
    assert!(restored.status.success(), "{}", shown(&restored));
    assert_eq!(practice.at_rest(), before, "{}", shown(&restored));
}
