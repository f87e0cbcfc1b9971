//! To which pod did the client's sidecar send a request, if to any?

use super::attempt::Attempt;
use super::{RESOLUTION, Truth, timed_out};
use crate::evidence::FailedRequest;
use crate::lab::score::history::History;
use crate::lab::truth::Proxied;
use std::net::SocketAddrV4;

/// The true cause of a request that came to the client's sidecar at `began`.
pub(super) fn true_cause(
    failure: &FailedRequest,
    began: i64,
    ended: i64,
    record: &Proxied,
    history: &History,
) -> Truth {
    if let Some(cause) = by_flags(&record.flags) {
        let ejected = cause == NOBODY && history.knew_endpoints(record, began);
        return Truth::of(if ejected { "proxy-overload" } else { cause }, None);
    }
    let gave_up = timed_out(&failure.outcome);
    let from = began - RESOLUTION;
    let attempts = history.attempts(&record.uid, from, ended);
    let hung = attempts.iter().any(|(at, to)| {
        let pod = history.owner(*to, *at);
        pod.is_some_and(|pod| pod.vanished(*at))
    });
    let Ok(host) = record.host.parse::<SocketAddrV4>() else {
        return match (gave_up, hung) {
            (true, true) => Truth::of("endpoint-propagation", None).or("client-side", true),
            (true, false) => Truth::of("client-side", None),
            (false, _) => Truth::unknown(None),
        };
    };
    // A connection that was opened for the last attempt tells when that began.
    let last = attempts.iter().rfind(|(_, to)| *to == host);
    let last = last.map_or(began, |(at, _)| *at);
    let Some(pod) = history.owner(host, last) else {
        return Truth::unknown(None);
    };
    if pod.vanished(last) && record.local == "-" {
        return Truth::of("endpoint-propagation", Some(pod));
    }
    if gave_up && hung {
        return Truth::of("endpoint-propagation", None).or("client-side", true);
    }
    let attempt = Attempt {
        id: &failure.request_id,
        began: last,
        ended,
        outcome: &failure.outcome,
        kept: false,
        server: history.of_server(&failure.request_id, pod),
    };
    attempt.true_cause(pod, host.port())
}

/// Nobody to choose. Where there were endpoints, they have been ejected as outliers.
const NOBODY: &str = "no-ready-endpoint";

/// What a proxy decides by itself, before a pod has a part in it.
pub(super) fn by_flags(flags: &str) -> Option<&'static str> {
    flags.split(',').find_map(|flag| match flag {
        "UH" => Some(NOBODY),
        "UO" | "OM" | "RL" => Some("proxy-overload"),
        "NR" | "NC" | "FI" | "DI" | "UAEX" | "RLSE" | "IH" => Some("mesh-config"),
        _ => None,
    })
}
