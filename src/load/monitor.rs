//! What is told about the load while it runs, and at its end?
//!
//! Once a second the monitor takes what the lanes have counted and sends it on: the counts of each
//! bucket, the harness's own health. At the end it sends the latency of each class and connection
//! kind and the totals.

use super::ending::Ending;
use super::error::Error;
use super::generator::{Progress, Summary};
use super::host;
use super::lane::Lane;
use super::tally::{Second, Tally, collect, counts_of, quantile};
use crate::evidence::{EventKind, Harness, Interval, Source};
use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it looks.
const TICK: Duration = Duration::from_secs(1);

/// How often it looks whether the lanes have ended.
const JOIN_STEP: Duration = Duration::from_millis(5);

/// A lane and its thread.
pub(super) struct Worker {
    pub(super) lane: Arc<Lane>,
    pub(super) name: String,
    pub(super) thread: JoinHandle<io::Result<()>>,
}

/// Watches the lanes of one generator.
pub(super) struct Monitor {
    workers: Vec<Worker>,
    progress: Arc<Mutex<Progress>>,
    second: Second,
    spare: Second,
    begun: Instant,
    cpu: Option<(Instant, Duration)>,
    cpu_begun: Option<Duration>,
    totals: Progress,
}

impl Monitor {
    pub(super) fn new(workers: Vec<Worker>, progress: Arc<Mutex<Progress>>) -> Self {
        let cpu = host::cpu_time();
        Self {
            workers,
            progress,
            second: Second::new(),
            spare: Second::new(),
            begun: Instant::now(),
            cpu: cpu.map(|cpu| (Instant::now(), cpu)),
            cpu_begun: cpu,
            totals: Progress::default(),
        }
    }

    /// The life of the monitor's thread: until load ends, and then until the lanes have ended.
    pub(super) fn run(mut self, ending: &Ending) -> Result<Summary, Error> {
        let mut next = Instant::now() + TICK;
        loop {
            let ended = self
                .workers
                .iter()
                .all(|worker| worker.thread.is_finished());
            if ended {
                break;
            }
            if Instant::now() >= next {
                next = Instant::now() + TICK;
                self.tick();
            }
            let step = if ending.at().is_some() {
                JOIN_STEP
            } else {
                10 * JOIN_STEP
            };
            std::thread::sleep(step);
        }
        self.tick();
        self.finish()
    }

    fn lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.workers.iter().map(|worker| &worker.lane)
    }

    fn first(&self) -> &Arc<Lane> {
        &self.workers[0].lane
    }

    /// Takes what was counted since the last tick and sends it on.
    fn tick(&mut self) {
        self.second.clear();
        let mut counts = BTreeMap::new();
        let lanes: Vec<Arc<Lane>> = self.lanes().cloned().collect();
        for lane in &lanes {
            self.spare.clear();
            let some = lane.tally().take_second(&mut self.spare);
            self.second.add(&self.spare);
            collect(&mut counts, some);
        }
        let lane = &lanes[0];
        let names = class_names(lane);
        for count in counts_of(&lane.client, &names, counts) {
            let end = count.bucket + Duration::from_nanos(count.width.unsigned_abs());
            let at = Interval::between(count.bucket, end);
            lane.sink
                .event(Source::Load, at, EventKind::Requests(count));
        }
        let harness = self.sample(lane);
        lane.sink.now(Source::Load, EventKind::Harness(harness));
        self.tell(&lanes);
    }

    /// The harness's health over the last second.
    fn sample(&mut self, lane: &Lane) -> Harness {
        let slip = quantile(&self.second.slip, 0.99);
        Harness {
            scope: "second".to_owned(),
            slip_p99: slip.map(|slip| i64::try_from(slip).unwrap_or(i64::MAX)),
            dropped_arrivals: self.second.dropped,
            overdue_arrivals: 0,
            unstored_failures: lane.ledger.unstored(),
            lost_events: lane.sink.lost(),
            cpu: self.cpu_share(),
            files_left: host::files_left(),
            ports_left: host::ports_left(),
            faults: Vec::new(),
        }
    }

    fn cpu_share(&mut self) -> Option<f64> {
        let now = (Instant::now(), host::cpu_time()?);
        let (then, used) = self.cpu.replace(now)?;
        share(now.1.saturating_sub(used), now.0 - then)
    }

    /// Updates what [`super::Generator::snapshot`] shows.
    fn tell(&mut self, lanes: &[Arc<Lane>]) {
        let second = &self.second;
        let totals = &mut self.totals;
        totals.ok += second.ok;
        totals.failed += second.failed;
        totals.dropped += second.dropped;
        totals.in_flight = lanes.iter().map(|lane| lane.in_flight()).sum();
        totals.sent = totals.ok + totals.failed + totals.in_flight;
        totals.p99 = quantile(&second.latency, 0.99).map(Duration::from_nanos);
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = totals.clone();
    }

    /// Joins the lanes and sends the end's events.
    fn finish(mut self) -> Result<Summary, Error> {
        let lane = Arc::clone(self.first());
        let mut all = Tally::new(lane.classes.len());
        let mut closed_idle = 0;
        for Worker { lane, name, thread } in std::mem::take(&mut self.workers) {
            join(thread, &name)?;
            if lane.panicked() {
                let message = "a request's task panicked".to_owned();
                return Err(Error::Panicked { name, message });
            }
            all.merge(&lane.tally());
            closed_idle += lane.pool().closed_idle();
        }
        let latency = all.summaries(&lane.client, &class_names(&lane));
        for summary in &latency {
            lane.sink
                .now(Source::Load, EventKind::Latency(summary.clone()));
        }
        let harness = self.total(&lane, &all);
        lane.sink
            .now(Source::Load, EventKind::Harness(harness.clone()));
        Ok(Summary {
            sent: self.totals.sent,
            ok: self.totals.ok,
            failed: self.totals.failed,
            dropped: self.totals.dropped,
            closed_idle,
            latency,
            harness,
        })
    }

    fn total(&self, lane: &Lane, all: &Tally) -> Harness {
        let used = host::cpu_time().zip(self.cpu_begun);
        Harness {
            scope: "total".to_owned(),
            slip_p99: all.slip_p99(),
            dropped_arrivals: self.totals.dropped,
            overdue_arrivals: all.overdue_arrivals(),
            unstored_failures: lane.ledger.unstored(),
            lost_events: lane.sink.lost(),
            cpu: used.and_then(|(now, then)| share(now.saturating_sub(then), self.begun.elapsed())),
            files_left: host::files_left(),
            ports_left: host::ports_left(),
            faults: Vec::new(),
        }
    }
}

fn class_names(lane: &Lane) -> Vec<&str> {
    lane.classes
        .iter()
        .map(|class| class.name.as_str())
        .collect()
}

fn share(used: Duration, passed: Duration) -> Option<f64> {
    (!passed.is_zero()).then(|| used.as_secs_f64() / passed.as_secs_f64())
}

/// Joins a thread and keeps its panic's words.
pub(super) fn join(thread: JoinHandle<io::Result<()>>, name: &str) -> Result<(), Error> {
    match thread.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(Error::Thread {
            name: name.to_owned(),
            source,
        }),
        Err(panic) => Err(Error::Panicked {
            name: name.to_owned(),
            message: panic_words(panic.as_ref()),
        }),
    }
}

fn panic_words(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
