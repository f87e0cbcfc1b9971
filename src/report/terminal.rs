//! What a person sees at the end of a run: the verdict first, then why.

use super::model::{CauseSummary, FailureEntry, Report};
use super::words::{dropped, only_counted, percent, plural, thousands};
use crate::attribution::{Evidence, LEFT_FIRST_S, PodFinding, Stance};
use crate::verdict::GateStatus;
use std::fmt::Write;

/// So many pieces of evidence are told of a sample: both sides' lines, and the agent's, among them.
const TOLD: usize = 8;

/// The share of a log's lines that is told where they were not understood.
const NOTEWORTHY: f64 = 0.1;

/// Plain text; its meaning needs no colour.
pub fn terminal(report: &Report) -> String {
    let mut out = String::new();
    write_all(&mut out, report).expect("writing into a string cannot fail");
    out
}

fn write_all(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        out,
        "{}  {}: {}",
        report.verdict,
        report.run.name,
        headline(report)
    )?;
    for reason in &report.reasons {
        writeln!(out, "  {reason}")?;
    }
    for cause in &report.causes {
        write_cause(out, report, cause)?;
    }
    if let Some(further) = only_counted(report) {
        writeln!(out, "\n{further}")?;
    }
    write_pods(out, report)?;
    write_advice(out, report)?;
    write_gates(out, report)?;
    write_exposure(out, report)?;
    write_sight(out, report)
}

fn headline(report: &Report) -> String {
    let failed: u64 = report.clients.iter().map(|client| client.failed).sum();
    let failed = failed + report.harness.unstored_failures;
    let sent: Option<u64> = report.clients.iter().map(|client| client.sent).sum();
    let requests = match (sent, failed) {
        (Some(sent), 0) => format!("none of {} failed", plural(sent, "request")),
        (Some(sent), failed) => {
            format!(
                "{} of {} failed",
                thousands(failed),
                plural(sent, "request")
            )
        }
        (None, failed) => format!("{} failed", plural(failed, "request")),
    };
    match report.outbound.lost {
        0 => requests,
        lost => format!(
            "{requests}, {} of terminating pods lost",
            plural(lost, "outbound call")
        ),
    }
}

fn write_cause(out: &mut String, report: &Report, cause: &CauseSummary) -> std::fmt::Result {
    let confidence: Vec<String> = cause
        .confidence
        .iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    let confidence = match confidence.as_slice() {
        [] => String::new(),
        words => format!(" ({})", words.join(", ")),
    };
    writeln!(
        out,
        "\n{}  {}{confidence}: {}",
        cause.cause,
        dropped(cause),
        cause.meaning
    )?;
    if !cause.places.is_empty() {
        writeln!(out, "  where: {}", cause.places.join("; "))?;
    }
    let mut failures = report.failures.iter();
    let mut pods = report.pods.iter();
    if let Some(sample) =
        failures.find(|failure| failure.request_id == cause.sample && failure.cause == cause.cause)
    {
        write_sample(out, sample)
    } else if let Some(pod) = pods.find(|pod| pod.pod == cause.sample) {
        write_pod_sample(out, pod)
    } else {
        Ok(())
    }
}

fn write_pod_sample(out: &mut String, pod: &PodFinding) -> std::fmt::Result {
    let lost = plural(pod.outbound_failures.unwrap_or(0), "outbound call");
    writeln!(out, "  e.g. {lost} of pod {}", pod.pod)?;
    for evidence in pod.evidence.iter().take(TOLD) {
        writeln!(out, "    {}", evidence_line(evidence))?;
    }
    Ok(())
}

