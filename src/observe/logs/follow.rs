//! How is the log of one container followed through breaks, restarts and its end?

use super::Followers;
use super::lag::{KEPT_UP, Lag};
use super::parse::{KubeletError, kubelet_error};
use super::resume::{Resume, Seen};
use crate::evidence::{Blindness, EventKind, EventSink, LogLine, LogNotice, RunOffset, Source};
use crate::observe::backoff::Backoff;
use crate::observe::pods::{ContainerState, PodBook, PodState};
use futures::io::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Lines of a log that were written before the run began: enough for a start-up and some traffic.
const EARLIER_LINES: i64 = 2_000;

/// A longer line is cut here; the runtime itself cuts at 16 KiB.
const LONGEST_LINE: usize = 1 << 20;

/// After the end of a stream the log is read again this soon, as the end of a stream is not yet
/// the end of the container.
const AGAIN: Duration = Duration::from_millis(250);

/// Follows one container of one pod.
#[derive(Debug)]
pub(super) struct Follower {
    api: Api<Pod>,
    pod: String,
    uid: String,
    container: String,
    sink: EventSink,
    book: PodBook,
    followers: Followers,
    resume: Resume,
    instance: u32,
    /// The container ran before the run began: only the end of its log is read.
    earlier: bool,
    /// A stream of this instance was opened.
    opened: bool,
    /// Up to here the log was read; `None`: nothing of it was.
    read_to: Option<RunOffset>,
    /// Since when it could not be read, and why.
    broken: Option<(Option<RunOffset>, String)>,
    /// The last stream ended in good order.
    clean: bool,
    lag: Lag,
    /// The followers have been told that it is behind.
    behind: bool,
}

/// How an open stream ended.
enum End {
    /// In good order.
    Eof {
        /// Lines that had not been seen before.
        new: u64,
    },
    /// The connection broke.
    Broken(String),
    /// The kubelet said that it cannot read the log.
    Kubelet(String),
}

/// What is done after a stream or an attempt to open one.
enum Step {
    Again,
    Instance(u32),
    Done,
}

impl Follower {
    pub(super) fn new(
        api: Api<Pod>,
        pod: &PodState,
        container: &str,
        sink: EventSink,
        book: PodBook,
        followers: Followers,
    ) -> Self {
        let found = pod.container(container);
        Self {
            api,
            pod: pod.name.clone(),
            uid: pod.uid.clone(),
            container: container.to_owned(),
            earlier: !book.is_marked(),
            sink,
            book,
            followers,
            resume: Resume::default(),
            instance: found.map_or(0, |found| found.instance),
            opened: false,
            read_to: None,
            broken: None,
            clean: false,
            lag: Lag::default(),
            behind: false,
        }
    }

    /// Follows until the log's end or the token's.
    pub(super) async fn run(mut self, token: CancellationToken) {
        let cancelled = tokio::select! {
            () = token.cancelled() => true,
            () = self.follow() => false,
        };
        let broken = self.broken.take();
        if self.is_unread() {
            let (from, reason) = broken.unwrap_or_else(|| {
                let when = if cancelled {
                    "run ended"
                } else {
                    "pod was gone"
                };
                (
                    self.read_to,
                    format!("the {when} before its log was opened"),
                )
            });
            self.blind(from, None, reason);
        } else if let Some((from, reason)) = broken {
            self.blind(from, None, reason);
        } else if let Some(late) = self.lag.behind().filter(|_| cancelled) {
            let from = self.sink.clock().now() - late;
            let reason = format!(
                "its lines came faster than they could be read: at the end of the run the reader \
                 was {:.1} s behind",
                late.as_secs_f64()
            );
            self.blind(Some(from), None, reason);
            self.notice("ended", "the run is over");
        } else if cancelled {
            let ending = self.state().is_none_or(|(pod, _)| pod.terminating);
            if ending {
                let now = self.sink.clock().now();
                let reason = "the run ended before the log of this ending pod".to_owned();
                self.blind(Some(now), None, reason);
            }
            self.notice("ended", "the run is over");
        }
        self.followers.update(&self.uid, &self.container, |follow| {
            follow.open = false;
            follow.done = true;
        });
    }

