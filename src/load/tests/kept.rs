//! Are kept connections used as a fair client would?

use super::super::carry::Trace;
use super::super::exchange::{Link, Unanswered};
use super::super::lane::{Common, Lane};
use super::server::{Server, header};
use super::{Outcomes, config, kept, plan, run, transport};
use crate::evidence::{ConnectionKind, EventSink, FailedRequest, RunClock};
use std::collections::HashSet;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Failed requests that went out on a connection after the server had closed it. (On a busy machine
/// a server closes later than it means to, and then a request may cross the close.)
fn sent_too_late<'o>(outcomes: &'o Outcomes, server: &Server) -> Vec<&'o FailedRequest> {
    let mut failures = outcomes.failures();
    failures.retain(|failed| {
        let closed = server.closed_at(failed.local.as_deref().expect("it was connected"));
        let closed = closed.map(|at| outcomes.clock.offset_of(at));
        closed.is_some_and(|closed| failed.sent.expect("it was sent") > closed)
    });
    failures
}

#[tokio::test]
async fn a_kept_connection_whose_close_has_arrived_is_not_used_again() {
    // Closes each connection soon after its first answer, without saying so beforehand.
    let server = Server::start(|mut peer| {
        peer.request();
        peer.answer("hello");
        std::thread::sleep(Duration::from_millis(20));
    });
    let outcomes = run(config(server.address, kept(plan(25.0, 20), 2)), 20).await;
    let late = sent_too_late(&outcomes, &server);
    assert!(late.is_empty(), "{late:?}");
    let summary = &outcomes.summary;
    assert!(summary.closed_idle > 0, "{summary:?}");
    assert_eq!(summary.ok + summary.failed + summary.dropped, 20);
    assert_eq!(server.requests().len() as u64, summary.ok);
}

#[tokio::test]
async fn the_kernel_is_asked_for_the_close_that_the_runtime_has_not_heard_of() {
    let (close_tx, close_rx) = std::sync::mpsc::channel::<()>();
    let (closed_tx, closed_rx) = std::sync::mpsc::channel::<()>();
    let (close_rx, closed_tx) = (Mutex::new(close_rx), Mutex::new(closed_tx));
    let server = Server::start(move |mut peer| {
        peer.request();
        peer.answer("hello");
        close_rx.lock().unwrap().recv().expect("the test goes on");
        drop(peer);
        closed_tx
            .lock()
            .unwrap()
            .send(())
            .expect("the test goes on");
    });
    let config = config(server.address, kept(plan(1.0, 1), 1));
    let (sink, _fact_rx) = EventSink::new(RunClock::start());
    let common = Common::new(&config, sink).expect("it is valid");
    let lane = Lane::new(Arc::new(common), &config, 0, 1);
    let mut trace = Trace::new();
    let stream = lane.dialer.dial(&mut trace).await.expect("it connects");
    let mut link = Link::over(stream, 0, &trace).await.expect("it opens");
    let class = &lane.classes[0];
    let first = link.exchange(class, lane.new_id(), false, &mut trace).await;
    assert!(first.is_ok() && link.settles().await);
    // The test's thread is the runtime's: while it blocks here, the runtime hears of nothing.
    close_tx.send(()).expect("the server waits");
    closed_rx.recv().expect("the server has closed");
    let second = link.exchange(class, lane.new_id(), false, &mut trace).await;
    assert!(matches!(second, Err(Unanswered::Unused)));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_reset_that_has_arrived_on_an_idle_connection_is_no_failure_either() {
    let server = Server::start(|mut peer| {
        peer.request();
        peer.answer("hello");
        peer.reset();
    });
    let outcomes = run(config(server.address, kept(plan(25.0, 10), 1)), 10).await;
    let late = sent_too_late(&outcomes, &server);
    assert!(late.is_empty(), "{late:?}");
    let summary = &outcomes.summary;
    assert_eq!(summary.ok + summary.failed + summary.dropped, 10);
}

#[tokio::test]
async fn a_close_as_the_request_goes_out_is_evidence_with_age_count_and_idle_time() {
    let server = Server::start(|mut peer| {
        for _ in 0..2 {
            peer.request();
            peer.answer("hello");
        }
        peer.request();
    });
    let outcomes = run(config(server.address, kept(plan(20.0, 9), 1)), 9).await;
    let failures = outcomes.failures();
    // Every third of those that a busy machine did not let come in a burst.
    assert!(!failures.is_empty(), "{:?}", outcomes.summary);
    for failed in failures {
        assert_eq!(transport(failed), "WaitHeaders Closed None");
        let connection = &failed.connection;
        assert_eq!(connection.kind, ConnectionKind::Reused);
        assert_eq!(connection.requests_before, 2);
        assert!(
            connection.idle > 0 && connection.age > connection.idle,
            "{connection:?}"
        );
        assert_eq!(failed.connected, None);
        assert!(failed.written.is_some());
    }
    let sent = outcomes.summary.sent;
    assert_eq!(
        server.requests().len() as u64,
        sent,
        "no request is sent twice"
    );
}

#[tokio::test]
async fn no_request_is_ever_sent_twice() {
    let turn = AtomicUsize::new(0);
    let server = Server::start(move |mut peer| {
        while peer.request().is_some() {
            match turn.fetch_add(1, Ordering::Relaxed) % 5 {
                0 => return peer.reset(),
                1 => return,
                2 => peer.say("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"),
                _ => peer.answer("hello"),
            }
        }
    });
    let mut plan = plan(200.0, 100);
    plan.connections.new = 0.5;
    let outcomes = run(config(server.address, plan), 100).await;
    let requests = server.requests();
    let ids: HashSet<_> = requests
        .iter()
        .map(|head| header(head, "x-request-id").expect("an id").to_owned())
        .collect();
    assert_eq!(requests.len(), ids.len(), "an id came twice");
    assert_eq!(requests.len() as u64, outcomes.summary.sent);
    assert_eq!(outcomes.summary.failed, outcomes.failures().len() as u64);
    assert!(
        outcomes.summary.failed * 2 >= outcomes.summary.sent,
        "{:?}",
        outcomes.summary
    );
    for failed in outcomes.failures() {
        assert!(ids.contains(&failed.request_id));
    }
}

#[tokio::test]
async fn beyond_the_pool_an_arrival_is_dropped_and_counted() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let server = {
        let gate = Arc::clone(&gate);
        Server::start(move |mut peer| {
            while peer.request().is_some() {
                let open = gate.1.wait_while(gate.0.lock().unwrap(), |open| !*open);
                drop(open.unwrap());
                peer.answer("hello");
            }
        })
    };
    let opened = Arc::clone(&gate);
    // 10 arrivals take 200 ms; the server answers long after the last one.
    let opener = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1_500));
        *opened.0.lock().unwrap() = true;
        opened.1.notify_all();
    });
    let outcomes = run(config(server.address, kept(plan(50.0, 10), 2)), 10).await;
    opener.join().unwrap();
    // Attempts that are still connecting do not count as kept, so a burst may open one more.
    assert!(outcomes.summary.dropped >= 7, "{:?}", outcomes.summary);
    assert_eq!(outcomes.summary.ok + outcomes.summary.dropped, 10);
    assert_eq!(
        outcomes.summary.harness.dropped_arrivals,
        outcomes.summary.dropped
    );
    assert_eq!(server.requests().len() as u64, outcomes.summary.sent);
}

