//! What if a run is killed and its directory is lost with it, as a Job's is with its pod?

use crate::node::Node;
use crate::practice::{NAMESPACE, Practice};
use crate::{NO_EXPOSURE, begin, ended, is_one};
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::time::Duration;

const LEASE: &str = "lastwatch-deployment-demo";

fn restore(practice: &Practice) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lastwatch"))
        .args(["restore", "--lease", LEASE, "-n", NAMESPACE, "--kubeconfig"])
        .arg(practice.kubeconfig())
        .output()
        .unwrap()
}

/// Lets the time pass after which a Lease has no living holder.
fn let_the_lease_expire(practice: &Practice) {
    let age = |lease: &mut Value| {
        lease["spec"]["renewTime"] = json!("2026-01-01T00:00:00.000000Z");
        Ok(())
    };
    practice
        .store
        .update("leases", Some(NAMESPACE), LEASE, age)
        .unwrap();
}

#[test]
fn a_run_that_is_killed_and_lost_is_undone_from_its_lease_before_the_next_one_begins() {
    let practice = Practice::alive(&Node::new(Duration::from_millis(200)));
    let before = practice.at_rest();
    let scenario = practice.scenario("[{scale: {to: 1}}, {wait: 60s}]", NO_EXPOSURE);
    let mut run = begin(&practice, &scenario);
    practice.wait_for_demo("change", is_one);
    run.kill().unwrap();
    run.wait().unwrap();
    std::fs::remove_dir_all(practice.run_directory()).unwrap();
    let text = ended(&restore(&practice), 69);
    assert!(text.contains("is at work on this workload"), "{text}");

    let_the_lease_expire(&practice);
    let next = practice.command(&scenario).arg("--yes").output().unwrap();
    let text = ended(&next, 69);
    for words in [
        "died and what it changed is not undone",
        "deployment/demo spec.replicas: `2` -> `1`",
        "`lastwatch restore --lease lastwatch-deployment-demo -n shop`",
    ] {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    assert!(is_one(&practice.demo()), "what is there was not touched");

    let text = ended(&restore(&practice), 0);
    let restored = "restored: deployment/demo spec.replicas: `1` -> `2`";
    assert!(text.contains(restored), "{text}");
    assert_eq!(practice.at_rest(), before, "{text}");
    let text = ended(&restore(&practice), 64);
    assert!(text.contains("there is nothing to restore"), "{text}");
}
