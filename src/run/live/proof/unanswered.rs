//! Why is there no answer from the target, and what helps?

use super::super::LiveRun;
use super::super::error::Obstacle;
use crate::evidence::{ErrorClass, RequestPhase};
use crate::load::{LoadTarget, Marked};
use crate::observe::PodState;
use crate::report::transport;
use crate::scenario::LoadFrom;

const WRONG_URL: &str = "is `target.url` right, and can this machine reach it?";

const UNTRUSTED: &str = "is the certificate made out to the URL's host, and signed by an authority that \
     this machine trusts? `SSL_CERT_FILE` names others";

const OUTSIDE: &str = "a Service's address works only inside its cluster: run lastwatch there as a Job \
     (`manifests/cluster/`), or name an address that works here with `target.url`";

const INSIDE: &str = "does the app listen at the Service's target port, and does every NetworkPolicy \
     let this pod through to it?";

const STRICT: &str = "the target's pods have a sidecar, and it cuts what comes without mTLS where a \
     PeerAuthentication says STRICT: send from behind a sidecar, with `load.from: meshed-pod` and the \
     Job of `manifests/cluster/job-meshed.yaml`";

const OWN_SIDECAR: &str = "these requests went through the sidecar of this pod: its log (container \
     `istio-proxy`) says what became of them";

/// A way in which requests ended, and how many did.
type Ending = ((ErrorClass, RequestPhase), usize);

/// Nobody is at the target's address.
pub(super) fn nobody(run: &LiveRun, target: &LoadTarget, last: String) -> Obstacle {
    let (url, inside) = place(run);
    Obstacle::NoAnswer {
        address: target.to_string(),
        last,
        hint: hint(url, inside),
    }
}

/// Somebody is, and answers no request.
pub(super) fn all(
    run: &LiveRun,
    target: &LoadTarget,
    marked: &[Marked],
    pods: &[PodState],
) -> Obstacle {
    let endings = endings(marked);
    let (url, inside) = place(run);
    let meshed = run.plan.load.from == LoadFrom::MeshedPod;
    Obstacle::NoAnswer {
        address: target.to_string(),
        last: told(&endings),
        hint: if meshed {
            OWN_SIDECAR
        } else if !url && is_strict(&endings, pods) {
            STRICT
        } else if matches!(endings.first(), Some(((_, RequestPhase::Tls), _))) {
            UNTRUSTED
        } else {
            hint(url, inside)
        },
    }
}

/// Whether the target is a URL, and whether the harness is in a cluster.
fn place(run: &LiveRun) -> (bool, bool) {
    (run.plan.target.url.is_some(), run.pod.is_some())
}

const fn hint(url: bool, inside: bool) -> &'static str {
    match (url, inside) {
        (true, _) => WRONG_URL,
        (false, true) => INSIDE,
        (false, false) => OUTSIDE,
    }
}

/// The ways in which they ended, that of the first one first.
fn endings(marked: &[Marked]) -> Vec<Ending> {
    let mut endings: Vec<Ending> = Vec::new();
    for failure in marked.iter().filter_map(|one| one.failure) {
        match endings.iter_mut().find(|(known, _)| *known == failure) {
            Some((_, count)) => *count += 1,
            None => endings.push((failure, 1)),
        }
    }
    endings
}

fn told(endings: &[Ending]) -> String {
    let count: usize = endings.iter().map(|(_, count)| count).sum();
    let mut each: Vec<String> = endings
        .iter()
        .map(|((class, phase), count)| format!("{count} {}", transport(*class, *phase)))
        .collect();
    if each.len() > 1 {
        each[0].push_str(" (the first)");
    }
    let each = each.join(", ");
    format!("none of {count} requests was answered: {each}")
}

/// A sidecar that wants mTLS closes what is none, and the client sees its request cut.
fn is_strict(endings: &[Ending], pods: &[PodState]) -> bool {
    let cut = |((class, _), _): &Ending| matches!(class, ErrorClass::Reset | ErrorClass::Closed);
    endings.iter().any(cut) && pods.iter().any(|pod| !pod.gone && pod.sidecar)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::RunOffset;

    fn failed(class: ErrorClass, phase: RequestPhase) -> Marked {
        Marked {
            id: String::new(),
            sent: RunOffset::default(),
            answered: None,
            pod: None,
            status: None,
            failure: Some((class, phase)),
        }
    }

    #[test]
    fn failures_are_counted_by_class_and_phase_and_the_first_ones_come_first() {
        let reset = failed(ErrorClass::Reset, RequestPhase::WaitHeaders);
        let late = failed(ErrorClass::Timeout, RequestPhase::Connect);
        let marked = [late.clone(), reset.clone(), reset.clone()];
        assert_eq!(
            told(&endings(&marked)),
            "none of 3 requests was answered: 1 timed out in connect (the first), \
             2 reset before headers"
        );
        assert_eq!(
            told(&endings(&[reset.clone(), reset])),
            "none of 2 requests was answered: 2 reset before headers"
        );
    }

    #[test]
    fn mtls_is_suspected_where_a_sidecar_may_have_cut_the_connections() {
        let endings = |class| endings(&[failed(class, RequestPhase::WaitHeaders)]);
        let pod = |sidecar| PodState {
            sidecar,
            ..PodState::default()
        };
        assert!(is_strict(&endings(ErrorClass::Reset), &[pod(true)]));
        assert!(is_strict(&endings(ErrorClass::Closed), &[pod(true)]));
        assert!(!is_strict(&endings(ErrorClass::Reset), &[pod(false)]));
        assert!(!is_strict(&endings(ErrorClass::Timeout), &[pod(true)]));
    }
}
