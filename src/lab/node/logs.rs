//! What have containers written, and who reads it?
//!
//! [`LogBook`] keeps the lines of each container instance with the node's stamps and hands them out
//! as a kubelet does: to its end, or following it until the container has ended.

use crate::lab::mesh::restamp;
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use tokio::sync::watch;

/// What is kept of one instance, as a kubelet keeps 10 MiB before it rotates.
const KEPT_BYTES: usize = 10 << 20;
/// A longer line is written in pieces, as the container runtime does.
const LINE_BYTES: usize = 16 << 10;

/// The logs of a lab's containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogBook(Arc<Mutex<Book>>);

/// The instances of a container, oldest first, by uid of the pod and name.
type Book = HashMap<(String, String), Vec<Arc<Instance>>>;

/// The log of one container instance.
#[derive(Debug)]
pub(crate) struct Instance {
    /// The container's id, `containerd://...`.
    pub(crate) id: String,
    lines: Mutex<Lines>,
    /// Lines written so far, and whether the container has ended.
    progress: watch::Sender<(u64, bool)>,
    removed: AtomicBool,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Line>,
    dropped: u64,
    bytes: usize,
}

/// A line and the node's stamp of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// When it was read from the container, by the node's clock.
    pub(crate) stamp: Timestamp,
    /// What was written, without its end.
    pub(crate) text: String,
}

impl LogBook {
    /// Opens the log of a new instance; the one before it stays readable as the previous.
    pub(crate) fn begin(&self, uid: &str, container: &str, id: &str) -> Arc<Instance> {
        let instance = Arc::new(Instance {
            id: id.to_owned(),
            lines: Mutex::default(),
            progress: watch::Sender::new((0, false)),
            removed: AtomicBool::new(false),
        });
        let mut book = lock(&self.0);
        let instances = book
            .entry((uid.to_owned(), container.to_owned()))
            .or_default();
        if instances.len() > 1 {
            instances.remove(0);
        }
        instances.push(Arc::clone(&instance));
        instance
    }

    /// The newest instance, or the terminated one before it.
    pub(crate) fn find(&self, uid: &str, container: &str, previous: bool) -> Option<Arc<Instance>> {
        let book = lock(&self.0);
        let instances = book.get(&(uid.to_owned(), container.to_owned()))?;
        if previous {
            let newest = instances.last()?;
            let ended = newest.progress.borrow().1;
            let before = instances.len().checked_sub(2).map(|at| &instances[at]);
            return before.or(ended.then_some(newest)).cloned();
        }
        instances.last().cloned()
    }

