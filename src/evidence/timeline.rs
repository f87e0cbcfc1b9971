//! What is the whole frozen record of a run, as attribution and verdict read it?

use super::event::{Blindness, Event, EventKind, RunPhase};
use super::marked::MarkedRequest;
use super::request::FailedRequest;
use super::stamp::RunOffset;
use super::store::{LogLine, RunInfo};
use super::unstored::Unstored;

/// All events of a run and the log lines that belong to them, frozen.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// What ran, when and against what.
    pub run: RunInfo,
    /// In the order of the record (`seq`), which is that of arrival.
    pub events: Vec<Event>,
    /// One entry a container, ordered by pod and container.
    pub logs: Vec<ContainerLog>,
}

/// The lines of one container as they were streamed.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerLog {
    /// Pod name.
    pub pod: String,
    /// Container name.
    pub container: String,
    /// In the order of the stream.
    pub lines: Vec<LogLine>,
}

/// A watch that its server has ended in good order is open again within this time.
const RENEWED: i64 = 500_000_000;

impl Timeline {
    /// A gap that never ended, in a record that goes on. A watch that was being renewed as the run
    /// ended has missed nothing of it.
    pub fn is_lost(&self, gap: &Blindness) -> bool {
        let end = self.events.iter().map(|event| event.at.hi.0).max();
        let lasts = |from: RunOffset| end.is_some_and(|end| end - from.0 >= RENEWED);
        gap.to.is_none() && gap.from.is_none_or(lasts)
    }

    /// The log of one container, where it was seen.
    pub fn log(&self, pod: &str, container: &str) -> Option<&ContainerLog> {
        self.logs
            .iter()
            .find(|log| log.pod == pod && log.container == container)
    }

    /// When the first disruption began: what came before it is the control.
    pub fn disrupted_at(&self) -> Option<RunOffset> {
        let phase = self.events.iter().find_map(|event| {
            matches!(event.kind, EventKind::Phase(RunPhase::Disruption)).then_some(event.at.lo)
        });
        phase.or_else(|| {
            self.events.iter().find_map(|event| match &event.kind {
                EventKind::Step(step) if step.state == "started" => Some(event.at.lo),
                _ => None,
            })
        })
    }

    /// Failures that were counted and not stored.
    pub fn unstored_failures(&self) -> Unstored {
        Unstored::of(self)
    }

    /// The stored failed requests, each with the `seq` of its event.
    pub fn failed_requests(&self) -> impl Iterator<Item = (u64, &FailedRequest)> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::RequestFailed(request) => Some((event.seq, request.as_ref())),
            _ => None,
        })
    }

    /// The requests that were sent to be found again in the logs.
    pub fn marked_requests(&self) -> impl Iterator<Item = &MarkedRequest> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::RequestMarked(request) => Some(request),
            _ => None,
        })
    }
}
