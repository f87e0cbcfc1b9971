//! What do the proxies' lines say about their nodes' clocks?
//!
//! A request that we sent and saw end was begun by a proxy in between (facts 6.6); one that was
//! answered was over for the proxy before. An agent hears of a deletion after it.

use super::{Access, ProxyLogs};
use crate::evidence::{
    ClientInfo, Clock, Constraint, FailedRequest, MarkedRequest, PodLife, RunOffset, Timeline,
    WATCH_LATENCY,
};
use std::collections::{BTreeMap, HashMap};

/// Two clocks that nobody sets part by less than the time over this: 100 microseconds in a second.
/// Marked requests are sent at the beginning of a run and bound a clock until its end.
const DRIFTS_APART_IN: i64 = 10_000;

/// When a request was under way, epoch nanoseconds by the harness.
struct Span {
    sent: i64,
    /// When its end was seen; `None`: nobody knows.
    end: Option<i64>,
    /// The proxy was busy with it for so long before that end, at least.
    lasted: i64,
    /// By how much the clocks may have parted since.
    drift: i64,
}

/// All that the proxies' lines say.
pub(in crate::attribution::scene) fn constraints(
    timeline: &Timeline,
    proxies: &ProxyLogs,
    lives: &[PodLife],
    clients: &BTreeMap<String, ClientInfo>,
    nodes: &HashMap<String, String>,
    found: &mut Vec<Constraint>,
) {
    let wall = |at: RunOffset| timeline.run.started_at + at.0;
    for (_, request) in timeline.failed_requests() {
        for line in proxies.of_request(&request.request_id) {
            started_within(timeline, request, line, nodes, found);
        }
    }
    let ends = timeline.events.iter().map(|event| event.at.hi);
    let until = ends.max().unwrap_or_default();
    for request in timeline.marked_requests() {
        let client = clients.get(&request.client);
        for line in proxies.of_request(&request.request_id) {
            if is_on_its_way(request, line, client, lives) {
                let span = marked_span(timeline, until, request, line);
                if let Some(span) = span {
                    within(line, &span, nodes, found);
                }
            }
        }
    }
    for life in lives {
        let (Some(node), Some(proxy)) = (&life.node, proxies.lives.get(&life.name)) else {
            continue;
        };
        let clock = || Clock::Node(node.clone());
        let ended = life.sidecar().and_then(|spec| life.end_of(&spec.name));
        if let (Some(aborted), Some(end)) = (proxy.aborted, ended) {
            let method = "an agent's last words against the arrival of its end";
            found.push(Constraint::stamped_before(
                clock(),
                aborted.at,
                wall(end.seen),
                method,
            ));
        }
        if let (Some(told), Some(deletion)) = (proxy.told, &life.deletion)
            && !life.going_before_run
            && !life.unseen
        {
            let method = "agents are told to stop after their pod's deletion";
            let known = wall(deletion.seen) - WATCH_LATENCY;
            found.push(Constraint::stamped_after(
                clock(),
                told.at,
                0,
                known,
                true,
                method,
            ));
        }
    }
}

/// A proxy began with the request after it was sent and before its end was seen.
pub(in crate::attribution::scene) fn started_within(
    timeline: &Timeline,
    request: &FailedRequest,
    line: &Access,
    nodes: &HashMap<String, String>,
    found: &mut Vec<Constraint>,
) {
    let wall = |at: RunOffset| timeline.run.started_at + at.0;
    let span = Span {
        sent: wall(request.sent.unwrap_or(request.intended)),
        end: Some(wall(request.end)),
        lasted: 0,
        drift: 0,
    };
    within(line, &span, nodes, found);
}

fn within(
    line: &Access,
    span: &Span,
    nodes: &HashMap<String, String>,
    found: &mut Vec<Constraint>,
) {
    let (Some(node), Some(start)) = (nodes.get(&line.pod), line.start) else {
        return;
    };
    let clock = Clock::Node(node.clone());
    let method = "access lines of requests that we sent";
    if let Some(end) = span.end {
        let over = start.saturating_add(span.lasted - span.drift);
        let before = Constraint::stamped_before(clock.clone(), over, end, method);
        found.push(before);
    }
    let floor = line.floor + span.drift;
    let after = Constraint::stamped_after(clock, start, floor, span.sent, false, method);
    found.push(after);
}

/// A proxy is done with an answer before its last byte has come. A request that it gave up, or that was
/// given up at it, it may even have begun with later. `None`: the line says that it took longer than
/// it did.
fn marked_span(
    timeline: &Timeline,
    until: RunOffset,
    request: &MarkedRequest,
    line: &Access,
) -> Option<Span> {
    let wall = |at: RunOffset| timeline.run.started_at + at.0;
    let since = until.0.saturating_sub(request.sent.0);
    let answered = line.flags.is_empty() && line.code.is_some_and(|code| code > 0);
    let duration = line.duration_ms.filter(|_| answered).unwrap_or(0);
    let duration = i64::try_from(duration).unwrap_or(i64::MAX / MILLISECOND);
    let lasted = duration.saturating_mul(MILLISECOND);
    let longest = request.answered.map(|answered| answered.0 - request.sent.0);
    longest
        .is_none_or(|longest| lasted <= longest)
        .then(|| Span {
            sent: wall(request.sent),
            end: request.answered.filter(|_| answered).map(wall),
            lasted,
            drift: since.max(0) / DRIFTS_APART_IN,
        })
}

/// The line is of the request itself. An app may hand the id on, a proxy may send a copy elsewhere,
/// and neither has to begin before the answer.
fn is_on_its_way(
    request: &MarkedRequest,
    line: &Access,
    client: Option<&ClientInfo>,
    lives: &[PodLife],
) -> bool {
    let query = format!("lastwatch-id={}", request.request_id);
    if line
        .path
        .as_ref()
        .is_some_and(|path| !path.contains(&query))
    {
        return false;
    }
    if !line.inbound {
        return client.is_some_and(|client| client.pod.as_ref() == Some(&line.pod));
    }
    // A StatefulSet's next pod of that name may run on another node.
    let mut own = lives.iter().filter(|life| life.name == line.pod);
    let Some(first) = own.next() else {
        return false;
    };
    let named = request.pod.as_ref();
    own.all(|life| life.node == first.node) && named.is_none_or(|pod| *pod == line.pod)
}

const MILLISECOND: i64 = 1_000_000;
