//! Which instants of the record belong into a story, and on whose line?

use super::describe::{Reader, describe, name_of};
use crate::attribution::{Evidence, Findings};
use crate::evidence::{
    Clock, ContainerLog, EventKind, FailedRequest, Interval, Resource, RunOffset, Timeline,
};
use crate::report::words::seen;
use std::collections::BTreeSet;

/// How far before the sending and after the failure a story looks, in nanoseconds.
const BEFORE: i64 = 10_000_000_000;
const AFTER: i64 = 3_000_000_000;

/// Lines of one log that are told at most: the nearest to the centre of the story.
const MAX_LOG_LINES: usize = 20;

/// So many lines of one shape after a first one are told as one.
const FOLDED: usize = 3;

/// One instant of a story.
pub(super) struct Row {
    pub(super) at: Interval,
    /// Whose line it is on: `request`, `pod demo-1`, `demo-1/app`, `slice demo-x`.
    pub(super) who: String,
    pub(super) text: String,
}

/// What a story is about.
pub(super) struct Focus<'a> {
    /// The span of the record that it looks at.
    pub(super) span: Interval,
    /// The log lines nearest to this instant are told.
    pub(super) centre: RunOffset,
    /// The pods that it follows.
    pub(super) pods: BTreeSet<String>,
    /// The request whose id is looked for in logs.
    pub(super) request: Option<&'a str>,
    /// Events that evidence cites: told wherever they are.
    pub(super) cited: BTreeSet<u64>,
}

impl Focus<'_> {
    fn holds(&self, at: Interval) -> bool {
        at.hi >= self.span.lo && at.lo <= self.span.hi
    }
}

/// The span around a request.
pub(super) fn around(request: &FailedRequest) -> Interval {
    Interval {
        lo: RunOffset(request.intended.0 - BEFORE),
        hi: RunOffset(request.end.0 + AFTER),
    }
}

/// The span of a pod's end.
pub(super) fn around_window(window: Interval) -> Interval {
    Interval {
        lo: RunOffset(window.lo.0 - AFTER),
        hi: RunOffset(window.hi.0 + AFTER),
    }
}

/// The events that a chain of evidence cites.
pub(super) fn cited(evidence: &[Evidence]) -> BTreeSet<u64> {
    let events = evidence.iter().flat_map(|evidence| &evidence.events);
    events.copied().collect()
}

/// Everything that belongs into a story, in order.
pub(super) fn rows(timeline: &Timeline, findings: &Findings, focus: &Focus<'_>) -> Vec<Row> {
    let mut rows = event_rows(timeline, focus);
    let logs = timeline.logs.iter();
    for log in logs.filter(|log| focus.pods.contains(&log.pod)) {
        rows.extend(log_rows(timeline, findings, focus, log));
    }
    rows.sort_by_key(|row| (row.at.lo, row.at.hi));
    rows
}

/// The instants of the request itself.
pub(super) fn request_rows(request: &FailedRequest) -> Vec<Row> {
    let instants = [
        (Some(request.intended), "meant to be sent".to_owned()),
        (request.sent, "begins".to_owned()),
        (request.connected, "connected".to_owned()),
        (request.written, "request written".to_owned()),
        (request.first_byte, "first byte of the answer".to_owned()),
        (Some(request.end), format!("fails: {}", seen(request))),
    ];
    instants
        .into_iter()
        .filter_map(|(at, text)| {
            Some(Row {
                at: Interval::point(at?),
                who: "request".to_owned(),
                text,
            })
        })
        .collect()
}

/// The pods that were terminating within a span.
pub(super) fn terminating_pods(timeline: &Timeline, span: Interval) -> BTreeSet<String> {
    let within = timeline
        .events
        .iter()
        .filter(|event| event.at.hi >= span.lo && event.at.lo <= span.hi);
    within
        .filter_map(|event| match &event.kind {
            EventKind::Object {
                resource: Resource::Pods,
                object,
                ..
            } if object.pointer("/metadata/deletionTimestamp").is_some() => {
                name_of(object).map(str::to_owned)
            }
            _ => None,
        })
        .collect()
}

fn event_rows(timeline: &Timeline, focus: &Focus<'_>) -> Vec<Row> {
    let mut told = BTreeSet::new();
    let reader = Reader::new(timeline, &focus.pods);
    timeline
        .events
        .iter()
        .filter(|event| focus.cited.contains(&event.seq) || focus.holds(event.at))
        .filter_map(|event| {
            let (who, text) = describe(event, &reader, focus.cited.contains(&event.seq))?;
            // A watch repeats states; the first delivery of each is the news.
            told.insert((who.clone(), text.clone())).then_some(Row {
                at: event.at,
                who,
                text,
            })
        })
        .collect()
}

