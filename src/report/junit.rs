//! JUnit XML for CI systems: one test case a gate.

use super::model::Report;
use super::words::dropped;
use crate::verdict::{Gate, GateStatus};
use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

/// Renders one suite with a case for each gate and one for the run itself.
pub fn junit(report: &Report) -> String {
    let mut suite = TestSuite::new(format!("lastwatch.{}", report.run.name));
    for gate in &report.gates {
        suite.add_test_case(case(&gate.name, gate_status(gate, report)));
    }
    suite.add_test_case(case("verdict", verdict_status(report)));
    let mut junit = Junit::new("lastwatch");
    junit.add_test_suite(suite);
    junit
        .to_string()
        .expect("a report in memory can be serialised")
}

fn case(name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname("lastwatch");
    case
}

fn gate_status(gate: &Gate, report: &Report) -> TestCaseStatus {
    let figures = format!("observed {}, limit {}", gate.observed_words(), gate.limit);
    match gate.status {
        GateStatus::Held => TestCaseStatus::success(),
        GateStatus::Broken => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(figures).set_type("broken");
            status.set_description(causes(report));
            status
        }
        GateStatus::Inconclusive => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(figures).set_type("inconclusive");
            status.set_description(report.reasons.join("\n"));
            status
        }
    }
}

fn verdict_status(report: &Report) -> TestCaseStatus {
    use crate::verdict::Outcome;
    let kind = match report.verdict {
        Outcome::Pass => return TestCaseStatus::success(),
        Outcome::Fail => NonSuccessKind::Failure,
        Outcome::Inconclusive => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_message(report.verdict.to_string())
        .set_type(report.verdict.to_string());
    status.set_description(report.reasons.join("\n"));
    status
}

fn causes(report: &Report) -> String {
    let mut lines: Vec<String> = report
        .causes
        .iter()
        .map(|cause| {
            format!(
                "{}: {} ({}); sample {}",
                cause.cause,
                dropped(cause),
                cause.meaning,
                cause.sample
            )
        })
        .collect();
    lines.extend(
        report
            .pods
            .iter()
            .filter(|pod| !pod.hazards.is_empty())
            .map(|pod| format!("{}: {}", pod.pod, pod.hazards.join(", "))),
    );
    lines.join("\n")
}
