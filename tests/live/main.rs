//! `lastwatch run` against a cluster that misbehaves: a clear message or a recorded gap, never a
//! panic, never a PASS whose evidence is gone, nothing left changed.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its cluster has failed, and the panic says where"
)]

mod api_faults;
mod client_pod;
mod clock_step;
mod disk;
mod flood;
mod gateways;
mod lease;
mod leftovers;
mod limits;
mod lost;
#[path = "../lab/namespaces.rs"]
mod namespaces;
mod node;
mod panics;
mod practice;
mod proxies;
#[path = "../lab/record.rs"]
mod record;
mod repeat;
#[path = "../lab/rest.rs"]
mod rest;
#[path = "../lab/shown.rs"]
mod shown;
mod signals;
mod unanswered;
#[path = "../lab/wait.rs"]
mod wait;

use practice::{NAMESPACE, Practice, wait_for};
use serde_json::Value;
use shown::shown;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Steps of a run that changes nothing.
const QUIET: &str = "[{wait: 3s}]";

/// Gates that such a run can hold.
const NO_EXPOSURE: &str = "  gates: {minExposure: off}";

fn begin(practice: &Practice, scenario: &Path) -> Child {
    begin_with(practice, scenario, &[])
}

/// Begins a run through a command, of these words, that starts the one after it.
fn begin_with(practice: &Practice, scenario: &Path, around: &[&str]) -> Child {
    let run = practice.command(scenario);
    let words = std::iter::once(run.get_program()).chain(run.get_args());
    let around = around.iter().map(std::ffi::OsStr::new);
    let mut words = around.chain(words);
    let mut command = Command::new(words.next().expect("at least the program"));
    command.args(words).arg("--yes");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn phase(name: &'static str) -> impl Fn(&Value) -> bool {
    move |event| event["kind"]["phase"] == name
}

fn phases(practice: &Practice) -> Vec<String> {
    let events = practice.events().into_iter();
    let phases = events.filter_map(|event| Some(event["kind"]["phase"].as_str()?.to_owned()));
    phases.collect()
}

/// The Deployment has been scaled to one.
fn is_one(demo: &Value) -> bool {
    demo["spec"]["replicas"] == 1
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let text = shown(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Nothing of the run is left in the cluster.
#[track_caller]
fn left_nothing(practice: &Practice) {
    let (_, leases) = practice.store.list("leases", Some(NAMESPACE));
    assert!(leases.is_empty(), "{leases:#?}");
}

#[test]
fn a_run_goes_from_self_proof_to_report() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let output = practice.command(&scenario).output().unwrap();
    let text = shown(&output);
    let expected = ["self-proof", "baseline", "disruption", "settle", "finished"];
    assert_eq!(phases(&practice), expected, "{text}");
    let report = practice.report();
    let events = practice.events();
    let sent: u64 = events
        .iter()
        .filter_map(|event| event["kind"]["requests"]["ok"].as_u64())
        .sum();
    assert!(sent > 150, "50 a second for five seconds: {text}");
    assert_eq!(report["failures"], serde_json::json!([]), "{text}");
    let timed = events
        .iter()
        .filter(|event| event["kind"]["api"].is_object());
    assert!(
        timed.count() > 25,
        "the API server's clock is measured: {text}"
    );
    left_nothing(&practice);
}

#[test]
fn a_repeated_run_has_one_baseline_and_disturbs_as_often_as_it_says() {
    let practice = Practice::start();
    let scenario = practice.scenario("[{wait: 1s}]", "  repeat: {times: 2}");
    let text = shown(&practice.command(&scenario).output().unwrap());
    let round = ["disruption", "settle"].as_slice();
    let expected = [&["self-proof", "baseline"], round, round, &["finished"]].concat();
    assert_eq!(phases(&practice), expected, "{text}");
    assert!(text.contains("round 2 of at most 2"), "{text}");
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let practice = Practice::start();
    let scenario = practice.scenario("[{rollingRestart: {}}, {scale: {to: 1}}]", "");
    let output = practice.command(&scenario).arg("--dry-run").output();
    let text = ended(&output.unwrap(), 0);
    for part in [
        "deployment/demo with 2 pods",
        "rollingRestart",
        "set spec.replicas to 1",
        "nothing was changed",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let changes = practice.api.requests().into_iter();
    let changes: Vec<_> = changes
        .filter(|request| !["get", "list", "watch"].contains(&request.verb))
        .collect();
    assert!(changes.is_empty(), "{changes:#?}");
    assert!(!practice.run_directory().exists());
}

#[test]
fn a_disruption_that_nobody_agreed_to_is_not_begun() {
    let practice = Practice::start();
    let scenario = practice.scenario("[{rollingRestart: {}}]", "");
    let mut command = practice.command(&scenario);
    let text = ended(&command.stdin(Stdio::null()).output().unwrap(), 64);
    assert!(
        text.contains("disturb `deployment/demo` (rollingRestart)"),
        "{text}"
    );
    assert!(text.contains("hint: agree with `--yes`"), "{text}");
    assert!(!practice.run_directory().exists());
}

#[test]
fn a_request_that_changes_something_needs_the_consent_that_a_disruption_needs() {
    let practice = Practice::start();
    let scenario = practice.scenario("[{wait: 1s}]", NO_EXPOSURE);
    let text = std::fs::read_to_string(&scenario).unwrap();
    let text = text.replace("path: /,", "path: /orders, method: POST,");
    std::fs::write(&scenario, text).unwrap();
    let mut command = practice.command(&scenario);
    let text = ended(&command.stdin(Stdio::null()).output().unwrap(), 64);
    let told = "send POST requests of class `fast` to `/orders`";
    assert!(text.contains(told), "{text}");
    assert!(text.contains("hint: agree with `--yes`"), "{text}");
    assert_eq!(practice.heard(), Vec::<String>::new(), "{text}");
    assert!(!practice.run_directory().exists(), "{text}");
    let output = practice.command(&scenario).arg("--yes").output();
    let text = shown(&output.unwrap());
    assert!(phases(&practice).contains(&"finished".to_owned()), "{text}");
    let heard = practice.heard();
    let orders = heard
        .iter()
        .filter(|line| **line == "POST /orders HTTP/1.1");
    assert!(orders.count() > 100, "50 a second for five seconds: {text}");
}

#[test]
fn a_scenario_with_faults_tells_all_of_them_at_once() {
    let practice = Practice::start();
    let scenario = practice.scenario("[{rollingRestrt: {}}]", "  gates: {maxFaild: 0}");
    let text = ended(&practice.command(&scenario).output().unwrap(), 64);
    assert!(
        text.contains("rollingRestart") && text.contains("maxFailed"),
        "{text}"
    );
}

#[test]
fn a_workload_that_does_not_exist_is_answered_with_those_that_do() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, "");
    let text = std::fs::read_to_string(&scenario).unwrap();
    std::fs::write(&scenario, text.replace("deployment/demo", "deployment/dmo")).unwrap();
    let text = ended(&practice.command(&scenario).output().unwrap(), 64);
    assert!(
        text.contains("deployment `dmo` not found in namespace `shop`"),
        "{text}"
    );
    assert!(text.contains("did you mean `demo`?"), "{text}");
}

#[test]
fn a_missing_right_to_patch_is_told_with_the_role_that_grants_it() {
    let practice = Practice::start();
    practice.log_in_without("deployments", "patch");
    let scenario = practice.scenario("[{rollingRestart: {}}]", "");
    let output = practice.command(&scenario).arg("--yes").output();
    let text = ended(&output.unwrap(), 69);
    assert!(
        text.contains("deployments") && text.contains("patch"),
        "{text}"
    );
    assert!(text.contains("kind: Role"), "{text}");
    assert!(!practice.run_directory().exists(), "{text}");
}

#[test]
fn a_service_that_selects_other_pods_is_refused() {
    let practice = Practice::start();
    let select = |service: &mut Value| {
        service["spec"]["selector"] = serde_json::json!({"app": "other"});
        Ok(())
    };
    practice
        .store
        .update("services", Some(NAMESPACE), "demo", select)
        .unwrap();
    let scenario = practice.scenario(QUIET, "");
    let text = ended(&practice.command(&scenario).output().unwrap(), 64);
    assert!(
        text.contains("service `demo` does not select the pods of `deployment/demo`"),
        "{text}"
    );
}

#[test]
fn an_expired_token_is_told_before_anything_begins() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, "");
    practice.api.revoke_token(&practice.token);
    let text = ended(&practice.command(&scenario).output().unwrap(), 69);
    assert!(
        text.to_lowercase().contains("unauthorized") || text.contains("credentials"),
        "{text}"
    );
    assert!(text.contains("hint:"), "{text}");
    assert!(!practice.run_directory().exists());
}

