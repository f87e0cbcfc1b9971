//! What does an app's own log say about its life?
//!
//! Apps word it freely, so lines are recognised by what such lines have in common in many
//! languages and frameworks, never by one app's text.

mod listening;
mod told;

pub(in crate::attribution) use listening::{Listens, Opening};
pub(in crate::attribution) use told::{Says, Told};

use crate::evidence::{
    Clock, Constraint, ContainerLog, ContainerSpec, FLOOR, Interval, LogLine, PodEvent, PodLife,
    STAMP_WIDTH, Timeline, WATCH_LATENCY,
};
use regex::RegexSet;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use super::instants::Answers;

/// Lines that tell of a signal or of a shutdown that has begun or ended.
static SHUTDOWN: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new([
        r"(?i)\bsig(term|int|quit)\b",
        r"(?i)\b(caught|received|got|handling|trapped?)\b.{0,24}\b(signal|term(inate|ination)?|interrupt)\b",
        r"(?i)\bsignal\b.{0,12}\b(15|2|3|terminated|received|caught)\b",
        // Go prints SIGTERM as `terminated`; what else was terminated has its name before the verb.
        r#"(?i)(^|[^\w\s]\s*|\d\d:\d\d[.,\dZ]*\s+|\b(app|server|service|process|main|we|i|info|notice|warn(ing)?)\s+)(caught|received|got)[\s:=("']{1,4}terminated\b["')]*\s*($|[^\s\w])"#,
        r"(?i)\bshut(ting)?[ -]?down\b",
        r"(?i)\bgraceful(ly)?\b",
        r"(?i)\bdrain(ing|ed)?\b",
        r"(?i)\b(stopping|terminating|exiting|quitting|finishing)\b",
        r"(?i)\b(server|service|worker|application|app|process|listener|container|context|connector)\b.{0,24}\b(stopped|closed|closing|exited|stops|halted|destroyed)\b",
        r"(?i)\b(closing|closed|stopped)\b.{0,24}\b(server|listener|socket|connections?|pool|application|context)\b",
        r"(?i)\bgoodbye\b|\bbye\b",
    ])
    .expect("the patterns are constants")
});

/// Of these, the lines that only a signal that has come can bring, whenever they were written.
static SIGNALLED: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new([
        r"(?i)\b(caught|received|got|trapped)\b.{0,24}\b(sig(term|int|quit)|signal|terminat(e|ed|ion)|interrupt)\b",
        r"(?i)\b(sig(term|int|quit)|signal)\b.{0,16}\b(received|caught)\b",
    ])
    .expect("the patterns are constants")
});

/// Lines that tell that the app accepts connections.
static LISTENING: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new([
        r"(?i)\blisten(ing|s)?\b",
        r"(?i)\b(started|running|serving|accepting|ready|up)\b.{0,40}\b(port|on|at|connections|requests|http|https|server)\b",
        r"(?i)\b(server|application|service|app)\b.{0,24}\b(started|running|ready|up)\b",
        r"(?i)\bstarted\b.{0,40}\bin\b.{0,12}\b(seconds|ms|s)\b",
        r"(?i)\b(http|tcp|grpc)\b.{0,24}\bstarted\b",
    ])
    .expect("the patterns are constants")
});

/// A last line that tells that the app is done: of itself, as the last thing that it does.
static FAREWELL: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new([
        r"(?i)\b(complete|completed|done|finished|exit|exited|exiting)\b\W*$",
        r"(?i)\b(shut[ -]?down|stop|exit|clean[ -]?up)\b.{0,12}\b(complete|completed|done|finished)\b",
        r"(?i)\b(exiting|goodbye|bye)\b",
    ])
    .expect("the patterns are constants")
});

/// The facts of one app container's log.
#[derive(Clone, Debug, Default)]
pub(in crate::attribution) struct AppLog {
    /// The container.
    pub(in crate::attribution) container: String,
    /// The record has the log, and it holds at least one line.
    pub(in crate::attribution) seen: bool,
    /// Lines that read like a shutdown.
    pub(in crate::attribution) shutdown: Vec<Told>,
    /// Lines that tell of a shutdown and have no stamp of their own.
    pub(in crate::attribution) unstamped: Vec<Unstamped>,
    /// Lines that read as if something listened.
    pub(in crate::attribution) listening: Vec<Listens>,
    /// The stamp of its last line.
    pub(in crate::attribution) last: Option<i64>,
    /// The same where that line tells that the app is done.
    pub(in crate::attribution) farewell: Option<i64>,
    /// For each end of its container, by the stamp of that: the last line of what ended.
    pub(in crate::attribution) last_words: Vec<(i64, i64)>,
    /// Another pod of its name wrote into the same log, before it or after it.
    shared: bool,
}

/// A line that tells of a shutdown, of unknown time.
#[derive(Clone, Copy, Debug)]
pub(in crate::attribution) struct Unstamped {
    /// Its index.
    pub(in crate::attribution) line: usize,
    /// Only a signal that has come to this pod can have brought it.
    pub(in crate::attribution) signalled: bool,
    /// The stamp of the next line that has one: it was written by then.
    pub(in crate::attribution) by: Option<i64>,
}

