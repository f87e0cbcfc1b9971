//! Does the generator see exactly what servers do to it?

mod failures;
mod kept;
mod loop_open;
mod proof;
mod schedule;
mod server;
mod tls;

use super::{Generator, LoadConfig, LoadTarget, Summary};
use crate::evidence::{
    Event, EventKind, EventSink, Fact, FailedRequest, Outcome, RequestCounts, RunClock,
};
use crate::scenario::{Arrival, Connections, LoadFrom, LoadPlan, RequestClass, Stage};
use crate::task::wait_until;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;

/// Longer than any of these tests takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn class(name: &str) -> RequestClass {
    RequestClass {
        name: name.to_owned(),
        weight: 1.0,
        method: "GET".to_owned(),
        path: "/".to_owned(),
        headers: std::collections::BTreeMap::new(),
        body: None,
        secret_headers: Default::default(),
        secret_body: Default::default(),
        timeout: PATIENCE,
        id_in_query: false,
        expect_status: vec![200],
        expect_body: None,
    }
}

/// Exactly `arrivals` arrivals at `rate`, on new connections; then silence.
fn plan(rate: f64, arrivals: u32) -> LoadPlan {
    let silence = Stage {
        rate: 0.0,
        duration: None,
    };
    LoadPlan {
        from: LoadFrom::Local,
        stages: vec![
            Stage {
                rate,
                duration: Some(Duration::from_secs_f64(f64::from(arrivals) / rate)),
            },
            silence,
        ],
        arrival: Arrival::Constant,
        connections: Connections {
            new: 1.0,
            pool: 8,
            max_requests: None,
            max_idle: None,
        },
        requests: vec![class("main")],
        baseline: Duration::ZERO,
        settle: Duration::ZERO,
    }
}

fn kept(mut plan: LoadPlan, pool: usize) -> LoadPlan {
    plan.connections.new = 0.0;
    plan.connections.pool = pool;
    plan
}

fn config(address: SocketAddr, plan: LoadPlan) -> LoadConfig {
    let target = LoadTarget::plain(address.ip().to_string(), address.port(), "demo");
    LoadConfig::new("local", target, plan)
}

/// What a whole load came to.
struct Outcomes {
    summary: Summary,
    events: Vec<Event>,
    clock: RunClock,
}

impl Outcomes {
    fn failures(&self) -> Vec<&FailedRequest> {
        let failed = |event: &'_ Event| matches!(event.kind, EventKind::RequestFailed(_));
        let events = self.events.iter().filter(|event| failed(event));
        events
            .map(|event| match &event.kind {
                EventKind::RequestFailed(failed) => failed.as_ref(),
                _ => unreachable!("filtered above"),
            })
            .collect()
    }

    fn counts(&self) -> Vec<&RequestCounts> {
        self.events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::Requests(counts) => Some(counts),
                _ => None,
            })
            .collect()
    }
}

/// Runs a load until `arrivals` have ended or were dropped, then stops it.
async fn run(config: LoadConfig, arrivals: u32) -> Outcomes {
    let clock = RunClock::start();
    let (sink, mut fact_rx) = EventSink::new(clock);
    let generator = Generator::start(config, sink).expect("it starts");
    wait_until("the load", PATIENCE, Duration::from_millis(20), || async {
        let at = generator.snapshot();
        if at.ok + at.failed + at.dropped >= u64::from(arrivals) {
            Ok(())
        } else {
            Err(format!("{at:?}"))
        }
    })
    .await
    .expect("all arrivals end");
    let summary = generator.stop().await.expect("it ends well");
    let events = drained(&mut fact_rx);
    Outcomes {
        summary,
        events,
        clock,
    }
}

fn drained(fact_rx: &mut mpsc::Receiver<Fact>) -> Vec<Event> {
    let mut events = Vec::new();
    while let Ok(fact) = fact_rx.try_recv() {
        if let Fact::Event(event) = fact {
            events.push(*event);
        }
    }
    events
}

fn transport(failed: &FailedRequest) -> String {
    match &failed.outcome {
        Outcome::Transport { class, errno, .. } => {
            format!("{:?} {:?} {:?}", failed.phase, class, errno)
        }
        other => format!("{:?} {other:?}", failed.phase),
    }
}