    async fn follow(&mut self) {
        // By its name another pod may be found.
        if self.state().is_none() {
            return;
        }
        let mut backoff = Backoff::default();
        loop {
            let ended_before = self.has_ended();
            match self.open().await {
                Ok(stream) => {
                    let opened_before = std::mem::replace(&mut self.opened, true);
                    let read_before = self.read_to;
                    self.set_open(true);
                    let end = self.read(stream).await;
                    self.set_open(false);
                    if !matches!(end, End::Kubelet(_)) {
                        self.read_to = Some(self.sink.clock().now());
                    } else if self.read_to == read_before {
                        self.opened = opened_before;
                    }
                    match self.after(end, ended_before, &mut backoff).await {
                        Step::Again => {}
                        Step::Instance(instance) => self.begin(instance).await,
                        Step::Done => return,
                    }
                }
                Err(error) => match self.refused(&error, &mut backoff).await {
                    Step::Again | Step::Instance(_) => {}
                    Step::Done => return,
                },
            }
        }
    }

    fn state(&self) -> Option<(PodState, ContainerState)> {
        let pod = self.book.get(&self.uid).filter(|pod| !pod.gone)?;
        let container = pod.container(&self.container)?.clone();
        Some((pod, container))
    }

    /// Whether the instance that is followed has ended, as far as the API has told.
    fn has_ended(&self) -> bool {
        self.state().is_none_or(|(_, container)| {
            container.instance > self.instance
                || (container.ended && container.instance == self.instance)
        })
    }

    /// Nothing was read of the container's last instance that the API has told of.
    fn is_unread(&self) -> bool {
        let pod = self.book.get(&self.uid);
        let last = pod.as_ref().and_then(|pod| pod.container(&self.container));
        !self.opened || last.is_some_and(|last| last.started && last.instance > self.instance)
    }

    fn params(&mut self, previous: bool) -> LogParams {
        let since = self.resume.open();
        LogParams {
            container: Some(self.container.clone()),
            follow: !previous,
            previous,
            timestamps: true,
            since_time: since.and_then(|second| jiff::Timestamp::from_second(second).ok()),
            tail_lines: (since.is_none() && self.earlier).then_some(EARLIER_LINES),
            ..LogParams::default()
        }
    }

    async fn open(&mut self) -> Result<impl AsyncBufRead + use<>, kube::Error> {
        let params = self.params(false);
        self.api.log_stream(&self.pod, &params).await
    }

    async fn read(&mut self, stream: impl AsyncBufRead) -> End {
        self.notice("opened", "");
        let mut stream = std::pin::pin!(stream);
        let (mut new, mut raw) = (0, Vec::new());
        loop {
            let line = {
                let mut reading = std::pin::pin!(read_line(&mut stream, &mut raw));
                match tokio::time::timeout(KEPT_UP, &mut reading).await {
                    Ok(line) => line,
                    Err(_) => {
                        self.lag.caught_up();
                        self.tell_lag();
                        reading.await
                    }
                }
            };
            match line {
                Ok(false) => return End::Eof { new },
                Ok(true) => {}
                Err(error) => return End::Broken(error.to_string()),
            }
            let text = String::from_utf8_lossy(&raw);
            let line = LogLine::parse(&text);
            if line.stamp.is_none() && kubelet_error(&line.text).is_some() {
                self.notice("kubelet-error", &line.text);
                return End::Kubelet(line.text);
            }
            let seen = self.resume.take(&line);
            self.mended(seen);
            if seen != Seen::Before {
                new += 1;
                self.measure(&line);
                let marks = self.followers.marks();
                marks.look(&self.pod, &self.container, &line.text);
                let raw = text.trim_end_matches(['\n', '\r']).to_owned();
                self.sink.line(&self.pod, &self.container, raw).await;
                // The kubelet may still say that it cannot go on: what came before was read.
                self.read_to = Some(self.sink.clock().now());
            }
        }
    }

    fn measure(&mut self, line: &LogLine) {
        let Some(stamp) = line.stamp else {
            return;
        };
        self.lag.read(stamp, self.sink.clock().now().0);
        self.tell_lag();
    }

    fn tell_lag(&mut self) {
        let behind = self.lag.behind().is_some();
        if behind != self.behind {
            self.behind = behind;
            self.followers
                .update(&self.uid, &self.container, |follow| follow.behind = behind);
        }
    }

    /// A stream that had broken is back: an overlap proves that nothing is missing.
    fn mended(&mut self, seen: Seen) {
        let broken = self.broken.take();
        if seen == Seen::NewAfterHole {
            let (from, reason) =
                broken.unwrap_or_else(|| (self.read_to, "the stream had ended".to_owned()));
            let to = Some(self.sink.clock().now());
            let reason = format!("{reason}; the resumed log does not overlap");
            self.blind(from, to, reason);
        }
    }

