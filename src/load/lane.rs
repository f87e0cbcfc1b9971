//! How does one worker thread turn its share of the schedule into requests?
//!
//! A lane is one thread with a single-threaded runtime, its own part of the kept connections and
//! its own tally; lanes share nothing that a request would wait for.

use super::carry::{Arrival, Way, carry};
use super::config::LoadConfig;
use super::dial::Dialer;
use super::ending::Ending;
use super::error::Error;
use super::exchange::Link;
use super::pacer::Pacer;
use super::pool::{Choice, Pool};
use super::request::Class;
use super::schedule::{Mix, Schedule, Wish};
use super::tally::{Ledger, Tally};
use crate::evidence::{EventSink, RunClock};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use uuid::Uuid;

/// How often idle connections are looked at for a close that has arrived.
const SWEEP: Duration = Duration::from_millis(100);

/// Arrivals started in one go; after a stall the requests before them get their turn in between.
const BATCH: usize = 64;

/// Arrivals that were due this long before the end of load, and no longer, are sent at its end: a
/// healthy machine is that late now and then. What is later was held up by a stall.
const ORDINARY: Duration = Duration::from_millis(5);

/// A lane wakes for arrivals at most this often, since a wake costs as much as the request that it
/// sends. Arrivals that are further apart leave when they are due; closer ones leave together, at
/// most this late, which their slip and latency tell.
const GRAIN: Duration = Duration::from_micros(500);

/// Ready tasks that run before the runtime looks at the sockets and the timer again. The default
/// of 61 would let a burst of answers hold up an arrival that is due by a millisecond.
const TASKS_BETWEEN_LOOKS: u32 = 16;

/// What all lanes of a generator share.
pub(super) struct Common {
    pub(super) client: String,
    pub(super) pod_header: String,
    pub(super) classes: Vec<Class>,
    pub(super) dialer: Dialer,
    pub(super) ledger: Ledger,
    pub(super) clock: RunClock,
    pub(super) sink: EventSink,
    connections: AtomicU64,
}

impl Common {
    pub(super) fn new(config: &LoadConfig, sink: EventSink) -> Result<Self, Error> {
        let classes: Result<Vec<Class>, Error> = config
            .plan
            .requests
            .iter()
            .map(|class| Class::new(class, &config.target))
            .collect();
        let classes = classes?;
        if classes.is_empty() {
            return Err(Error::NoClass);
        }
        Ok(Self {
            client: config.client.clone(),
            pod_header: config.pod_header.to_ascii_lowercase(),
            classes,
            dialer: Dialer::new(&config.target)?,
            ledger: Ledger::new(config.stored_failures, config.sample_stride),
            clock: sink.clock(),
            sink,
            connections: AtomicU64::new(0),
        })
    }

    /// The longest patience of any class.
    pub(super) fn patience(&self) -> Duration {
        let longest = self.classes.iter().map(|class| class.timeout).max();
        longest.unwrap_or_default()
    }
}

/// One worker's state.
pub(super) struct Lane {
    common: Arc<Common>,
    pool: Mutex<Pool<Box<Link>>>,
    tally: Mutex<Tally>,
    ids: Mutex<StdRng>,
    in_flight: AtomicU64,
    landed: Notify,
    panicked: AtomicBool,
}