#[test]
fn an_api_server_that_is_not_there_is_told_with_its_address() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, "");
    practice.api.outage(Duration::from_secs(600));
    practice.wait_for_outage();
    let text = ended(&practice.command(&scenario).output().unwrap(), 69);
    assert!(
        text.contains("cannot reach the API server at `http://127.0.0.1:"),
        "{text}"
    );
}

#[test]
fn a_target_whose_address_nobody_answers_is_no_run() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, "");
    let text = std::fs::read_to_string(&scenario).unwrap();
    // A network that is reserved for documentation: nobody is there.
    let text = text.replace("service: demo", "url: 'http://192.0.2.1'");
    std::fs::write(&scenario, text).unwrap();
    let text = ended(&practice.command(&scenario).output().unwrap(), 69);
    assert!(
        text.contains("nothing answers at `192.0.2.1:80` from here"),
        "{text}"
    );
    assert!(
        !phases(&practice).contains(&"baseline".to_owned()),
        "{text}"
    );
    left_nothing(&practice);
}

#[test]
fn a_restart_of_the_api_server_is_a_gap_and_the_run_goes_on() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    practice.wait_for_event("disruption", phase("disruption"));
    practice.api.outage(Duration::from_secs(2));
    let text = shown(&run.wait_with_output().unwrap());
    assert!(phases(&practice).contains(&"finished".to_owned()), "{text}");
    for what in ["pods", "endpointslices"] {
        let gaps = practice.blind(what);
        assert_eq!(gaps.len(), 1, "{what}: {gaps:?} {text}");
        assert!(
            gaps[0]["from"].is_i64() && gaps[0]["to"].is_i64(),
            "{gaps:?}"
        );
    }
    left_nothing(&practice);
}

