//! Is the loop open, is latency honest, and does memory stay bounded?

use super::super::ending::Ending;
use super::super::lane::{Common, Lane};
use super::super::schedule::{Mix, Schedule};
use super::super::tally::Second;
use super::server::{Server, closed_port};
use super::{PATIENCE, class, config, kept, plan, run};
use crate::evidence::{EventKind, EventSink, RequestCounts, RunClock};
use crate::load::Generator;
use crate::scenario::RequestClass;
use crate::task::wait_until;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_stalled_server_does_not_hold_back_arrivals() {
    // Nobody is answered until all 30 requests are there: a closed loop would never get so far.
    let barrier = Arc::new(Barrier::new(30));
    let all = Arc::clone(&barrier);
    let server = Server::start(move |mut peer| {
        peer.request();
        all.wait();
        peer.answer("hello");
    });
    let mut plan = plan(200.0, 30);
    plan.connections.new = 0.5;
    plan.connections.pool = 15;
    let outcomes = run(config(server.address, plan), 30).await;
    assert_eq!(outcomes.summary.ok, 30);
    assert_eq!(outcomes.summary.dropped, 0);
}

#[tokio::test]
async fn latency_counts_from_the_intended_time_not_from_the_real_send() {
    let server = Server::start(|mut peer| {
        while peer.request().is_some() {
            peer.answer("hello");
        }
    });
    // The worker wakes 2 s late, as on a machine that stood still: every arrival was due before.
    let late = Duration::from_secs(2);
    let config = config(server.address, kept(plan(50.0, 50), 8));
    let (sink, _fact_rx) = EventSink::new(RunClock::start());
    let common = Arc::new(Common::new(&config, sink).expect("it is valid"));
    let lane = Arc::new(Lane::new(common, &config, 0, 1));
    let ending = Ending::default();
    let (schedule, mix) = (Schedule::new(&config.plan, 0, 1, 7), Mix::new(&config.plan));
    let begin = Instant::now()
        .checked_sub(late)
        .expect("the machine runs for longer");
    let thread = {
        let (lane, ending) = (Arc::clone(&lane), ending.clone());
        std::thread::spawn(move || lane.run(schedule, mix, begin, &ending))
    };
    wait_until(
        "50 answers",
        PATIENCE,
        Duration::from_millis(10),
        || async {
            let seen = server.requests().len();
            (seen >= 50 || lane.in_flight() == 0 && seen > 0)
                .then_some(())
                .ok_or(format!("{seen} requests"))
        },
    )
    .await
    .expect("they come");
    ending.end();
    thread.join().expect("no panic").expect("no error");
    let tally = lane.tally();
    for summary in tally.summaries("local", &["main"]) {
        // The last of the 50 was due 1.02 s before the worker woke.
        assert!(summary.p50 >= 1_000_000_000, "{summary:?}");
    }
    assert!(tally.slip_p99().expect("there were arrivals") >= 1_900_000_000);
}

#[test]
fn what_a_stall_held_up_until_the_end_is_counted_as_not_sent() {
    let server = Server::start(|mut peer| {
        peer.request();
        peer.answer("hello");
    });
    let config = config(server.address, plan(50.0, 1_000));
    let (sink, _fact_rx) = EventSink::new(RunClock::start());
    let common = Arc::new(Common::new(&config, sink).expect("it is valid"));
    let lane = Arc::new(Lane::new(common, &config, 0, 1));
    let (schedule, mix) = (Schedule::new(&config.plan, 0, 1, 7), Mix::new(&config.plan));
    let ending = Ending::default();
    ending.end();
    let end = ending.at().expect("it has come");
    let begin = end
        .checked_sub(Duration::from_millis(1_990))
        .expect("the machine runs for longer");
    // The worker stands still beyond the end: what becomes due meanwhile is wanted by nobody.
    std::thread::sleep(Duration::from_millis(100));
    lane.run(schedule, mix, begin, &ending).expect("no error");
    assert_eq!(lane.tally().overdue_arrivals(), 100, "0 to 1980 ms");
    let mut second = Second::new();
    lane.tally().take_second(&mut second);
    assert_eq!((second.dropped, second.ok, second.failed), (100, 0, 0));
    assert_eq!(server.requests().len(), 0, "none is sent so late");
}

