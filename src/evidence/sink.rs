//! How do facts get from those who see them to the recorder?
//!
//! ```text
//! load, observe, disrupt --Fact--> recorder
//! ```

use super::event::{Event, EventKind, Source};
use super::stamp::{Clock, Interval, RunOffset};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;

/// Facts on their way: 64 Ki of about 1 KiB each; a second of failures at 5,000/s and the lines of
/// 20 busy logs fit 5 times.
const FACT_QUEUE_SIZE: usize = 65_536;

/// One monotonic instant tied to one wall-clock instant: the origin of a run's offsets.
#[derive(Clone, Copy, Debug)]
pub struct RunClock {
    started: Instant,
    started_at: i64,
}

impl RunClock {
    /// Offset 0 is now.
    pub fn start() -> Self {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            started: Instant::now(),
            started_at: i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX),
        }
    }

    /// The wall clock at offset 0, epoch nanoseconds (`RunInfo::started_at`).
    pub const fn started_at(&self) -> i64 {
        self.started_at
    }

    /// Now.
    pub fn now(&self) -> RunOffset {
        self.offset_of(Instant::now())
    }

    /// A monotonic instant as an offset of the run.
    pub fn offset_of(&self, instant: Instant) -> RunOffset {
        let after = instant.saturating_duration_since(self.started).as_nanos();
        let before = self.started.saturating_duration_since(instant).as_nanos();
        RunOffset(
            i64::try_from(after).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX),
        )
    }
}

/// What goes to the recorder.
#[derive(Clone, Debug)]
pub enum Fact {
    /// An event; the recorder gives it its number.
    Event(Box<Event>),
    /// A raw log line with the runtime's stamp before it.
    Line {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// The line.
        raw: String,
    },
}

/// The sending end, shared by everyone who sees facts.
#[derive(Clone, Debug)]
pub struct EventSink {
    fact_tx: mpsc::Sender<Fact>,
    clock: RunClock,
    lost: Arc<AtomicU64>,
}

impl EventSink {
    /// A sink and the recorder's end of it.
    pub fn new(clock: RunClock) -> (Self, mpsc::Receiver<Fact>) {
        let (fact_tx, fact_rx) = mpsc::channel(FACT_QUEUE_SIZE);
        let lost = Arc::new(AtomicU64::new(0));
        let sink = Self {
            fact_tx,
            clock,
            lost,
        };
        (sink, fact_rx)
    }

    /// The run's clock.
    pub const fn clock(&self) -> RunClock {
        self.clock
    }

    /// Sends what the harness saw at `at`. Never waits: without room the fact is counted as lost.
    pub fn event(&self, source: Source, at: Interval, kind: EventKind) {
        self.fact(Fact::Event(Box::new(Event {
            seq: 0,
            at,
            clock: Clock::Harness,
            source,
            kind,
        })));
    }

    /// Sends what the harness sees now.
    pub fn now(&self, source: Source, kind: EventKind) {
        self.event(source, Interval::point(self.clock.now()), kind);
    }

    /// Sends a log line. Waits for room: a log stream can be slowed down, load cannot.
    pub async fn line(&self, pod: &str, container: &str, raw: String) {
        let line = Fact::Line {
            pod: pod.to_owned(),
            container: container.to_owned(),
            raw,
        };
        if self.fact_tx.send(line).await.is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends a fact. Never waits.
    pub fn fact(&self, fact: Fact) {
        if self.fact_tx.try_send(fact).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Facts that found no room, so far. More than none makes a run INCONCLUSIVE.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::RunPhase;

    #[tokio::test]
    async fn a_sink_without_a_recorder_counts_what_it_loses() {
        let (sink, fact_rx) = EventSink::new(RunClock::start());
        drop(fact_rx);
        sink.now(Source::Run, EventKind::Phase(RunPhase::Baseline));
        sink.line("p", "c", "x".to_owned()).await;
        assert_eq!(sink.lost(), 2);
    }
}