impl AppLog {
    /// Reads the log of the pod's app container. Pods that had one name after the other share a log:
    /// each has the lines from its container's start on, up to its successor's.
    pub(in crate::attribution) fn of(timeline: &Timeline, life: &PodLife, all: &[PodLife]) -> Self {
        let Some(app) = life.app() else {
            return Self::default();
        };
        let mut found = Self {
            container: app.name.clone(),
            ..Self::default()
        };
        let Some(log) = timeline.log(&life.name, &app.name) else {
            return found;
        };
        let others = all
            .iter()
            .filter(|other| other.name == life.name && other.uid != life.uid);
        let (mut earlier, mut later): (Vec<_>, Vec<_>) =
            others.partition(|other| other.first_seen < life.first_seen);
        found.shared = !earlier.is_empty() || !later.is_empty();
        earlier.sort_by_key(|other| other.first_seen);
        later.sort_by_key(|other| other.first_seen);
        let after = earlier.last().and_then(|before| begun(life, before, app));
        let until = later.first().and_then(|next| begun(next, life, app));
        for (index, line) in log.lines.iter().enumerate() {
            let own = line.stamp.is_none_or(|stamp| {
                after.is_none_or(|after| stamp >= after) && until.is_none_or(|until| stamp < until)
            });
            if own {
                found.seen = true;
                found.read(index, line);
            }
        }
        found.last_words = last_words(life, &app.name, log, until);
        if let (Some(_), Some(listens)) = (after, found.listening.first()) {
            // Floored stamps may let in a last line of the predecessor.
            found.shutdown.retain(|told| told.stamp >= listens.stamp);
        }
        told::compare(&mut found.shutdown, life, &app.name);
        found
    }

    /// When it opened one of its ports, by the lines of `within`.
    pub(in crate::attribution) fn opening(
        &self,
        own: &BTreeSet<u16>,
        within: Range<i64>,
    ) -> Option<Opening> {
        let lines = self.listening.iter();
        listening::opening(lines.filter(|line| within.contains(&line.stamp)), own)
    }

    fn read(&mut self, index: usize, line: &LogLine) {
        let Some(stamp) = line.stamp else {
            if SHUTDOWN.is_match(&line.text) {
                self.unstamped.push(Unstamped {
                    line: index,
                    signalled: !self.shared && SIGNALLED.is_match(&line.text),
                    by: None,
                });
            }
            return;
        };
        self.last = Some(stamp);
        for line in self.unstamped.iter_mut().rev() {
            if line.by.is_some() {
                break;
            }
            line.by = Some(stamp);
        }
        self.farewell = FAREWELL.is_match(&line.text).then_some(stamp);
        if SHUTDOWN.is_match(&line.text) {
            let signalled = SIGNALLED.is_match(&line.text);
            self.shutdown
                .push(Told::new(index, stamp, &line.text, signalled));
        } else if LISTENING.is_match(&line.text) {
            self.listening.push(Listens::new(stamp, &line.text));
        }
    }
}

/// From which stamp on a log has the lines of `life`, whose predecessor of the same name wrote before:
/// a name is given again only when its pod is gone (facts 1.13), so no line of the predecessor follows
/// the start of the container. Where the start was not seen, the predecessor's end tells.
fn begun(life: &PodLife, before: &PodLife, app: &ContainerSpec) -> Option<i64> {
    let starts = life
        .starts
        .iter()
        .filter(|start| start.container == app.name);
    let ended = before.end_of(&app.name).and_then(|end| end.finished);
    match starts.map(|start| start.started).min() {
        // Both were floored to one second: the end may lie behind the stamp of the start.
        Some(started) => Some(ended.map_or(started, |ended| started.max(ended))),
        None => ended.map(|ended| ended + FLOOR),
    }
}

/// The last line before each end of a container: before its next start, where it was started again.
fn last_words(
    life: &PodLife,
    app: &str,
    log: &ContainerLog,
    successor: Option<i64>,
) -> Vec<(i64, i64)> {
    let ends = life
        .ends
        .iter()
        .filter(|end| end.container == app && !end.before_run);
    let words = ends.filter_map(|end| {
        let finished = end.finished?;
        let until = life
            .start_after(end)
            .map_or(finished + STAMP_WIDTH, |start| start.started);
        let until = successor.map_or(until, |successor| until.min(successor));
        let stamps = log.lines.iter().filter_map(|line| line.stamp);
        let last = stamps.filter(|stamp| *stamp < until).max()?;
        Some((finished, last))
    });
    words.collect()
}

