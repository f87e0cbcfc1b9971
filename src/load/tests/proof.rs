//! Does the generator prove itself?

use super::server::{Server, header};
use super::{class, config, plan};
use crate::evidence::{ErrorClass, Harness, RequestPhase, RunClock};
use crate::load::{prove, send_marked};

#[tokio::test]
async fn a_sound_machine_passes_the_proof_with_a_measured_slip() {
    let mut config = config(super::server::closed_port(), plan(200.0, 1_000));
    config.plan.requests.push(class("other"));
    let harness = prove(&config).await.expect("the plan is valid");
    assert_eq!(harness.scope, "proof");
    let slip = harness.slip_p99.expect("it was measured");
    // Whether this machine keeps the schedule is the machine's; that it is told is ours.
    let slow = slip >= Harness::MAX_SLIP_P99;
    assert_eq!(harness.faults.len(), usize::from(slow), "{harness:?}");
    assert!(harness.files_left > Some(0) && harness.ports_left > Some(0));
}

#[tokio::test]
async fn a_plan_beyond_the_machines_handles_is_a_fault() {
    let config = config(super::server::closed_port(), plan(1e9, 1_000));
    let harness = prove(&config).await.expect("the plan is valid");
    assert!(
        harness
            .faults
            .iter()
            .any(|fault| fault.starts_with("port-limit: "))
    );
}

#[tokio::test]
async fn a_marked_request_without_an_answer_says_how_it_failed() {
    let config = config(super::server::closed_port(), plan(50.0, 1));
    let marked = send_marked(&config, RunClock::start(), 1)
        .await
        .expect("the plan is valid")
        .expect("its class is a GET");
    let refused = (ErrorClass::Refused, RequestPhase::Connect);
    assert_eq!((marked[0].status, marked[0].failure), (None, Some(refused)));
    assert_eq!(marked[0].answered, None);
}

#[tokio::test]
async fn marked_requests_carry_the_ids_that_are_told_and_change_nothing() {
    let server = Server::start(|mut peer| {
        peer.request();
        peer.answer("hello");
    });
    let mut plan = plan(50.0, 1);
    plan.requests = vec![class("order"), class("read")];
    plan.requests[0].method = "POST".to_owned();
    let clock = RunClock::start();
    let marked = send_marked(&config(server.address, plan.clone()), clock, 4)
        .await
        .expect("the plan is valid")
        .expect("one class is a GET");
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    for (marked, head) in marked.iter().zip(&requests) {
        assert_eq!(header(head, "x-request-id"), Some(marked.id.as_str()));
        assert!(
            head.starts_with(&format!("GET /?lastwatch-id={} ", marked.id)),
            "a gateway may replace the header: {head}"
        );
        assert_eq!(
            (marked.status, marked.pod.as_deref()),
            (Some(200), Some("pod-a"))
        );
        assert_eq!(marked.failure, None);
        assert!(marked.answered > Some(marked.sent), "{marked:?}");
    }
    plan.requests.truncate(1);
    let none = send_marked(&config(server.address, plan), clock, 4).await;
    assert!(
        none.expect("the plan is valid").is_none(),
        "a POST changes something"
    );
}
