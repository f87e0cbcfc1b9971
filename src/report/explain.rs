//! What is the whole evidence chain of one failed request, or of one pod's end, as a time line?

mod describe;
mod rows;
mod svg;

use super::terminal::evidence_line;
use super::words::{meaning, seen};
use crate::attribution::{Attribution, Findings, PodFinding};
use crate::evidence::{FailedRequest, Timeline};
use rows::{Focus, Row, around, around_window, cited, request_rows, rows, terminating_pods};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Nothing in the record has the name that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("no failed request and no ended pod `{id}` in this run\nhint: {hint}")]
pub struct ExplainError {
    id: String,
    hint: String,
}

/// One thing that happened, told.
pub struct Story {
    title: String,
    /// The cause or the hazards, and what shows them.
    claims: Vec<String>,
    rows: Vec<Row>,
}

/// Tells a failed request by its id, or the end of a pod by its name. The beginning of an id is
/// enough where only one fits.
pub fn explain(timeline: &Timeline, findings: &Findings, id: &str) -> Result<Story, ExplainError> {
    if let Some(pod) = findings.pods.iter().find(|pod| pod.pod == id) {
        return Ok(pod_story(timeline, findings, pod));
    }
    find(timeline, findings, id).map(|(found, request)| {
        let pods = match &found.pod {
            Some(pod) => BTreeSet::from([pod.clone()]),
            None => terminating_pods(timeline, around(request)),
        };
        let mut cited = cited(&found.evidence);
        cited.remove(&found.event);
        let focus = Focus {
            span: around(request),
            centre: request.end,
            pods,
            request: Some(&request.request_id),
            cited,
        };
        let mut rows = rows(timeline, findings, &focus);
        rows.extend(request_rows(request));
        rows.sort_by_key(|row| (row.at.lo, row.at.hi));
        Story {
            title: format!(
                "{} {} by {}: {}",
                request.method,
                request.path,
                request.client,
                seen(request)
            ),
            claims: claims(found),
            rows,
        }
    })
}

impl Story {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n", self.title);
        for claim in &self.claims {
            writeln!(out, "{claim}").expect("writing into a string cannot fail");
        }
        out.push_str("\ntime line (seconds since the start of the run, by the harness's clock)\n");
        let width = self.rows.iter().map(|row| row.who.len()).max().unwrap_or(0);
        for row in &self.rows {
            let at = row.at.to_string();
            writeln!(out, "  {at:>21}  {:width$}  {}", row.who, row.text)
                .expect("writing into a string cannot fail");
        }
        out
    }

    /// As a picture.
    pub fn svg(&self) -> String {
        svg::draw(self)
    }
}

fn pod_story(timeline: &Timeline, findings: &Findings, pod: &PodFinding) -> Story {
    let all = crate::evidence::Interval {
        lo: crate::evidence::RunOffset(i64::MIN),
        hi: crate::evidence::RunOffset(i64::MAX),
    };
    let focus = Focus {
        span: pod.window.map_or(all, around_window),
        centre: pod.window.map_or(all.lo, |window| window.lo),
        pods: BTreeSet::from([pod.pod.clone()]),
        request: None,
        cited: cited(&pod.evidence),
    };
    let mut claims = vec![if pod.hazards.is_empty() {
        "no hazard was seen".to_owned()
    } else {
        pod.hazards.join(", ")
    }];
    if let Some(lead) = pod.sidecar_lead_s {
        let order = if lead < 0.0 { "after" } else { "before" };
        let lead = lead.abs();
        claims.push(format!("  the sidecar ended {lead:.1} s {order} the app"));
    }
    if let Some(lost) = pod.outbound_failures {
        claims.push(format!(
            "  {lost} outbound calls lost after the sidecar's end"
        ));
    }
    claims.extend(
        pod.evidence
            .iter()
            .map(|e| format!("  {}", evidence_line(e))),
    );
    Story {
        title: format!("the end of pod {}", pod.pod),
        claims,
        rows: rows(timeline, findings, &focus),
    }
}

fn find<'a>(
    timeline: &'a Timeline,
    findings: &'a Findings,
    id: &str,
) -> Result<(&'a Attribution, &'a FailedRequest), ExplainError> {
    let exact = findings.failures.iter().find(|f| f.request_id == id);
    let mut fitting = findings
        .failures
        .iter()
        .filter(|failure| !id.is_empty() && failure.request_id.starts_with(id));
    let found = match (exact, fitting.next(), fitting.next()) {
        (Some(exact), ..) => exact,
        (None, Some(only), None) => only,
        _ => {
            let hint = match (findings.failures.first(), findings.pods.first()) {
                (Some(failure), _) => format!("for example `{}`", failure.request_id),
                (None, Some(pod)) => format!("no request failed; for example pod `{}`", pod.pod),
                (None, None) => "no request failed and no pod ended".to_owned(),
            };
            let id = id.to_owned();
            return Err(ExplainError { id, hint });
        }
    };
    let (_, request) = timeline
        .failed_requests()
        .find(|(event, _)| *event == found.event)
        .expect("an attribution belongs to a failed request of the record");
    Ok((found, request))
}

fn claims(found: &Attribution) -> Vec<String> {
    let confidence = serde_json::to_value(found.confidence).expect("a plain name");
    let hop = serde_json::to_value(found.hop).expect("a plain name");
    let pod = found
        .pod
        .as_ref()
        .map_or(String::new(), |pod| format!(" of {pod}"));
    let mut claims = vec![format!(
        "{} ({}, broke at {}{pod}): {}",
        found.cause,
        confidence.as_str().unwrap_or_default(),
        hop.as_str().unwrap_or_default(),
        meaning(found.cause)
    )];
    for evidence in &found.evidence {
        let events: Vec<String> = evidence.events.iter().map(u64::to_string).collect();
        let cited = if events.is_empty() {
            String::new()
        } else {
            format!(" (events {})", events.join(", "))
        };
        claims.push(format!("  {}{cited}", evidence_line(evidence)));
    }
    if let Some(runner_up) = &found.runner_up {
        claims.push(format!("  not {}: {}", runner_up.cause, runner_up.against));
    }
    claims
}
