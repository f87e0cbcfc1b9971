//! Which pods were there when the watches began?

use super::event::{Change, Event, EventKind, Resource, RunPhase};
use super::stamp::RunOffset;

/// The pods of one first list are delivered no further apart than this.
const INITIAL: i64 = 50_000_000;

/// Until when the pods that appear were there when the watches began.
///
/// A run of ours has first lists, from several watches, while it proves itself; what others recorded
/// does not mark its list, which is a row of additions without a pause.
pub(super) fn listed_by(events: &[Event]) -> Option<RunOffset> {
    let phase = |wanted: RunPhase| {
        let mut events = events.iter();
        events.find(|event| matches!(event.kind, EventKind::Phase(phase) if phase == wanted))
    };
    if phase(RunPhase::SelfProof).is_some()
        && let Some(baseline) = phase(RunPhase::Baseline)
    {
        return Some(baseline.at.hi);
    }
    let pods = events.iter().filter_map(|event| match event.kind {
        EventKind::Object {
            resource: Resource::Pods,
            change,
            ..
        } => Some((event.at.hi, change)),
        _ => None,
    });
    let mut last: Option<RunOffset> = None;
    for (at, change) in pods {
        if change != Change::Added || last.is_some_and(|last| at.0 - last.0 > INITIAL) {
            break;
        }
        last = Some(at);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Clock, Interval, Source};
    use serde_json::Value;

    fn event(millis: i64, kind: EventKind) -> Event {
        let at = RunOffset::from_millis(millis);
        Event {
            seq: 0,
            at: Interval { lo: at, hi: at },
            clock: Clock::Harness,
            source: Source::Watch,
            kind,
        }
    }

    fn pod(millis: i64, change: Change) -> Event {
        let kind = EventKind::Object {
            resource: Resource::Pods,
            change,
            object: Value::Null,
        };
        event(millis, kind)
    }

    fn phase(millis: i64, phase: RunPhase) -> Event {
        event(millis, EventKind::Phase(phase))
    }

    #[test]
    fn a_run_of_ours_lists_while_it_proves_itself_however_far_apart_its_watches_are() {
        let events = [
            phase(0, RunPhase::SelfProof),
            pod(20, Change::Added),
            pod(400, Change::Added),
            phase(900, RunPhase::Baseline),
            pod(950, Change::Added),
        ];
        assert_eq!(listed_by(&events), Some(RunOffset::from_millis(900)));
    }

    #[test]
    fn a_recorded_list_is_a_row_of_additions_without_a_pause() {
        let row = [
            phase(0, RunPhase::Baseline),
            pod(20, Change::Added),
            pod(60, Change::Added),
            pod(100, Change::Added),
        ];
        for later in [pod(110, Change::Modified), pod(400, Change::Added)] {
            let events = [row.as_slice(), &[later, pod(120, Change::Added)]].concat();
            assert_eq!(listed_by(&events), Some(RunOffset::from_millis(100)));
        }
        assert_eq!(listed_by(&[]), None);
    }
}
