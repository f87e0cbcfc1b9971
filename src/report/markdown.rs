//! Markdown for a comment on a pull request.

use super::model::Report;
use super::words::{dropped, only_counted, percent, plural};
use crate::verdict::{GateStatus, Outcome};
use std::fmt::Write;

/// Renders the verdict, the causes, the gates and what to change.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    write_all(&mut out, report).expect("writing into a string cannot fail");
    out
}

fn write_all(out: &mut String, report: &Report) -> std::fmt::Result {
    let mark = match report.verdict {
        Outcome::Pass => "✅",
        Outcome::Fail => "❌",
        Outcome::Inconclusive => "❔",
    };
    writeln!(
        out,
        "### {mark} lastwatch: {} — {}\n",
        report.verdict,
        escape(&report.run.name)
    )?;
    for reason in &report.reasons {
        writeln!(out, "- {}", escape(reason))?;
    }
    if !report.reasons.is_empty() {
        writeln!(out)?;
    }
    causes(out, report)?;
    gates(out, report)?;
    exposure(out, report)?;
    pods(out, report)?;
    advice(out, report)
}

fn causes(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.causes.is_empty() {
        return Ok(());
    }
    writeln!(out, "| cause | dropped | what it means | where | sample |")?;
    writeln!(out, "|---|---|---|---|---|")?;
    for cause in &report.causes {
        writeln!(
            out,
            "| `{}` | {} | {} | {} | `{}` |",
            cause.cause,
            dropped(cause),
            escape(&cause.meaning),
            escape(&cause.places.join("; ")),
            escape(&cause.sample)
        )?;
    }
    writeln!(out)?;
    if let Some(further) = only_counted(report) {
        writeln!(out, "{further}.\n")?;
    }
    Ok(())
}

fn gates(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "| gate | status | observed | limit |")?;
    writeln!(out, "|---|---|---:|---:|")?;
    for gate in &report.gates {
        let status = match gate.status {
            GateStatus::Held => "held",
            GateStatus::Broken => "**broken**",
            GateStatus::Inconclusive => "inconclusive",
        };
        writeln!(
            out,
            "| `{}` | {status} | {} | {} |",
            gate.name,
            gate.observed_words(),
            gate.limit
        )?;
    }
    writeln!(out)
}

fn exposure(out: &mut String, report: &Report) -> std::fmt::Result {
    let exposure = &report.exposure;
    write!(
        out,
        "{} inside {}",
        plural(exposure.requests, "request"),
        plural(exposure.terminations, "termination")
    )?;
    if let Some(bound) = report.bound.per_request {
        write!(
            out,
            "; 95 % upper bound of the failure probability: {} a request",
            percent(bound)
        )?;
    }
    writeln!(out, ".\n")
}

fn pods(out: &mut String, report: &Report) -> std::fmt::Result {
    for pod in report.pods.iter().filter(|pod| !pod.hazards.is_empty()) {
        let hazards: Vec<String> = pod.hazards.iter().map(|h| escape(h)).collect();
        writeln!(out, "- `{}`: {}", escape(&pod.pod), hazards.join(", "))?;
    }
    Ok(())
}

fn advice(out: &mut String, report: &Report) -> std::fmt::Result {
    for advice in &report.advice {
        writeln!(
            out,
            "\n**{}**: {}",
            escape(&advice.cures),
            escape(&advice.text)
        )?;
        if let Some(manifest) = &advice.manifest {
            writeln!(out, "\n```yaml\n{manifest}\n```")?;
        }
    }
    Ok(())
}

/// Takes the meaning from characters that Markdown or HTML would read as markup. Backticks stay: our
/// own sentences use them. A cluster's names hold none; an imported request's id may, and then ends
/// its code span early.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '|' => safe.push_str("\\|"),
            '\n' | '\r' => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}