#[test]
fn a_history_that_is_forgotten_is_a_gap_with_the_uids_that_exist() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    practice.wait_for_event("disruption", phase("disruption"));
    practice.api.outage(Duration::from_secs(1));
    practice.wait_for_outage();
    practice.touch("demo-1-a");
    practice.api.expire_history();
    let text = shown(&run.wait_with_output().unwrap());
    let gaps = practice.blind("pods");
    assert_eq!(gaps.len(), 1, "{gaps:?} {text}");
    let uids = gaps[0]["uids"].as_array().expect("after a list");
    assert_eq!(uids.len(), 2, "{gaps:?}");
    left_nothing(&practice);
}

#[test]
fn cut_watches_and_logs_are_resumed_without_loss_or_doubling() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    practice.wait_for_event("disruption", phase("disruption"));
    practice.logs.write("before the cut");
    let log = practice.run_directory().join("logs/demo-1-a/app.log");
    wait_for("line before the cut", || {
        let read = std::fs::read_to_string(&log).unwrap_or_default();
        let there = read.contains("before the cut");
        there.then_some(()).ok_or(read)
    });
    practice.api.cut_watches();
    practice.logs.write("after the cut");
    let text = shown(&run.wait_with_output().unwrap());
    let log = std::fs::read_to_string(log).expect("the log was followed");
    for line in ["listening", "before the cut", "after the cut"] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log} {text}");
    }
    assert_eq!(
        practice.blind("logs/demo-1-a/app"),
        Vec::<Value>::new(),
        "{text}"
    );
    assert_eq!(practice.blind("pods"), Vec::<Value>::new(), "{text}");
    let events = practice.events();
    let broken = events
        .iter()
        .any(|event| event["kind"]["log"]["state"] == "broken");
    assert!(broken, "the cut itself is recorded: {text}");
}

#[test]
fn throttling_is_waited_out() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    practice.wait_for_event("self-proof", phase("self-proof"));
    practice.api.throttle(30, 1);
    let text = shown(&run.wait_with_output().unwrap());
    assert!(phases(&practice).contains(&"finished".to_owned()), "{text}");
    left_nothing(&practice);
}

#[test]
fn more_failures_than_the_scenario_allows_end_the_run() {
    let practice = Practice::start();
    let more = "  abortAfterFailed: 20";
    let scenario = practice.scenario("[{wait: 60s}]", more);
    let text = std::fs::read_to_string(&scenario).unwrap();
    std::fs::write(
        &scenario,
        text.replace("path: /,", "path: /, expect: {status: 404},"),
    )
    .unwrap();
    let text = ended(&practice.command(&scenario).output().unwrap(), 2);
    assert!(
        text.contains("more than `abortAfterFailed` allows (20)"),
        "{text}"
    );
    left_nothing(&practice);
}
