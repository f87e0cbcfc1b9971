//! Requests that go through a sidecar: the pod's, or the client's.

use super::*;
use crate::lab::score::testing::{answered, listen_on, proxy_end, started};
use crate::lab::truth::Proxied;

/// A pod with a sidecar, both of which listen from 0.
fn meshed(more: Vec<Record>) -> Vec<Record> {
    let mut records = vec![started(-400, "istio-proxy"), listen_on(0, 15_006, 2)];
    records.extend(more);
    records
}

#[test]
fn behind_a_sidecar_it_counts_who_ended_first_and_whether_before_or_under_the_request() {
    use ErrorClass::{Closed, Refused};
    use RequestPhase::{Connect, WaitHeaders};
    let refused = || new(WaitHeaders, status(503), 1_030);
    let sigkilled = vec![
        deleting(500),
        signal(501, "SIGTERM", true),
        signal(1_499, "SIGKILL", false),
        proxy_end(1_500),
        end(1_505, 137),
    ];
    for (expected, failure, more) in [
        (
            "sidecar-exited-first",
            new(Connect, error(Refused), 1_001),
            vec![deleting(500), proxy_end(900)],
        ),
        (
            "sidecar-exited-first",
            new(WaitHeaders, error(Closed), 1_500),
            vec![deleting(500), proxy_end(1_500), end(2_500, 0)],
        ),
        (
            "endpoint-propagation",
            new(Connect, error(Refused), 1_001),
            vec![deleting(500), end(600, 0), proxy_end(900)],
        ),
        // The end of a process is known before its listener is looked at again.
        (
            "endpoint-propagation",
            refused(),
            vec![
                deleting(500),
                end(900, 0),
                listen(1_005, 0),
                proxy_end(1_025),
            ],
        ),
        (
            "in-flight-cut",
            new(WaitHeaders, status(503), 1_500),
            vec![deleting(900), end(1_490, 0), proxy_end(5_900)],
        ),
        (
            "grace-exceeded",
            new(WaitHeaders, error(Closed), 1_501),
            sigkilled,
        ),
        ("stale-connection", refused(), vec![]),
        (
            "shutdown-refusal",
            refused(),
            vec![
                deleting(700),
                signal(701, "SIGTERM", true),
                answered(1_001, 503),
            ],
        ),
        ("application-error", refused(), vec![answered(1_001, 503)]),
    ] {
        let told = format!("{failure:?} {more:?}");
        assert_eq!(cause(&failure, meshed(more)), Some(expected), "{told}");
    }
}

/// What the client's sidecar says of the request, which began at 1,000 ms.
fn sent(flags: &str, host: &str) -> Record {
    told(
        1_000,
        Fact::Proxied(Proxied {
            pod: "client".to_owned(),
            uid: "c".to_owned(),
            id: "r".to_owned(),
            cluster: "outbound|80||demo.default.svc.cluster.local".to_owned(),
            host: host.to_owned(),
            local: "-".to_owned(),
            flags: flags.to_owned(),
            code: 503,
            millis: "1".to_owned(),
            attempts: "1".to_owned(),
        }),
    )
}

fn pushed(t: i64, endpoints: &[&str]) -> Record {
    told(
        t,
        Fact::Pushed {
            pod: "client".to_owned(),
            uid: "c".to_owned(),
            file: "eds-demo.default.svc.cluster.local-80.json".to_owned(),
            endpoints: endpoints.iter().map(|own| (*own).to_owned()).collect(),
        },
    )
}

#[test]
fn behind_the_clients_sidecar_the_pod_is_the_one_it_chose() {
    let refused = new(RequestPhase::WaitHeaders, status(503), 1_030);
    let host = "10.244.0.3:8080";
    for (expected, more) in [
        ("no-ready-endpoint", vec![sent("UH", "-")]),
        (
            "no-ready-endpoint",
            vec![pushed(0, &[host]), pushed(990, &[]), sent("UH", "-")],
        ),
        ("proxy-overload", vec![pushed(0, &[host]), sent("UH", "-")]),
        ("proxy-overload", vec![sent("UO", host)]),
        ("mesh-config", vec![sent("NR", "-")]),
        (
            "new-pod-not-ready",
            vec![
                listen(10, 0),
                sent("URX,UF", "10.244.0.9:8080"),
                fresh_pod(),
            ],
        ),
        (
            "endpoint-propagation",
            vec![
                deleting(500),
                end(600, 0),
                listen(600, 0),
                sent("URX,UF", host),
            ],
        ),
    ] {
        let told = format!("{more:?}");
        assert_eq!(cause(&refused, more), Some(expected), "{told}");
    }
}

/// Another pod, which listens on nothing yet.
fn fresh_pod() -> Record {
    told(
        900,
        Fact::Pod {
            pod: "demo-2".to_owned(),
            uid: "v".to_owned(),
            address: "10.244.0.9".to_owned(),
        },
    )
}