/// What a log's lines say about the node's clock: an app that answered was listening before; it
/// shuts down after its deletion; it is silent once its end was seen.
pub(super) fn constraints(
    timeline: &Timeline,
    life: &PodLife,
    log: &AppLog,
    answers: Option<&Answers>,
    events: &[PodEvent],
    found: &mut Vec<Constraint>,
) {
    let Some(node) = &life.node else {
        return;
    };
    let clock = || Clock::Node(node.clone());
    let wall = |at: crate::evidence::RunOffset| timeline.run.started_at + at.0;
    let app = log.container.as_str();
    let single = life
        .starts
        .iter()
        .filter(|start| start.container == app)
        .count()
        <= 1
        && life.ends.iter().filter(|end| end.container == app).count() <= 1;
    if let (Some(answers), Some(listens)) = (answers, log.listening.first())
        && let Some(answered) = answers.earliest_end
    {
        let method = "answers that name a pod against its own log";
        found.push(Constraint::stamped_before(
            clock(),
            listens.stamp,
            wall(answered),
            method,
        ));
    }
    if !single {
        return;
    }
    let end = life
        .ends
        .iter()
        .find(|end| end.container == app && !end.before_run);
    // A successor of the same name may have written the last line.
    if let (Some(end), Some(stamp), false) = (end, log.last, log.shared) {
        let method = "an app's last line against the arrival of its end";
        found.push(Constraint::stamped_before(
            clock(),
            stamp,
            wall(end.seen),
            method,
        ));
    }
    if let (Some(end), Some(answers)) = (end, answers)
        && let (Some(finished), Some(sent)) = (end.finished, answers.latest_sent)
    {
        let method = "answers that name a pod against the end of its container";
        let floor = STAMP_WIDTH;
        found.push(Constraint::stamped_after(
            clock(),
            finished,
            floor,
            wall(sent),
            false,
            method,
        ));
    }
    if !life.initial
        && !life.unseen
        && let Some(listens) = log.listening.first()
    {
        let method = "apps listen after their pod is created";
        let known = wall(life.first_seen) - WATCH_LATENCY;
        found.push(Constraint::stamped_after(
            clock(),
            listens.stamp,
            0,
            known,
            true,
            method,
        ));
    }
    // What the app says more than once it may have said before its signal.
    let shutdown = log.shutdown.iter().find(|told| told.single);
    if let (Some(deletion), Some(told)) = (&life.deletion, shutdown)
        && !life.going_before_run
        && !life.unseen
        && log.shutdown.len() <= 8
    {
        let method = "apps shut down after their pod's deletion";
        // A hook that failed did not sleep.
        let failed = events
            .iter()
            .any(|event| event.reason == "FailedPreStopHook");
        let slept = life.app().filter(|_| !failed);
        let hook = slept.map_or(0, |app| app.prestop_sleep);
        let known = wall(deletion.seen) - WATCH_LATENCY + deletion.slept(hook).0;
        found.push(Constraint::stamped_after(
            clock(),
            told.stamp,
            0,
            known,
            true,
            method,
        ));
    }
}

/// Where a line of a container on this node lies on the harness's clock.
pub(in crate::attribution) fn place(
    offsets: &crate::evidence::ClockOffsets,
    node: Option<&str>,
    stamp: i64,
) -> Option<Interval> {
    offsets.place(&Clock::Node(node?.to_owned()), stamp, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shutdown_lines_of_many_apps_are_recognised() {
        for line in [
            "received SIGTERM",
            "2026/11/24 15:20:31 caught signal terminated, shutting down",
            "Commencing graceful shutdown. Waiting for active requests to complete",
            "[INFO] Handling signal: term",
            "Shutting down server...",
            "INFO: Waiting for application shutdown.",
            "signal 15 (SIGTERM) received from 1, exiting",
            "Stopping service [Tomcat]",
            "server closed",
            "level=info msg=\"draining connections\"",
            "{\"level\":\"info\",\"msg\":\"got interrupt signal\"}",
            "{\"level\":\"info\",\"msg\":\"got terminated, leaving\"}",
            "2026/11/24 15:20:31 received terminated",
            "main: caught \"terminated\"",
            "level=info msg=\"got signal\" signal=terminated",
        ] {
            assert!(SHUTDOWN.is_match(line), "{line}");
        }
        for line in [
            "listening on :8080",
            "GET /healthz 200",
            "notify 3 failed: connection refused",
            "fatal: cannot continue",
            "Signature verified",
            "upstream connection got terminated",
            "the session with peer 10.0.0.7:80 got terminated, retrying",
            "received terminated connections list",
        ] {
            assert!(!SHUTDOWN.is_match(line), "{line}");
        }
    }

    #[test]
    fn listening_lines_of_many_apps_are_recognised() {
        for line in [
            "listening on :8080",
            "Tomcat started on port 8080 (http)",
            "Started DemoApplication in 2.5 seconds (process running for 3)",
            "INFO: Uvicorn running on http://0.0.0.0:8000",
            "Server ready",
            "[1] [INFO] Listening at: http://0.0.0.0:8000 (1)",
            "now serving on 0.0.0.0:80",
        ] {
            assert!(LISTENING.is_match(line), "{line}");
        }
        assert!(!LISTENING.is_match("GET / 200 3ms"));
    }
}
