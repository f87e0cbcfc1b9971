//! What is the whole evidence chain of one failed request, as a time line?

mod describe;

use super::terminal::evidence_line;
use super::words::{meaning, seen};
use crate::attribution::{Attribution, Findings};
use crate::evidence::{
    Clock, EventKind, FailedRequest, Interval, RequestPhase, Resource, RunOffset, Timeline,
};
use describe::{describe, name_of};
use std::collections::BTreeSet;
use std::fmt::Write;

/// How far before the sending and after the failure the time line looks, in nanoseconds.
const BEFORE: i64 = 10_000_000_000;
const AFTER: i64 = 3_000_000_000;

/// Lines of one log that are shown at most: the nearest to the failure.
const MAX_LOG_LINES: usize = 20;

/// The request is not in the record.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// No failed request has this id.
    #[error("no failed request `{id}` in this run\nhint: {hint}")]
    Unknown {
        /// What was asked for.
        id: String,
        /// An id that exists, or that there is none.
        hint: String,
    },
}

/// One row of the time line.
struct Row {
    at: Interval,
    who: String,
    text: String,
}

/// Tells one failed request. `id` may be the beginning of an id where only one fits.
pub fn explain(timeline: &Timeline, findings: &Findings, id: &str) -> Result<String, ExplainError> {
    let (found, request) = find(timeline, findings, id)?;
    let mut out = String::new();
    write_head(&mut out, found, request).expect("writing into a string cannot fail");
    let mut rows = request_rows(request);
    let pods = pods_of_interest(timeline, found, request);
    rows.extend(event_rows(timeline, found, request, &pods));
    rows.extend(log_rows(timeline, findings, request, &pods));
    rows.sort_by_key(|row| (row.at.lo, row.at.hi));
    let width = rows.iter().map(|row| row.who.len()).max().unwrap_or(0);
    for row in rows {
        writeln!(
            out,
            "  {:>21}  {:width$}  {}",
            row.at.to_string(),
            row.who,
            row.text
        )
        .expect("writing into a string cannot fail");
    }
    Ok(out)
}

fn find<'a>(
    timeline: &'a Timeline,
    findings: &'a Findings,
    id: &str,
) -> Result<(&'a Attribution, &'a FailedRequest), ExplainError> {
    let mut fitting = findings
        .failures
        .iter()
        .filter(|failure| failure.request_id.starts_with(id));
    let first = fitting.next();
    let exact = findings.failures.iter().find(|f| f.request_id == id);
    let found = match (exact, first, fitting.next()) {
        (Some(exact), ..) => exact,
        (None, Some(only), None) if !id.is_empty() => only,
        _ => {
            let hint = findings.failures.first().map_or_else(
                || "no request failed in this run".to_owned(),
                |failure| format!("for example `{}`", failure.request_id),
            );
            let id = id.to_owned();
            return Err(ExplainError::Unknown { id, hint });
        }
    };
    let request = timeline
        .events
        .iter()
        .find_map(|event| match &event.kind {
            EventKind::RequestFailed(request) if event.seq == found.event => Some(request.as_ref()),
            _ => None,
        })
        .expect("an attribution belongs to a failed request of the record");
    Ok((found, request))
}

fn write_head(
    out: &mut String,
    found: &Attribution,
    request: &FailedRequest,
) -> Result<(), std::fmt::Error> {
    writeln!(
        out,
        "{} {} by {}: {}",
        request.method,
        request.path,
        request.client,
        seen(request)
    )?;
    let confidence = serde_json::to_value(found.confidence).expect("a plain name");
    let hop = serde_json::to_value(found.hop).expect("a plain name");
    writeln!(
        out,
        "{} ({}, broke at {}{}): {}",
        found.cause,
        confidence.as_str().unwrap_or_default(),
        hop.as_str().unwrap_or_default(),
        found
            .pod
            .as_ref()
            .map_or(String::new(), |pod| format!(" of {pod}")),
        meaning(found.cause)
    )?;
    for evidence in &found.evidence {
        let events: Vec<String> = evidence.events.iter().map(u64::to_string).collect();
        let cited = if events.is_empty() {
            String::new()
        } else {
            format!(" (events {})", events.join(", "))
        };
        writeln!(out, "  {}{cited}", evidence_line(evidence))?;
    }
    if let Some(runner_up) = &found.runner_up {
        writeln!(out, "  not {}: {}", runner_up.cause, runner_up.against)?;
    }
    writeln!(
        out,
        "\ntime line (seconds since the start of the run, by the harness's clock)"
    )
}