impl std::ops::Deref for Lane {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.common
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lane {
    /// Lane `index` of `lanes`, with its share of the kept connections.
    pub(super) fn new(
        common: Arc<Common>,
        config: &LoadConfig,
        index: usize,
        lanes: usize,
    ) -> Self {
        let connections = &config.plan.connections;
        let share = connections.pool / lanes + usize::from(index < connections.pool % lanes);
        let pool = Pool::new(share, connections.max_requests, connections.max_idle);
        Self {
            tally: Mutex::new(Tally::new(common.classes.len())),
            common,
            pool: Mutex::new(pool),
            ids: Mutex::new(StdRng::from_os_rng()),
            in_flight: AtomicU64::new(0),
            landed: Notify::new(),
            panicked: AtomicBool::new(false),
        }
    }

    pub(super) fn pool(&self) -> MutexGuard<'_, Pool<Box<Link>>> {
        lock(&self.pool)
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn new_id(&self) -> Uuid {
        uuid::Builder::from_random_bytes(lock(&self.ids).random()).into_uuid()
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A request's task panicked.
    pub(super) fn panicked(&self) -> bool {
        self.panicked.load(Ordering::Relaxed)
    }

    /// A request is under way until the guard is dropped.
    pub(super) fn flight(self: &Arc<Self>) -> Flight {
        Flight(Arc::clone(self))
    }

    /// Starts one arrival; never waits.
    fn start(self: &Arc<Self>, arrival: Arrival, wish: Wish) {
        let way = match wish {
            Wish::Own => Way::Own,
            Wish::Kept => match self.pool().take(Instant::now()) {
                Choice::Idle(link) => Way::Idle(link),
                Choice::Open => Way::Fresh,
                Choice::Drop => return self.tally().dropped(),
            },
        };
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(carry(Arc::clone(self), arrival, way));
    }

    /// Sends what the schedule wants until the end, then waits for what is under way.
    async fn work(
        self: &Arc<Self>,
        mut schedule: Schedule,
        mut mix: Mix,
        begin: Instant,
        ending: &Ending,
    ) -> io::Result<()> {
        let mut pacer = Pacer::new()?;
        let mut in_batch = 0;
        let mut next_wake = begin;
        for offset in schedule.by_ref() {
            let intended = begin + offset;
            if intended > Instant::now() {
                in_batch = 0;
                tokio::select! {
                    biased;
                    () = ending.ended() => {}
                    waited = pacer.until(intended.max(next_wake)) => waited?,
                }
                next_wake = Instant::now() + GRAIN;
            } else if in_batch >= BATCH {
                in_batch = 0;
                tokio::task::yield_now().await;
            }
            if let Some(end) = ending.at() {
                let later = schedule.map(|offset| begin + offset);
                self.close(std::iter::once(intended).chain(later), &mut mix, end);
                return Ok(());
            }
            in_batch += 1;
            let (wish, class) = mix.deal();
            self.start(Arrival { intended, class }, wish);
        }
        ending.ended().await;
        Ok(())
    }

    /// What was due when load ended and had not left: the latest are sent, those that a stall held
    /// up are counted as not sent.
    fn close(self: &Arc<Self>, due: impl Iterator<Item = Instant>, mix: &mut Mix, end: Instant) {
        let now = Instant::now();
        let mut overdue = 0;
        for intended in due.take_while(|intended| *intended <= end) {
            let (wish, class) = mix.deal();
            if now.saturating_duration_since(intended) <= ORDINARY {
                self.start(Arrival { intended, class }, wish);
            } else {
                overdue += 1;
            }
        }
        self.tally().overdue(overdue);
    }

    async fn sweep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.pool().sweep(Instant::now(), |link| link.ended());
        }
    }

    /// Waits until nothing is under way; every request has a deadline, so this ends.
    async fn drain(&self) {
        while self.in_flight() > 0 {
            self.landed.notified().await;
        }
    }

    /// The life of the lane's thread.
    pub(super) fn run(
        self: &Arc<Self>,
        schedule: Schedule,
        mix: Mix,
        begin: Instant,
        ending: &Ending,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS_BETWEEN_LOOKS)
            .build()?;
        let worked = runtime.block_on(async {
            let sweeper = tokio::spawn(Arc::clone(self).sweep());
            self.work(schedule, mix, begin, ending).await?;
            // The slack covers a machine too busy to fire the timers on time.
            let bound = self.patience() + Duration::from_secs(5);
            let _ = tokio::time::timeout(bound, self.drain()).await;
            sweeper.abort();
            Ok(())
        });
        // A look-up that hangs in the system's resolver must not hold up the end.
        runtime.shutdown_background();
        worked
    }
}

/// Counts a request as under way.
pub(super) struct Flight(Arc<Lane>);

impl Drop for Flight {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.panicked.store(true, Ordering::Relaxed);
        }
        if self.0.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.landed.notify_one();
        }
    }
}
