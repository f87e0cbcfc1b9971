//! How are figures and causes put into words?

use super::model::{CauseSummary, Report};
use crate::attribution::Cause;
use crate::evidence::{ConnectionKind, ErrorClass, FailedRequest, Outcome, RequestPhase};
use crate::load::SAMPLE_STRIDE;

/// What the client saw where its own machine had no more.
pub(super) const LOCAL_LIMIT: &str = "no local port or file handle";

/// `3001` as `3,001`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 pod`, `2 pods`.
pub(super) fn plural(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", thousands(number))
}

/// What the causes do not count, in one sentence.
pub(super) fn only_counted(report: &Report) -> Option<String> {
    let number = report.harness.unstored_failures;
    let failures = match number {
        0 => return None,
        1 => "1 further failure was".to_owned(),
        _ => format!("{} further failures were", thousands(number)),
    };
    let why = if report.run.origin == "import" {
        "the capture does not hold them".to_owned()
    } else {
        format!("of those beyond the limit every {SAMPLE_STRIDE}th was kept")
    };
    Some(format!("{failures} only counted: {why}"))
}

/// What a cause dropped: `3 requests, 60 outbound calls`.
pub(super) fn dropped(cause: &CauseSummary) -> String {
    let counts = [(cause.count, "request"), (cause.calls, "outbound call")];
    let counted: Vec<String> = counts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| plural(number, noun))
        .collect();
    counted.join(", ")
}

/// A probability with two significant digits: `0.10 %`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 {
        format!("{percent:.0} %")
    } else if percent >= 0.1 {
        format!("{percent:.2} %")
    } else {
        format!("{percent:.4} %")
    }
}

/// What the client saw: `refused in connect on a new connection`.
pub(super) fn seen(request: &FailedRequest) -> String {
    let what = match &request.outcome {
        Outcome::Status { code, grpc: None } => format!("status {code}"),
        Outcome::Status {
            code,
            grpc: Some(grpc),
        } => format!("status {code}, grpc-status {grpc},"),
        Outcome::UnexpectedBody { code } => format!("status {code} with an unexpected body"),
        Outcome::Transport { class, .. } => transport(*class, request.phase),
    };
    let connection = match request.connection.kind {
        ConnectionKind::New => "a new connection".to_owned(),
        ConnectionKind::Reused => format!(
            "a kept connection ({} before, idle {:.1} s)",
            plural(request.connection.requests_before, "request"),
            request.connection.idle as f64 / 1e9
        ),
    };
    format!("{what} on {connection}")
}

/// What a transport did: `reset before headers`.
pub(crate) fn transport(class: ErrorClass, phase: RequestPhase) -> String {
    format!("{} {}", class_word(class), phase_word(phase))
}

const fn class_word(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Refused => "refused",
        ErrorClass::Reset => "reset",
        ErrorClass::Closed => "closed",
        ErrorClass::Timeout => "timed out",
        ErrorClass::Unreachable => "unreachable",
        ErrorClass::Resolve => "name not resolved",
        ErrorClass::LocalLimit => LOCAL_LIMIT,
        ErrorClass::Protocol => "no HTTP",
        ErrorClass::Other => "failed",
    }
}

const fn phase_word(phase: RequestPhase) -> &'static str {
    match phase {
        RequestPhase::Resolve => "in the name's lookup",
        RequestPhase::Connect => "in connect",
        RequestPhase::Tls => "in the TLS handshake",
        RequestPhase::Send => "while sending",
        RequestPhase::WaitHeaders => "before headers",
        RequestPhase::Body => "inside the body",
    }
}

/// What a cause means, in one clause.
pub(super) const fn meaning(cause: Cause) -> &'static str {
    match cause {
        Cause::EndpointPropagation => {
            "the pod had stopped accepting and was still in somebody's routes"
        }
        Cause::SidecarExitedFirst => "the pod's sidecar had ended while its app was alive",
        Cause::InFlightCut => "the app ended without answering a request that it had",
        Cause::GraceExceeded => "SIGKILL fell at the end of the grace period",
        Cause::TermSignalUnhandled => {
            "the app never reacted to SIGTERM, and SIGKILL fell at the end of the grace period"
        }
        Cause::ShutdownRefusal => "the app itself refused because it was shutting down",
        Cause::StaleConnection => "an idle kept connection was closed as the request went out",
        Cause::NewPodNotReady => "a new pod got traffic before it listened",
        Cause::NoReadyEndpoint => "no pod was ready",
        Cause::LoadBalancerDeregistration => {
            "an outer load balancer still sent to a pod that the cluster had withdrawn"
        }
        Cause::IntermediaryRestarted => "a gateway, waypoint or ztunnel on the way ended",
        Cause::ContainerCrashed => "the container died without a deletion",
        Cause::NodeLost => "all pods of a node were lost at once",
        Cause::ProxyOverload => "a proxy's circuit breaker or outlier detection said no",
        Cause::MeshConfig => "the mesh's configuration said no, not a termination",
        Cause::ApplicationError => "the app answered with an error, no pod's end being the reason",
        Cause::ClientSide => "the client gave up or could not send",
        Cause::Harness => "the harness itself was at fault",
        Cause::Unexplained => "nothing that was seen explains it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(thousands(3), "3");
        assert_eq!(thousands(3001), "3,001");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(plural(1, "pod"), "1 pod");
        assert_eq!(percent(0.001), "0.10 %");
        assert_eq!(percent(0.25), "25 %");
        assert_eq!(percent(0.000_03), "0.0030 %");
    }
}