fn write_sample(out: &mut String, sample: &FailureEntry) -> std::fmt::Result {
    let pod = sample
        .pod
        .as_ref()
        .map_or(String::new(), |pod| format!(", pod {pod}"));
    writeln!(
        out,
        "  e.g. {} sent {:+.3}s by {}: {}{pod}",
        sample.request_id, sample.sent, sample.client, sample.seen
    )?;
    let told_below = |evidence: &Evidence| {
        let runner_up = sample.runner_up.as_ref();
        evidence.stance == Stance::Against
            && runner_up.is_some_and(|other| evidence.text.contains(&other.against))
    };
    let evidence = sample.evidence.iter().filter(|e| !told_below(e));
    for evidence in evidence.take(TOLD) {
        writeln!(out, "    {}", evidence_line(evidence))?;
    }
    if let Some(runner_up) = &sample.runner_up {
        writeln!(out, "    not {}: {}", runner_up.cause, runner_up.against)?;
    }
    if !sample.modifiers.is_empty() {
        let ids: Vec<&str> = sample.modifiers.iter().map(|m| m.id()).collect();
        writeln!(out, "    ({})", ids.join(", "))?;
    }
    Ok(())
}

pub(super) fn evidence_line(evidence: &Evidence) -> String {
    let stance = match evidence.stance {
        Stance::For => "for",
        Stance::Against => "against",
        Stance::Context => "seen",
    };
    let at = evidence.at.map_or(String::new(), |at| format!("{at} "));
    let line = evidence
        .line
        .as_ref()
        .map_or(String::new(), |line| format!(" [{line}]"));
    format!("{stance:<8}{at}{}{line}", evidence.text)
}

fn write_pods(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.pods.is_empty() {
        return Ok(());
    }
    writeln!(out, "\npods")?;
    for pod in &report.pods {
        let mut facts = Vec::new();
        if !pod.exit_codes.is_empty() {
            let codes: Vec<String> = pod
                .exit_codes
                .iter()
                .map(|(container, code)| format!("{container} {code}"))
                .collect();
            facts.push(format!("exit {}", codes.join(", ")));
        }
        if let Some(margin) = pod.margin_ms {
            facts.push(format!("margin {:.1} s", margin as f64 / 1e3));
        }
        if let Some(lead) = pod.sidecar_lead_s {
            let order = if lead > 0.0 { "before" } else { "after" };
            let rough = pod.sidecar_lead_between_s.map(|(lo, hi)| (hi - lo) / 2.0);
            let rough = rough.filter(|rough| *rough > LEFT_FIRST_S);
            let rough = rough.map_or(String::new(), |by| format!(", give or take {by:.1} s"));
            let lead = lead.abs();
            facts.push(format!("sidecar ended {lead:.1} s {order} the app{rough}"));
        }
        if let Some(lost) = pod.outbound_failures.filter(|lost| *lost > 0) {
            facts.push(format!("{} lost", plural(lost, "outbound call")));
        }
        if pod.exposed > 0 {
            facts.push(format!("{} exposed", plural(pod.exposed, "request")));
        }
        facts.extend(pod.hazards.iter().map(|hazard| format!("hazard {hazard}")));
        writeln!(out, "  {}  {}", pod.pod, facts.join("; "))?;
    }
    Ok(())
}

fn write_advice(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.advice.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nwhat to change")?;
    for advice in &report.advice {
        writeln!(out, "  {}: {}", advice.cures, advice.text)?;
        for line in advice.manifest.iter().flat_map(|manifest| manifest.lines()) {
            writeln!(out, "      {line}")?;
        }
    }
    Ok(())
}

fn write_gates(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "\ngates")?;
    for gate in &report.gates {
        let status = match gate.status {
            GateStatus::Held => "held",
            GateStatus::Broken => "broken",
            GateStatus::Inconclusive => "inconclusive",
        };
        writeln!(
            out,
            "  {status:<13}{:<20} {} (limit {})",
            gate.name,
            gate.observed_words(),
            gate.limit
        )?;
    }
    Ok(())
}

