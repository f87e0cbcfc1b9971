//! What was read from a capture so far, by the harness's wall clock, before it is a record?

use crate::evidence::{
    Blindness, Change, Clock, Error, Event, EventKind, Interval, Resource, RunInfo, RunOffset,
    RunWriter, Source,
};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};

/// A line or file of a capture that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.path.display())?;
        if self.line > 0 {
            write!(f, " line {}", self.line)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// A fact with its instants as epoch nanoseconds. Offsets inside `kind` are epoch nanoseconds too
/// until the record's origin is known.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) lo: i64,
    pub(super) hi: i64,
    pub(super) source: Source,
    pub(super) kind: EventKind,
}

/// Everything read from a capture.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) raw: Vec<Raw>,
    pub(super) logs: Vec<(String, String, Vec<String>)>,
    /// The names of the watches that the capture has.
    pub(super) watches: Vec<crate::evidence::Resource>,
    /// The names and addresses that the clients asked, as they wrote them.
    pub(super) asked: Vec<String>,
    faults: Vec<Fault>,
    faulty_lines: usize,
}

/// Faults beyond this number are counted, not kept.
const MAX_FAULTS: usize = 100;

impl Gathered {
    /// What the watches of one resource delivered: when at the latest, as what, and the object.
    pub(super) fn objects(&self, wanted: Resource) -> impl Iterator<Item = (i64, Change, &Value)> {
        self.raw.iter().filter_map(move |raw| match &raw.kind {
            EventKind::Object {
                resource,
                change,
                object,
            } if *resource == wanted => Some((raw.hi, *change, object)),
            _ => None,
        })
    }

    pub(super) fn push(&mut self, at: i64, source: Source, kind: EventKind) {
        self.span(at, at, source, kind);
    }

    pub(super) fn span(&mut self, lo: i64, hi: i64, source: Source, kind: EventKind) {
        self.raw.push(Raw {
            lo,
            hi,
            source,
            kind,
        });
    }

    pub(super) fn fault(&mut self, path: &Path, line: usize, reason: impl Into<String>) {
        self.faulty_lines += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault {
                path: path.to_owned(),
                line,
                reason: reason.into(),
            });
        }
    }

    /// Records that a source of evidence was never seen.
    pub(super) fn blind(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.blind_between(what, None, None, reason);
    }

    /// Records that a source of evidence was not seen for a while.
    pub(super) fn blind_between(
        &mut self,
        what: impl Into<String>,
        from: Option<i64>,
        to: Option<i64>,
        reason: impl Into<String>,
    ) {
        let at = to.or(from).unwrap_or(i64::MIN);
        let kind = EventKind::Blind(Blindness {
            what: what.into(),
            from: from.map(RunOffset),
            to: to.map(RunOffset),
            reason: reason.into(),
            uids: None,
            resumed: false,
        });
        self.push(at, Source::Run, kind);
    }

    pub(super) fn is_empty(&self) -> bool {
        let facts = |raw: &Raw| !matches!(raw.kind, EventKind::Blind(_) | EventKind::Step(_));
        !self.raw.iter().any(facts) && self.logs.iter().all(|(_, _, lines)| lines.is_empty())
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// The earliest instant of the harness's clock; of a capture with logs alone the first stamp.
    pub(super) fn started_at(&self) -> i64 {
        let seen = self.raw.iter().map(|raw| raw.lo).filter(|lo| *lo > 0);
        let logged = || {
            let lines = self.logs.iter().flat_map(|(_, _, lines)| lines);
            lines.filter_map(|line| crate::evidence::LogLine::parse(line).stamp)
        };
        seen.min().or_else(|| logged().min()).unwrap_or(0)
    }

    /// Writes the record in the order of the instants at which each fact was known.
    pub(super) fn write(
        &mut self,
        info: &RunInfo,
        writer: &mut RunWriter,
    ) -> Result<(u64, u64, Vec<String>), Error> {
        if self.faulty_lines > 0 {
            let reason = format!(
                "{} lines of the capture could not be read",
                self.faulty_lines
            );
            self.blind("capture", reason);
        }
        let mut raw = std::mem::take(&mut self.raw);
        raw.sort_by_key(|raw| raw.hi);
        let (mut events, mut failures, mut blind) = (0, 0, Vec::new());
        for fact in raw {
            let kind = rebase(fact.kind, info);
            failures += u64::from(matches!(kind, EventKind::RequestFailed(_)));
            if let EventKind::Blind(gap) = &kind {
                blind.push(format!("{}: {}", gap.what, gap.reason));
            }
            writer.append(Event {
                seq: 0,
                at: Interval::between(
                    info.offset_of(fact.lo.max(info.started_at)),
                    info.offset_of(fact.hi.max(info.started_at)),
                ),
                clock: Clock::Harness,
                source: fact.source,
                kind,
            })?;
            events += 1;
        }
        for (pod, container, lines) in &self.logs {
            for line in lines {
                writer.append_log(pod, container, line)?;
            }
        }
        Ok((events, failures, blind))
    }
}

/// Turns the epoch nanoseconds inside a fact into offsets of the run.
fn rebase(mut kind: EventKind, info: &RunInfo) -> EventKind {
    let move_to = |at: &mut RunOffset| *at = info.offset_of(at.0);
    let move_some = |at: &mut Option<RunOffset>| {
        if let Some(at) = at {
            *at = info.offset_of(at.0);
        }
    };
    match &mut kind {
        EventKind::Blind(gap) => {
            move_some(&mut gap.from);
            move_some(&mut gap.to);
        }
        EventKind::RequestFailed(request) => {
            move_to(&mut request.intended);
            move_to(&mut request.end);
            for at in [
                &mut request.sent,
                &mut request.connected,
                &mut request.written,
                &mut request.first_byte,
            ] {
                move_some(at);
            }
        }
        EventKind::Requests(counts) => {
            move_to(&mut counts.bucket);
            move_some(&mut counts.latest_sent);
            move_some(&mut counts.earliest_end);
            move_some(&mut counts.latest_end);
        }
        _ => {}
    }
    kind
}