#[tokio::test]
async fn kept_connections_grow_to_the_pool_and_carry_the_rest() {
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&connections);
    let server = Server::start(move |mut peer| {
        seen.fetch_add(1, Ordering::Relaxed);
        while peer.request().is_some() {
            peer.answer("hello");
        }
    });
    let outcomes = run(config(server.address, kept(plan(100.0, 60), 4)), 60).await;
    let made = connections.load(Ordering::Relaxed) as u64;
    // A burst may find connects under way and open some that there is no room to keep.
    assert!(made >= 4, "{made}");
    let by_kind = |kind| {
        let of_kind = outcomes
            .summary
            .latency
            .iter()
            .filter(move |one| one.connection == kind);
        of_kind.map(|one| one.count).sum::<u64>()
    };
    assert_eq!(by_kind(ConnectionKind::New), made);
    assert_eq!(by_kind(ConnectionKind::Reused), outcomes.summary.ok - made);
    assert!(
        outcomes.summary.ok >= 10 && made < outcomes.summary.ok,
        "{:?}",
        outcomes.summary
    );
    let requests = server.requests();
    let closing = requests
        .iter()
        .filter(|head| header(head, "connection").is_some());
    assert!(
        closing.count() as u64 <= made - 4,
        "kept connections are meant to be kept"
    );
}

#[tokio::test]
async fn the_client_closes_kept_connections_after_their_most_requests() {
    let (made, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen_made, seen_most) = (Arc::clone(&made), Arc::clone(&most));
    let server = Server::start(move |mut peer| {
        seen_made.fetch_add(1, Ordering::Relaxed);
        let mut count = 0;
        while peer.request().is_some() {
            count += 1;
            seen_most.fetch_max(count, Ordering::Relaxed);
            peer.answer("hello");
        }
    });
    let mut plan = kept(plan(100.0, 30), 1);
    plan.connections.max_requests = Some(3);
    let outcomes = run(config(server.address, plan), 30).await;
    assert_eq!(outcomes.summary.failed, 0);
    let most = most.load(Ordering::Relaxed);
    assert!((2..=3).contains(&most), "{most}");
    assert!(made.load(Ordering::Relaxed) as u64 * 3 >= outcomes.summary.sent);
}

#[tokio::test]
async fn an_own_connection_is_closed_by_the_server_first() {
    let early = Arc::new(AtomicUsize::new(0));
    let closed_early = Arc::clone(&early);
    let server = Server::start(move |mut peer| {
        peer.request();
        peer.answer("hello");
        peer.stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .expect("it can be set");
        if peer.stream.read(&mut [0]).is_ok() {
            closed_early.fetch_add(1, Ordering::Relaxed);
        }
    });
    let outcomes = run(config(server.address, plan(50.0, 5)), 5).await;
    assert_eq!(outcomes.summary.ok, 5);
    assert_eq!(early.load(Ordering::Relaxed), 0, "the client closed first");
}