/// The lines of a log around the story, without the access lines of other requests.
fn log_rows(
    timeline: &Timeline,
    findings: &Findings,
    focus: &Focus<'_>,
    log: &ContainerLog,
) -> Vec<Row> {
    let (lo, hi) = offset_bounds(timeline, findings, &log.pod);
    let told: Vec<Row> = log
        .lines
        .iter()
        .filter_map(|line| {
            let offset = timeline.run.offset_of(line.stamp?);
            let at = Interval {
                lo: RunOffset(offset.0.saturating_sub(hi)),
                hi: RunOffset(offset.0.saturating_sub(lo)),
            };
            let own = focus.request.is_some_and(|id| names(&line.text, id));
            let access = line.text.starts_with('[') || line.text.starts_with('{');
            (own || (focus.holds(at) && !access)).then(|| Row {
                at,
                who: format!("{}/{}", log.pod, log.container),
                text: line.text.replace('\t', " "),
            })
        })
        .collect();
    let mut nearby = fold(told);
    nearby.sort_by_key(|row| (row.at.lo.0 - focus.centre.0).abs());
    nearby.truncate(MAX_LOG_LINES);
    nearby
}

/// Of lines that follow each other and differ in numbers only, tells the first and how many more
/// there are: an app that retries fills a log with them.
fn fold(rows: Vec<Row>) -> Vec<Row> {
    let shape = |row: &Row| row.text.replace(|c: char| c.is_ascii_digit(), "");
    let mut kept: Vec<Row> = Vec::new();
    let mut rows = rows.into_iter().peekable();
    while let Some(first) = rows.next() {
        let alike = shape(&first);
        let mut rest = Vec::new();
        while let Some(row) = rows.next_if(|row| shape(row) == alike) {
            rest.push(row);
        }
        let (from, to) = (
            rest.first().map(|row| row.at),
            rest.last().map(|row| row.at),
        );
        let more = from.zip(to).filter(|_| rest.len() >= FOLDED);
        let more = more.map(|(from, to)| Row {
            at: Interval::between(from.lo, to.hi),
            who: first.who.clone(),
            text: format!("{} more lines like it", rest.len()),
        });
        kept.push(first);
        match more {
            Some(more) => kept.push(more),
            None => kept.append(&mut rest),
        }
    }
    kept
}

/// The line has the id, whatever Envoy made of its 15th character (facts 4.7).
fn names(line: &str, id: &str) -> bool {
    let (Some(head), Some(tail)) = (id.get(..14), id.get(15..)) else {
        return line.contains(id);
    };
    line.match_indices(head).any(|(at, _)| {
        let mut rest = line[at + head.len()..].chars();
        rest.next();
        rest.as_str().starts_with(tail)
    })
}

/// How far the clock of the pod's node is ahead of the harness's, at least and at most. A side that
/// nothing bounds is taken to be as the other one: lines are shown near their instant, not everywhere.
fn offset_bounds(timeline: &Timeline, findings: &Findings, pod: &str) -> (i64, i64) {
    let node = timeline.events.iter().find_map(|event| match &event.kind {
        EventKind::Object {
            resource: Resource::Pods,
            object,
            ..
        } if name_of(object) == Some(pod) => object
            .pointer("/spec/nodeName")
            .and_then(|node| node.as_str()),
        _ => None,
    });
    let clock = node.map(|node| Clock::Node(node.to_owned()));
    findings
        .clocks
        .iter()
        .find(|bound| Some(&bound.clock) == clock.as_ref() && !bound.unreliable)
        .map_or((0, 0), |bound| {
            let known = bound.lo.or(bound.hi).unwrap_or(0);
            (bound.lo.unwrap_or(known), bound.hi.unwrap_or(known))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_in_numbers_only_are_told_as_one() {
        let row = |second: i64, text: &str| Row {
            at: Interval::point(RunOffset::from_millis(1_000 * second)),
            who: "demo-1/app".to_owned(),
            text: text.to_owned(),
        };
        let mut rows = vec![row(1, "received SIGTERM"), row(2, "bye 1"), row(3, "bye 2")];
        rows.extend((4..9).map(|second| row(second, &format!("notify {second} failed"))));
        let told: Vec<(i64, i64, String)> = fold(rows)
            .into_iter()
            .map(|row| {
                (
                    row.at.lo.0 / 1_000_000_000,
                    row.at.hi.0 / 1_000_000_000,
                    row.text,
                )
            })
            .collect();
        let expected = [
            (1, 1, "received SIGTERM"),
            (2, 2, "bye 1"),
            (3, 3, "bye 2"),
            (4, 4, "notify 4 failed"),
            (5, 8, "4 more lines like it"),
        ];
        assert_eq!(
            told,
            expected.map(|(lo, hi, text)| (lo, hi, text.to_owned()))
        );
    }

    #[test]
    fn an_id_that_a_proxy_sampled_is_still_found() {
        let sent = "5a6137c0-ff27-4c66-bd06-59ba1aa53ddc";
        let line = "GET / \"5a6137c0-ff27-9c66-bd06-59ba1aa53ddc\" via_upstream";
        assert!(names(line, sent));
        assert!(!names(line, "5a6137c0-ff27-4c66-bd06-59ba1aa53ddd"));
        assert!(names("id short", "short"));
    }
}
