//! How is load started, watched and stopped?

use super::config::LoadConfig;
use super::ending::Ending;
use super::error::Error;
use super::lane::{Common, Lane};
use super::monitor::{Monitor, Worker};
use super::schedule::{Mix, Schedule};
use crate::evidence::{EventSink, Harness, LatencySummary};
use crate::scenario::LoadPlan;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Threads get ready within this; the first arrival is due after it.
const LEAD: Duration = Duration::from_millis(20);

/// Arrivals a second that one worker carries, at about half of a core. A second worker halves what
/// leaves in one go, so it costs more a request.
const RATE_PER_WORKER: f64 = 20_000.0;

/// Load that is running. Dropping it stops it without an end's report; [`Generator::stop`] ends it
/// well.
#[derive(Debug)]
pub struct Generator {
    ending: Ending,
    progress: Arc<Mutex<Progress>>,
    summary_rx: oneshot::Receiver<Result<Summary, Error>>,
}

/// How far the load is, as of the last second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests sent, those in flight included.
    pub sent: u64,
    /// Answered as expected.
    pub ok: u64,
    /// Failed.
    pub failed: u64,
    /// Arrivals that were not sent: they found no connection, or a stall held them up to the end.
    pub dropped: u64,
    /// Sent and not ended.
    pub in_flight: u64,
    /// 99th percentile of the latency of the last second's answers, from the intended send time.
    pub p99: Option<Duration>,
}

/// What the whole load came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Requests sent.
    pub sent: u64,
    /// Answered as expected.
    pub ok: u64,
    /// Failed.
    pub failed: u64,
    /// Arrivals that were not sent: they found no connection, or a stall held them up to the end.
    pub dropped: u64,
    /// Kept connections that the server closed while they were idle; none of them was used again.
    pub closed_idle: u64,
    /// Latency by class and connection kind.
    pub latency: Vec<LatencySummary>,
    /// The harness's health over the whole load (scope `total`).
    pub harness: Harness,
}

/// By the highest rate of the plan, at most one a core, and never one that would have no kept
/// connection to work with.
fn worker_count(plan: &LoadPlan, wanted: Option<usize>) -> usize {
    let rates = plan.stages.iter().map(|stage| stage.rate);
    let by_rate = (rates.fold(0.0, f64::max) / RATE_PER_WORKER).ceil() as usize;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let count = wanted.unwrap_or(by_rate.min(cores)).max(1);
    if plan.connections.new < 1.0 {
        count.min(plan.connections.pool.max(1))
    } else {
        count
    }
}

impl Generator {
    /// Starts the load in threads of its own; the first arrival is due a few milliseconds later.
    /// Events go to `sink`: each stored failure at once, counts and health every second, latency
    /// and totals at the end. The sink is never waited for.
    pub fn start(config: LoadConfig, sink: EventSink) -> Result<Self, Error> {
        let lanes = worker_count(&config.plan, config.workers);
        let common = Arc::new(Common::new(&config, sink)?);
        let ending = Ending::default();
        // Until everything runs, a failure ends what has been started.
        let mut guard = EndOnDrop(Some(ending.clone()));
        let begin = Instant::now() + LEAD;
        let mut workers = Vec::new();
        for index in 0..lanes {
            let lane = Arc::new(Lane::new(Arc::clone(&common), &config, index, lanes));
            workers.push(start_lane(&config, lane, (index, lanes), begin, &ending)?);
        }
        let progress = Arc::new(Mutex::new(Progress::default()));
        let monitor = Monitor::new(workers, Arc::clone(&progress));
        let (summary_tx, summary_rx) = oneshot::channel();
        let ended = ending.clone();
        spawn("load-monitor", move || {
            // Nobody may be left to hear it.
            let _ = summary_tx.send(monitor.run(&ended));
        })?;
        guard.0 = None;
        Ok(Self {
            ending,
            progress,
            summary_rx,
        })
    }

    /// How far it is, as of the last second.
    pub fn snapshot(&self) -> Progress {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends the load: no new arrivals; what is in flight ends or times out; the end's events are
    /// sent. Takes at most the longest timeout of any class and a few seconds.
    pub async fn stop(mut self) -> Result<Summary, Error> {
        self.ending.end();
        let summary = (&mut self.summary_rx).await;
        summary.unwrap_or_else(|_| {
            Err(Error::Panicked {
                name: "load-monitor".to_owned(),
                message: "it ended without a summary".to_owned(),
            })
        })
    }
}

/// Ends the load of a generator that could not be started whole.
struct EndOnDrop(Option<Ending>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if let Some(ending) = &self.0 {
            ending.end();
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.ending.end();
    }
}

fn start_lane(
    config: &LoadConfig,
    lane: Arc<Lane>,
    (index, lanes): (usize, usize),
    begin: Instant,
    ending: &Ending,
) -> Result<Worker, Error> {
    let name = format!("load-{index}");
    let schedule = Schedule::new(&config.plan, index, lanes, rand::random());
    let mix = Mix::new(&config.plan);
    let ending = ending.clone();
    let run = Arc::clone(&lane);
    let thread = spawn(&name, move || run.run(schedule, mix, begin, &ending))?;
    Ok(Worker { lane, name, thread })
}

fn spawn<T: Send + 'static>(
    name: &str,
    life: impl FnOnce() -> T + Send + 'static,
) -> Result<thread::JoinHandle<T>, Error> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(life)
        .map_err(|source| Error::Thread {
            name: name.to_owned(),
            source,
        })
}