#[test]
fn what_is_ordinarily_late_at_the_end_is_sent() {
    let server = Server::start(|mut peer| {
        peer.request();
        peer.answer("hello");
    });
    // All ten are due within a tenth of a millisecond before the end. Where the machine stands still
    // right now, the next attempt shows it.
    let overdue = (0..20).map(|_| {
        let config = config(server.address, plan(100_000.0, 10));
        let (sink, _fact_rx) = EventSink::new(RunClock::start());
        let common = Arc::new(Common::new(&config, sink).expect("it is valid"));
        let lane = Arc::new(Lane::new(common, &config, 0, 1));
        let (schedule, mix) = (Schedule::new(&config.plan, 0, 1, 7), Mix::new(&config.plan));
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(100) {}
        let ending = Ending::default();
        ending.end();
        lane.run(schedule, mix, begin, &ending).expect("no error");
        let mut second = Second::new();
        lane.tally().take_second(&mut second);
        assert_eq!(second.ok + second.dropped, 10, "each is accounted for");
        second.dropped
    });
    let overdue: Vec<u64> = overdue.take_while(|overdue| *overdue > 0).collect();
    assert!(overdue.len() < 20, "{overdue:?}");
}

#[tokio::test]
async fn beyond_the_limit_failures_are_counted_and_sampled() {
    let mut config = config(closed_port(), plan(200.0, 60));
    config.stored_failures = 10;
    config.sample_stride = 20;
    let outcomes = run(config, 60).await;
    assert_eq!(outcomes.summary.failed, 60);
    assert_eq!(
        outcomes.failures().len(),
        12,
        "10, then the 20th and the 40th of the others"
    );
    assert_eq!(outcomes.summary.harness.unstored_failures, 48);
    let counted: u64 = outcomes.counts().iter().map(|count| count.failed).sum();
    assert_eq!(counted, 60, "none is missing from the counts");
}

#[tokio::test]
async fn stopping_waits_for_what_is_in_flight_and_no_longer_than_its_timeout() {
    let server = Server::start(|mut peer| {
        peer.request();
        peer.hang();
    });
    let mut plan = plan(100.0, 10);
    plan.requests = vec![RequestClass {
        timeout: Duration::from_millis(1_500),
        ..class("main")
    }];
    let (sink, mut fact_rx) = EventSink::new(RunClock::start());
    let generator = Generator::start(config(server.address, plan), sink).expect("it starts");
    wait_until(
        "10 requests",
        PATIENCE,
        Duration::from_millis(5),
        || async {
            let seen = server.requests().len();
            (seen == 10).then_some(()).ok_or(format!("{seen} requests"))
        },
    )
    .await
    .expect("they come");
    let summary = tokio::time::timeout(PATIENCE, generator.stop())
        .await
        .expect("it ends")
        .expect("it ends well");
    assert_eq!((summary.sent, summary.failed), (10, 10));
    let events = super::drained(&mut fact_rx);
    let failed = events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::RequestFailed(_)));
    assert_eq!(failed.count(), 10);
    let totals = events.iter().filter(|event| match &event.kind {
        EventKind::Harness(harness) => harness.scope == "total",
        _ => false,
    });
    assert_eq!(totals.count(), 1);
}

#[tokio::test]
async fn two_workers_share_the_schedule_and_the_pool() {
    let server = Server::start(|mut peer| {
        while peer.request().is_some() {
            peer.answer("hello");
        }
    });
    let mut config = config(server.address, kept(plan(200.0, 100), 3));
    config.workers = Some(2);
    let outcomes = run(config, 100).await;
    let ok = outcomes.summary.ok;
    assert_eq!(ok + outcomes.summary.dropped, 100);
    let new: u64 = outcomes
        .summary
        .latency
        .iter()
        .filter(|one| one.connection == crate::evidence::ConnectionKind::New)
        .map(|one| one.count)
        .sum();
    // A burst may open some that there is no room to keep.
    assert!(new >= 3, "{new}");
    let counts = outcomes.counts();
    assert_eq!(counts.iter().map(|count| count.ok).sum::<u64>(), ok);
    for count in counts {
        assert_eq!(count.pod.as_deref(), Some("pod-a"));
        assert!(count.latest_sent >= Some(count.bucket), "{count:?}");
        assert_eq!((count.attempts_told, count.retried), (0, 0), "{count:?}");
        assert!(count.latest_end >= count.earliest_end && count.latest_end > count.latest_sent);
    }
}

#[tokio::test]
async fn answers_tell_how_often_a_proxy_had_tried_them() {
    let server = Server::start(|mut peer| {
        let mut attempts = [1, 2, 3].into_iter().cycle();
        while peer.request().is_some() {
            let tried = attempts.next().expect("it goes on");
            peer.say(&format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-envoy-attempt-count: {tried}\r\n\r\n"
            ));
        }
    });
    let outcomes = run(config(server.address, kept(plan(100.0, 30), 1)), 30).await;
    let sum = |of: fn(&RequestCounts) -> u64| outcomes.counts().into_iter().map(of).sum::<u64>();
    let ok = outcomes.summary.ok;
    assert!(ok > 0 && sum(|count| count.attempts_told) == ok);
    let retried = sum(|count| count.retried);
    assert!(
        retried >= ok * 2 / 3 - 1 && retried < ok,
        "{retried} of {ok}"
    );
}