fn write_exposure(out: &mut String, report: &Report) -> std::fmt::Result {
    let exposure = &report.exposure;
    write!(
        out,
        "\nexposure  {} started inside {} ({:.1} s)",
        plural(exposure.requests, "request"),
        plural(exposure.terminations, "termination"),
        exposure.seconds
    )?;
    if let Some(bound) = report.bound.per_request {
        write!(
            out,
            "\nbound     at 95 % confidence at most {} of such requests fail",
            percent(bound)
        )?;
    }
    if let Some(bound) = report.bound.per_termination {
        write!(
            out,
            ", and at most {} of terminations drop any",
            percent(bound)
        )?;
    }
    writeln!(out)?;
    if report.control.requests > 0 {
        writeln!(
            out,
            "control   {} of {} failed without a disruption",
            thousands(report.control.failed),
            plural(report.control.requests, "request")
        )?;
    }
    if let Some(slip) = report.harness.slip_p99_ms {
        writeln!(out, "harness   slip p99 {slip:.2} ms")?;
    }
    Ok(())
}

/// By how much a clock is ahead; a side that nothing bounds is said, not made up.
fn ahead(lo: Option<i64>, hi: Option<i64>) -> String {
    let seconds = |nanos: i64| format!("{:+.3} s", nanos as f64 / 1e9);
    match (lo, hi) {
        (Some(lo), Some(hi)) => {
            format!("{} to {} ahead of the harness", seconds(lo), seconds(hi))
        }
        (Some(lo), None) => format!(
            "at least {} ahead of the harness; nothing bounds how much more",
            seconds(lo)
        ),
        (None, Some(hi)) => format!(
            "at most {} ahead of the harness; nothing bounds how much less",
            seconds(hi)
        ),
        (None, None) => "nothing bounds its offset from the harness".to_owned(),
    }
}

fn write_sight(out: &mut String, report: &Report) -> std::fmt::Result {
    for clock in &report.clocks {
        let trust = if clock.unreliable { ", unreliable" } else { "" };
        writeln!(
            out,
            "clock     {}: {} ({}{trust})",
            clock.clock,
            ahead(clock.lo, clock.hi),
            clock.method
        )?;
    }
    for blind in &report.blindness {
        let span = match (blind.from, blind.to) {
            (None, None) => "never seen".to_owned(),
            (from, to) => format!(
                "not seen from {} to {}",
                from.map_or_else(|| "the start".to_owned(), |at| at.to_string()),
                to.map_or_else(|| "the end".to_owned(), |at| at.to_string())
            ),
        };
        writeln!(out, "blind     {}: {span} ({})", blind.what, blind.reason)?;
    }
    write_not_understood(out, report)?;
    write_masked(out, report)
}

/// Logs that are in a format that nobody told us; some plain lines are every log's.
fn write_not_understood(out: &mut String, report: &Report) -> std::fmt::Result {
    let logs = report.logs_not_understood.iter();
    for log in logs.filter(|log| log.lines as f64 > NOTEWORTHY * log.of_lines as f64) {
        writeln!(
            out,
            "unread    {}/{}: {} of {} were in no known format (`spec.observe.accessLogFormat` declares one)",
            log.pod,
            log.container,
            thousands(log.lines),
            plural(log.of_lines, "line")
        )?;
    }
    Ok(())
}

/// What retries hid, and what they did twice.
fn write_masked(out: &mut String, report: &Report) -> std::fmt::Result {
    let seen = report.masked_at_least;
    match (report.masked, &report.masked_hint) {
        (Some(masked), _) => writeln!(
            out,
            "masked    {} saved by a proxy's retry",
            plural(masked, "request")
        )?,
        (None, Some(hint)) if seen > 0 => writeln!(
            out,
            "masked    at least {} saved by a proxy's retry; not all are seen: {hint}",
            plural(seen, "request")
        )?,
        (None, Some(hint)) => writeln!(out, "masked    not measured: {hint}")?,
        (None, None) => {}
    }
    if report.doubled > 0 {
        writeln!(
            out,
            "doubled   {} reached the apps of two pods",
            plural(report.doubled, "request")
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ahead;

    #[test]
    fn a_clock_that_a_lease_bounds_on_one_side_has_no_figure_on_the_other() {
        assert_eq!(
            ahead(Some(-12_000_000), None),
            "at least -0.012 s ahead of the harness; nothing bounds how much more"
        );
        assert_eq!(
            ahead(Some(-1_000_000), Some(4_000_000)),
            "-0.001 s to +0.004 s ahead of the harness"
        );
    }
}