    /// A pod's containers have been removed, and what they wrote with them.
    pub(crate) fn remove(&self, uid: &str) {
        for ((pod, _), instances) in lock(&self.0).iter() {
            if pod == uid {
                for instance in instances {
                    instance.removed.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Forgets a pod that is not in the API any more.
    pub(crate) fn forget(&self, uid: &str) {
        lock(&self.0).retain(|(pod, _), _| pod != uid);
    }
}

impl Instance {
    /// Copies what a container writes, stamping each line with `clock`, which is so far `ahead` of
    /// this machine's, until the writer ends.
    pub(crate) async fn copy(
        &self,
        reader: impl AsyncBufRead + Unpin,
        clock: impl Fn() -> Timestamp,
        ahead: SignedDuration,
    ) {
        let mut reader = reader;
        let mut pending = Vec::new();
        while let Ok(available) = reader.fill_buf().await
            && !available.is_empty()
        {
            let length = available.len();
            for piece in available.split_inclusive(|byte| *byte == b'\n') {
                pending.extend_from_slice(piece);
                if pending.ends_with(b"\n") || pending.len() >= LINE_BYTES {
                    self.push(clock(), ahead, &pending);
                    pending.clear();
                }
            }
            reader.consume(length);
        }
        if !pending.is_empty() {
            self.push(clock(), ahead, &pending);
        }
    }

    fn push(&self, stamp: Timestamp, ahead: SignedDuration, raw: &[u8]) {
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        let text = String::from_utf8_lossy(raw);
        let text = restamp(&text, ahead).unwrap_or_else(|| text.into_owned());
        let mut lines = lock(&self.lines);
        lines.bytes += text.len();
        lines.kept.push_back(Line { stamp, text });
        while lines.bytes > KEPT_BYTES
            && let Some(oldest) = lines.kept.pop_front()
        {
            lines.bytes -= oldest.text.len();
            lines.dropped += 1;
        }
        let written = lines.dropped + lines.kept.len() as u64;
        drop(lines);
        self.progress.send_modify(|progress| progress.0 = written);
    }

    /// Its container has been removed.
    pub(crate) fn removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    /// Tells the readers that nothing more comes.
    pub(crate) fn end(&self) {
        self.progress.send_modify(|progress| progress.1 = true);
    }

    /// Waits until nothing more comes.
    pub(crate) async fn ended(&self) {
        let mut progress = self.progress.subscribe();
        // The sender is this instance's own, so the wait cannot fail.
        let _ = progress.wait_for(|(_, ended)| *ended).await;
    }

    /// The number of the first line that a reader of the last `tail` lines gets.
    pub(crate) fn first(&self, tail: Option<u64>) -> u64 {
        let lines = lock(&self.lines);
        let written = lines.dropped + lines.kept.len() as u64;
        tail.map_or(0, |tail| written.saturating_sub(tail))
            .max(lines.dropped)
    }

    /// The lines from `from` on that are there, and the number of the next one.
    pub(crate) fn read(&self, from: u64) -> (Vec<Line>, u64) {
        let lines = lock(&self.lines);
        let skipped = usize::try_from(from.saturating_sub(lines.dropped)).unwrap_or(usize::MAX);
        let found: Vec<_> = lines.kept.iter().skip(skipped).cloned().collect();
        (found, lines.dropped + lines.kept.len() as u64)
    }

    /// Waits until there is a line `next`; `false`: there will be none.
    pub(crate) async fn wait_for(&self, next: u64) -> bool {
        let mut progress = self.progress.subscribe();
        let found = progress
            .wait_for(|(written, ended)| *written > next || *ended)
            .await;
        found.is_ok_and(|progress| progress.0 > next)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(text: &str) -> Arc<Instance> {
        let instance = LogBook::default().begin("u", "app", "containerd://1");
        let clock = || Timestamp::UNIX_EPOCH;
        instance
            .copy(text.as_bytes(), clock, SignedDuration::ZERO)
            .await;
        instance.end();
        instance
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[tokio::test]
    async fn lines_are_split_and_the_last_one_needs_no_end() {
        let instance = written("one\ntwo\n\nrest").await;
        let (lines, next) = instance.read(0);
        assert_eq!(texts(&lines), ["one", "two", "", "rest"]);
        assert_eq!(next, 4);
        assert_eq!(
            texts(&instance.read(instance.first(Some(2))).0),
            ["", "rest"]
        );
        assert!(!instance.wait_for(4).await, "the container has ended");
    }

    #[tokio::test]
    async fn a_log_has_ended_once_its_writer_has() {
        let instance = LogBook::default().begin("u", "app", "containerd://1");
        let ended = instance.ended();
        tokio::pin!(ended);
        let poll = futures::poll!(ended.as_mut());
        assert!(poll.is_pending(), "more may come");
        instance.end();
        ended.await;
    }

    #[tokio::test]
    async fn what_is_beyond_the_limit_is_dropped_from_the_front() {
        let line = "x".repeat(1 << 20) + "\n";
        let instance = written(&line.repeat(11)).await;
        let (lines, next) = instance.read(0);
        assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= KEPT_BYTES);
        assert_eq!(instance.read(next).0, []);
        assert!(instance.first(None) > 0);
    }

    #[tokio::test]
    async fn the_previous_instance_is_the_one_that_has_ended() {
        let book = LogBook::default();
        assert!(book.find("u", "app", true).is_none());
        let first = book.begin("u", "app", "1");
        assert!(book.find("u", "app", true).is_none(), "it still runs");
        first.end();
        assert_eq!(book.find("u", "app", true).expect("ended").id, "1");
        book.begin("u", "app", "2");
        assert_eq!(book.find("u", "app", true).expect("before it").id, "1");
        assert_eq!(book.find("u", "app", false).expect("newest").id, "2");
        book.forget("u");
        assert!(book.find("u", "app", false).is_none());
    }
}