    async fn after(&mut self, end: End, ended_before: bool, backoff: &mut Backoff) -> Step {
        let was_clean = std::mem::replace(&mut self.clean, matches!(end, End::Eof { .. }));
        match end {
            End::Eof { new } => {
                backoff.reset();
                if ended_before || (new == 0 && self.has_ended()) {
                    self.broken = None;
                    self.notice(
                        "ended",
                        "the container has ended and its log was read to the end",
                    );
                    return self.next_instance().await;
                }
                tokio::time::sleep(AGAIN).await;
            }
            End::Broken(reason) => {
                self.notice("broken", &reason);
                self.break_off(reason);
                tokio::time::sleep(backoff.next(None)).await;
            }
            End::Kubelet(reason) => {
                // After a clean end this is how a container looks that was removed (facts 8.5).
                let removed = matches!(
                    kubelet_error(&reason),
                    Some(KubeletError::Unavailable { .. })
                );
                if was_clean && removed {
                    self.clean = true;
                } else {
                    self.break_off(reason);
                }
                if self.has_ended() {
                    return self.next_instance().await;
                }
                tokio::time::sleep(backoff.next(None)).await;
            }
        }
        Step::Again
    }

    fn break_off(&mut self, reason: String) {
        self.broken.get_or_insert((self.read_to, reason));
    }

    async fn refused(&mut self, error: &kube::Error, backoff: &mut Backoff) -> Step {
        let code = match error {
            kube::Error::Api(status) => status.code,
            _ => 0,
        };
        match code {
            // The pod is gone, and its log with it.
            404 => {
                self.notice("ended", "the pod is gone");
                return Step::Done;
            }
            401 | 403 if !self.opened => {
                self.break_off(error.to_string());
                return Step::Done;
            }
            // The container waits to start: its status was ahead of the runtime.
            400 => {}
            _ => {
                if self.broken.is_none() {
                    self.notice("broken", &error.to_string());
                }
                self.break_off(error.to_string());
            }
        }
        tokio::time::sleep(backoff.next(None)).await;
        Step::Again
    }

    /// Waits for the container's next instance; a pod that is going has none.
    async fn next_instance(&mut self) -> Step {
        let mut changes = self.book.changes();
        loop {
            if changes.changed().await.is_err() {
                return Step::Done;
            }
            let Some((pod, container)) = self.state() else {
                return Step::Done;
            };
            if container.instance > self.instance && container.started {
                return Step::Instance(container.instance);
            }
            if pod.terminating && container.ended {
                return Step::Done;
            }
        }
    }

    /// A new instance: first the rest of the one before, of which the end may have been missed,
    /// then the new log from its start.
    async fn begin(&mut self, instance: u32) {
        self.earlier = false;
        if instance > self.instance + 1 {
            let from = self.broken.take().map_or(self.read_to, |(from, _)| from);
            let reason = format!(
                "instance {} was followed, and then there was instance {instance}",
                self.instance
            );
            self.blind(from, Some(self.sink.clock().now()), reason);
            // What is kept of the one before is all of it.
            self.resume.restart();
        }
        let params = self.params(true);
        if let Ok(stream) = self.api.log_stream(&self.pod, &params).await
            && let End::Broken(reason) = self.read(stream).await
        {
            self.break_off(reason);
        }
        if let Some((from, reason)) = self.broken.take() {
            self.blind(from, Some(self.sink.clock().now()), reason);
        }
        self.instance = instance;
        (self.opened, self.clean) = (false, false);
        self.resume.restart();
    }

    fn set_open(&self, open: bool) {
        self.followers
            .update(&self.uid, &self.container, |follow| follow.open = open);
    }

    fn notice(&self, state: &str, text: &str) {
        let notice = LogNotice {
            pod: self.pod.clone(),
            container: self.container.clone(),
            state: state.to_owned(),
            text: text.to_owned(),
        };
        self.sink.now(Source::Log, EventKind::Log(notice));
    }

    fn blind(&self, from: Option<RunOffset>, to: Option<RunOffset>, reason: String) {
        let blindness = Blindness {
            what: format!("logs/{}/{}", self.pod, self.container),
            from,
            to,
            reason,
            uids: None,
            resumed: false,
        };
        self.sink.now(Source::Log, EventKind::Blind(blindness));
    }
}

/// Reads one line into `raw`, without what exceeds [`LONGEST_LINE`]. `false` at the end.
async fn read_line<R>(stream: &mut R, raw: &mut Vec<u8>) -> std::io::Result<bool>
where
    R: AsyncBufRead + Unpin,
{
    raw.clear();
    loop {
        let chunk = stream.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(!raw.is_empty());
        }
        let end = memchr::memchr(b'\n', chunk);
        let taken = end.map_or(chunk.len(), |end| end + 1);
        let room = LONGEST_LINE.saturating_sub(raw.len()).min(taken);
        raw.extend_from_slice(&chunk[..room]);
        stream.consume_unpin(taken);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests;
