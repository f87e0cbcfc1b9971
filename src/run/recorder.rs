//! Who receives the facts of a run, orders them and writes them down?
//!
//! ```text
//! load, observe, disrupt, run --Fact--> recorder --> runs/<id>/
//! ```
//!
//! One receiver, one writer: the order of the record is that of arrival. A disk that is full does
//! not stop those who see: their facts are taken and dropped, and [`Recorder::failed`] ends the run.

use crate::evidence::{Error, Fact, RunWriter};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// What a crash can lose.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Facts taken at a time; between two batches flushes and questions are served.
const BATCH: usize = 1024;

/// What the record came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Events written.
    pub events: u64,
    /// Log lines written.
    pub lines: u64,
}

/// The recorder of one run.
#[derive(Debug)]
pub struct Recorder {
    task: JoinHandle<Result<Recorded, Error>>,
    flush_tx: mpsc::Sender<oneshot::Sender<()>>,
    stop: CancellationToken,
    failed: CancellationToken,
}

impl Recorder {
    /// Starts to receive.
    pub fn start(writer: RunWriter, fact_rx: mpsc::Receiver<Fact>) -> Self {
        let (flush_tx, flush_rx) = mpsc::channel(1);
        let (stop, failed) = (CancellationToken::new(), CancellationToken::new());
        let receiver = Receiver {
            writer,
            fact_rx,
            flush_rx,
            failed: failed.clone(),
            error: None,
            recorded: Recorded::default(),
        };
        let task = tokio::spawn(receiver.run(stop.clone()));
        Self {
            task,
            flush_tx,
            stop,
            failed,
        }
    }

    /// Cancelled when the record cannot be written any more.
    pub fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }

    /// Hands everything that has arrived to the kernel, so that the record can be read meanwhile.
    pub async fn flush(&self) {
        let (done_tx, done_rx) = oneshot::channel();
        if self.flush_tx.send(done_tx).await.is_ok() {
            let _ = done_rx.await;
        }
    }

    /// Takes what is still on its way, writes it down and ends. Facts sent later are lost.
    pub async fn finish(self) -> Result<Recorded, Error> {
        self.stop.cancel();
        // It is told like a record that could not be written: the rest of the run goes on undoing.
        self.task.await.unwrap_or(Err(Error::Abandoned))
    }
}

/// The receiving end.
struct Receiver {
    writer: RunWriter,
    fact_rx: mpsc::Receiver<Fact>,
    flush_rx: mpsc::Receiver<oneshot::Sender<()>>,
    failed: CancellationToken,
    error: Option<Error>,
    recorded: Recorded,
}

impl Receiver {
    async fn run(mut self, stop: CancellationToken) -> Result<Recorded, Error> {
        let mut ticks = interval(FLUSH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled(), if !self.fact_rx.is_closed() => self.fact_rx.close(),
                _ = ticks.tick() => self.flush(),
                Some(done) = self.flush_rx.recv() => {
                    self.drain();
                    self.flush();
                    let _ = done.send(());
                }
                taken = self.fact_rx.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    batch.drain(..).for_each(|fact| self.take(fact));
                }
            }
        }
        self.flush();
        match self.error {
            None => Ok(self.recorded),
            Some(error) => Err(error),
        }
    }

    fn drain(&mut self) {
        while let Ok(fact) = self.fact_rx.try_recv() {
            self.take(fact);
        }
    }

    fn take(&mut self, fact: Fact) {
        if self.error.is_some() {
            return;
        }
        let written = match fact {
            Fact::Event(event) => {
                self.recorded.events += 1;
                self.writer.append(*event).map(drop)
            }
            Fact::Line {
                pod,
                container,
                raw,
            } => {
                self.recorded.lines += 1;
                self.writer.append_log(&pod, &container, &raw)
            }
        };
        self.note(written);
    }

    fn flush(&mut self) {
        if self.error.is_none() {
            let flushed = self.writer.flush();
            self.note(flushed);
        }
    }

    fn note(&mut self, written: Result<(), Error>) {
        if let Err(error) = written {
            self.error = Some(error);
            self.failed.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{
        EventKind, EventSink, Origin, RunClock, RunDir, RunInfo, RunPhase, SCHEMA_VERSION, Source,
    };
    use serde_json::Value;

    fn info(clock: RunClock) -> RunInfo {
        RunInfo {
            schema_version: SCHEMA_VERSION,
            tool_version: "0".to_owned(),
            id: "r".to_owned(),
            origin: Origin::Live,
            argv: Vec::new(),
            started_at: clock.started_at(),
            cluster: "c".to_owned(),
            namespace: "n".to_owned(),
            workload: None,
            service: None,
            plan: Value::Null,
        }
    }

    #[tokio::test]
    async fn facts_are_numbered_in_the_order_of_arrival_and_none_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let clock = RunClock::start();
        let (sink, fact_rx) = EventSink::new(clock);
        let writer = RunWriter::create(folder.path(), &info(clock)).unwrap();
        let recorder = Recorder::start(writer, fact_rx);
        sink.now(Source::Run, EventKind::Phase(RunPhase::Baseline));
        sink.line("p", "c", "2026-11-24T17:00:00Z one".to_owned())
            .await;
        recorder.flush().await;
        let early = RunDir::new(folder.path()).timeline().unwrap();
        assert_eq!((early.events.len(), early.logs.len()), (1, 1));
        sink.now(Source::Run, EventKind::Phase(RunPhase::Finished));
        let recorded = recorder.finish().await.unwrap();
        let expected = Recorded {
            events: 2,
            lines: 1,
        };
        assert_eq!(recorded, expected);
        let timeline = RunDir::new(folder.path()).timeline().unwrap();
        let seqs: Vec<_> = timeline.events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, [0, 1]);
    }

    #[tokio::test]
    async fn a_full_disk_ends_the_run_with_the_file_and_blocks_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let clock = RunClock::start();
        let (sink, fact_rx) = EventSink::new(clock);
        let logs = folder.path().join("logs").join("p");
        std::fs::create_dir_all(&logs).unwrap();
        // A device that is always full stands in for the disk.
        std::os::unix::fs::symlink("/dev/full", logs.join("c.log")).unwrap();
        let writer = RunWriter::create(folder.path(), &info(clock)).unwrap();
        let recorder = Recorder::start(writer, fact_rx);
        let failed = recorder.failed();
        let line = format!("2026-11-24T17:00:00Z {}", "x".repeat(4096));
        let mut sent = 0;
        while !failed.is_cancelled() {
            sink.line("p", "c", line.clone()).await;
            sent += 1;
            assert!(sent < 100_000, "the full disk is noticed");
        }
        sink.line("p", "c", line).await;
        let error = recorder.finish().await.expect_err("the disk is full");
        let text = crate::error::Chain(&error).to_string();
        assert!(
            text.contains("failed to write") && text.contains("No space left"),
            "{text}"
        );
    }
}
