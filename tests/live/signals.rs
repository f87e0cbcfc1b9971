//! What does a run leave behind that is told to stop?

use crate::node::Node;
use crate::practice::{Practice, wait_for};
use crate::shown::shown;
use crate::{NO_EXPOSURE, begin, ended, is_one, phase, phases};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::process::Child;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const PROMPT: Duration = Duration::from_millis(200);

pub(crate) fn tell(run: &Child, signal: Signal) {
    let pid = i32::try_from(run.id()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Of a rolling restart.
fn is_restarted(demo: &Value) -> bool {
    demo["spec"]["template"]["metadata"]["annotations"].is_object()
}

/// A phase, the steps of the run, what is waited for in it, and the signal.
struct Case {
    when: &'static str,
    steps: &'static str,
    wait: fn(&Practice),
    /// The scale has been changed by then.
    changed: bool,
    signal: Signal,
}

const SCALED: &str = "[{scale: {to: 1}}, {wait: 60s}]";

#[test]
fn the_first_signal_in_each_phase_undoes_the_change_and_reports() {
    let cases = [
        Case {
            when: "self-proof",
            steps: SCALED,
            wait: |practice| practice.wait_for_event("self-proof", phase("self-proof")),
            changed: false,
            signal: Signal::SIGHUP,
        },
        Case {
            when: "baseline",
            steps: SCALED,
            wait: |practice| practice.wait_for_event("baseline", phase("baseline")),
            changed: false,
            signal: Signal::SIGTERM,
        },
        Case {
            when: "disruption, between two steps",
            steps: SCALED,
            wait: |practice| practice.wait_for_demo("change", is_one),
            changed: true,
            signal: Signal::SIGINT,
        },
        Case {
            when: "settle",
            steps: "[{scale: {to: 1}}]",
            wait: |practice| practice.wait_for_event("settle", phase("settle")),
            changed: true,
            signal: Signal::SIGTERM,
        },
    ];
    for case in cases {
        let practice = Practice::alive(&Node::new(PROMPT));
        let before = practice.at_rest();
        let scenario = practice.scenario(case.steps, NO_EXPOSURE);
        // However late the signal comes, the phase is not over before it.
        let mut text = std::fs::read_to_string(&scenario).unwrap();
        text = text.replace("settle: 3s", "settle: 60s");
        if !case.changed {
            text = text.replace("baseline: 1s", "baseline: 60s");
        }
        std::fs::write(&scenario, text).unwrap();
        let run = begin(&practice, &scenario);
        (case.wait)(&practice);
        tell(&run, case.signal);
        let text = ended(&run.wait_with_output().unwrap(), 130);
        assert_eq!(practice.at_rest(), before, "{}: {text}", case.when);
        assert_eq!(
            text.contains("restored: deployment/demo spec.replicas: `1` -> `2`"),
            case.changed,
            "{}: {text}",
            case.when
        );
        assert!(text.contains("INCONCLUSIVE"), "{}: {text}", case.when);
        assert_eq!(phases(&practice).last().unwrap(), "interrupted", "{text}");
        assert!(practice.report().is_object(), "{}", case.when);
    }
}

#[test]
fn a_signal_in_the_midst_of_a_rollout_leaves_it_to_its_controller_and_names_what_stays() {
    let node = Node::new(PROMPT);
    let practice = Practice::alive(&node);
    let before = practice.at_rest();
    node.held.store(true, Ordering::Relaxed);
    let scenario = practice.scenario("[{rollingRestart: {}}]", NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    practice.wait_for_demo("rollout", |demo| {
        is_restarted(demo) && demo["status"]["updatedReplicas"] == 2
    });
    tell(&run, Signal::SIGINT);
    let text = ended(&run.wait_with_output().unwrap(), 130);
    assert!(text.contains("left: deployment/demo"), "{text}");
    node.held.store(false, Ordering::Relaxed);
    assert_eq!(practice.at_rest(), before, "but for the annotation: {text}");
    assert!(is_restarted(&practice.demo()), "{text}");
    assert_eq!(phases(&practice).last().unwrap(), "interrupted", "{text}");
    assert!(practice.report().is_object(), "{text}");
}

#[test]
fn a_second_signal_leaves_at_once_and_restore_finishes_the_undoing() {
    let practice = Practice::alive(&Node::new(PROMPT));
    let before = practice.at_rest();
    let scenario = practice.scenario(SCALED, NO_EXPOSURE);
    let run = begin(&practice, &scenario);
    practice.wait_for_demo("change", is_one);
    practice.wait_for_event("end of the step", |event| {
        event["kind"]["step"]["state"] == "ended"
    });
    // Nothing can be undone while the API server is away.
    practice.api.outage(Duration::from_secs(16));
    let told = Instant::now();
    tell(&run, Signal::SIGINT);
    practice.wait_for_event("the first signal's effect", phase("interrupted"));
    tell(&run, Signal::SIGINT);
    let text = ended(&run.wait_with_output().unwrap(), 130);
    let before_it_is_back = Duration::from_secs(12);
    assert!(told.elapsed() < before_it_is_back, "at once: {text}");
    assert!(
        text.contains("hint: put it back with `lastwatch restore"),
        "{text}"
    );
    assert!(is_one(&practice.demo()), "{text}");
    let restored = wait_for("API server", || {
        let output = practice.restore();
        let text = shown(&output);
        output.status.success().then_some(text.clone()).ok_or(text)
    });
    assert!(restored.contains("spec.replicas: `1` -> `2`"), "{restored}");
    assert_eq!(practice.at_rest(), before, "{restored}");
}