fn request_rows(request: &FailedRequest) -> Vec<Row> {
    let instants = [
        (Some(request.intended), "meant to be sent"),
        (request.sent, "begins"),
        (request.connected, "connected"),
        (request.written, "request written"),
        (request.first_byte, "first byte of the answer"),
    ];
    let mut rows: Vec<Row> = instants
        .into_iter()
        .filter_map(|(at, text)| {
            Some(Row {
                at: Interval::point(at?),
                who: "request".to_owned(),
                text: text.to_owned(),
            })
        })
        .collect();
    let body = match (&request.response.body, request.phase) {
        (Some(body), RequestPhase::Body) if !body.is_empty() => format!(", body `{body}`"),
        _ => String::new(),
    };
    rows.push(Row {
        at: Interval::point(request.end),
        who: "request".to_owned(),
        text: format!("fails: {}{body}", seen(request)),
    });
    rows
}

/// The named pod, or all that changed around the failure.
fn pods_of_interest(
    timeline: &Timeline,
    found: &Attribution,
    request: &FailedRequest,
) -> BTreeSet<String> {
    if let Some(pod) = &found.pod {
        return BTreeSet::from([pod.clone()]);
    }
    timeline
        .events
        .iter()
        .filter(|event| near(event.at, request))
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

fn near(at: Interval, request: &FailedRequest) -> bool {
    let from = request.intended.0 - BEFORE;
    let to = request.end.0 + AFTER;
    at.hi.0 >= from && at.lo.0 <= to
}

fn event_rows(
    timeline: &Timeline,
    found: &Attribution,
    request: &FailedRequest,
    pods: &BTreeSet<String>,
) -> Vec<Row> {
    let cited: BTreeSet<u64> = found
        .evidence
        .iter()
        .flat_map(|evidence| evidence.events.iter().copied())
        .filter(|seq| *seq != found.event)
        .collect();
    let mut described = BTreeSet::new();
    timeline
        .events
        .iter()
        .filter(|event| cited.contains(&event.seq) || near(event.at, request))
        .filter_map(|event| {
            let (who, text) = describe(event, pods, cited.contains(&event.seq))?;
            // A watch repeats states; the first delivery of each is the news.
            described
                .insert((who.clone(), text.clone()))
                .then_some(Row {
                    at: event.at,
                    who,
                    text,
                })
        })
        .collect()
}

fn log_rows(
    timeline: &Timeline,
    findings: &Findings,
    request: &FailedRequest,
    pods: &BTreeSet<String>,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for log in timeline.logs.iter().filter(|log| pods.contains(&log.pod)) {
        let (lo, hi) = offset_bounds(timeline, findings, &log.pod);
        let mut nearby: Vec<Row> = log
            .lines
            .iter()
            .filter_map(|line| {
                let offset = timeline.run.offset_of(line.stamp?);
                let at = Interval {
                    lo: RunOffset(offset.0.saturating_sub(hi)),
                    hi: RunOffset(offset.0.saturating_sub(lo)),
                };
                let masked = masked_id(&request.request_id);
                let own = masked_id(&line.text).contains(&masked);
                let noise = line.text.starts_with('[') || line.text.starts_with('{');
                (own || (near(at, request) && !noise)).then(|| Row {
                    at,
                    who: format!("{}/{}", log.pod, log.container),
                    text: line.text.clone(),
                })
            })
            .collect();
        nearby.sort_by_key(|row| (row.at.lo.0 - request.end.0).abs());
        nearby.truncate(MAX_LOG_LINES);
        rows.extend(nearby);
    }
    rows
}

/// Envoy may alter the 15th character of a uuid (facts 4.7): compare without it.
fn masked_id(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = text.to_owned();
    for start in 0..bytes.len() {
        let is_uuid = bytes.len() >= start + 36
            && bytes[start..start + 36].iter().enumerate().all(|(i, b)| {
                if [8, 13, 18, 23].contains(&i) {
                    *b == b'-'
                } else {
                    b.is_ascii_hexdigit()
                }
            });
        if is_uuid {
            out.replace_range(start + 14..start + 15, "x");
        }
    }
    out
}

/// How far the clock of the pod's node is ahead of the harness's, at least and at most.
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
        .map_or((0, 0), |bound| (bound.lo, bound.hi))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_a_proxy_sampled_is_still_found() {
        let sent = masked_id("5a6137c0-ff27-4c66-bd06-59ba1aa53ddc");
        let line = "GET / \"5a6137c0-ff27-9c66-bd06-59ba1aa53ddc\" via_upstream";
        assert!(masked_id(line).contains(&sent));
        assert_eq!(masked_id("short"), "short");
    }
}
