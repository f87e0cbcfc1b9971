//! What if somebody else removes or takes the run's Lease while it is at work?

use crate::node::Node;
use crate::practice::wait_for;
use crate::practice::{NAMESPACE, Practice};
use crate::{NO_EXPOSURE, begin, ended, is_one, left_nothing, phases};
use lastwatch::lab::store::DeleteOptions;
use serde_json::{Value, json};
use std::time::Duration;

const LEASE: &str = "lastwatch-deployment-demo";

fn lease_notes(practice: &Practice) -> Vec<String> {
    let events = practice.events().into_iter();
    let steps = events.map(|event| event["kind"]["step"].clone());
    let notes = steps.filter(|step| step["step"] == "lease");
    notes.map(|note| note["text"].to_string()).collect()
}

#[test]
fn a_lease_that_is_removed_is_made_again_and_told() {
    let practice = Practice::start();
    let scenario = practice.scenario("[{wait: 60s}]", NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    practice.wait_for_event("disruption", crate::phase("disruption"));
    let removed = practice
        .store
        .delete("leases", Some(NAMESPACE), LEASE, DeleteOptions::default());
    removed.unwrap();
    wait_for("note of the lease", || {
        let notes = lease_notes(&practice);
        (!notes.is_empty())
            .then_some(())
            .ok_or_else(|| format!("{:?}", practice.events()))
    });
    let lease = practice.store.get("leases", Some(NAMESPACE), LEASE);
    assert!(lease.is_some(), "it is there again");
    crate::signals::tell(&run, nix::sys::signal::Signal::SIGINT);
    let text = ended(&run.wait_with_output().unwrap(), 130);
    assert!(
        text.contains(&format!("somebody removed this run's lease `{LEASE}`")),
        "{text}"
    );
    left_nothing(&practice);
}

#[test]
fn a_lease_that_another_run_takes_ends_this_one_undone_and_is_left_to_it() {
    let practice = Practice::alive(&Node::new(Duration::from_millis(200)));
    let before = practice.at_rest();
    let scenario = practice.scenario("[{scale: {to: 1}}, {wait: 60s}]", NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    practice.wait_for_demo("change", is_one);
    let take = |lease: &mut Value| {
        lease["spec"]["holderIdentity"] = json!("other-run");
        Ok(())
    };
    // Our own renewal may cross it, and is then what the other run overwrites.
    practice
        .store
        .update("leases", Some(NAMESPACE), LEASE, take)
        .unwrap();
    let text = ended(&run.wait_with_output().unwrap(), 70);
    assert!(
        text.contains("run `other-run` has taken over the lease"),
        "{text}"
    );
    assert!(
        text.contains("restored: deployment/demo spec.replicas"),
        "{text}"
    );
    assert_eq!(phases(&practice).last().unwrap(), "interrupted", "{text}");
    let reasons = practice.report()["reasons"].to_string();
    assert!(
        reasons.contains("lease-lost"),
        "the record says why: {reasons}"
    );
    let lease = practice
        .store
        .get("leases", Some(NAMESPACE), LEASE)
        .unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "other-run", "{text}");
    practice
        .store
        .delete("leases", Some(NAMESPACE), LEASE, DeleteOptions::default())
        .unwrap();
    assert_eq!(practice.at_rest(), before, "{text}");
}

#[test]
fn a_scenario_with_the_longest_name_can_be_run() {
    let practice = Practice::start();
    let scenario = practice.scenario("[{wait: 60s}]", NO_EXPOSURE);
    let name = "n".repeat(63);
    let text = std::fs::read_to_string(&scenario).unwrap();
    let text = text.replace("name: practice", &format!("name: {name}"));
    std::fs::write(&scenario, text).unwrap();
    let run = begin(&practice, &scenario);
    practice.wait_for_event("disruption", crate::phase("disruption"));
    let lease = practice.store.get("leases", Some(NAMESPACE), LEASE);
    let lease = lease.unwrap();
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap().to_owned();
    assert!(holder.contains(&name), "in full: {holder}");
    let label = lease["metadata"]["labels"]["lastwatch.dev/run"].as_str();
    assert_eq!(label.map(|label| &label[..20]), Some(&holder[..20]));
    crate::signals::tell(&run, nix::sys::signal::Signal::SIGINT);
    ended(&run.wait_with_output().unwrap(), 130);
    left_nothing(&practice);
}
