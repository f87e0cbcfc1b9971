//! What should be changed in the manifest, with the figures of this run (facts 5.5)?

mod sidecar;

use super::model::FailureEntry;
use super::words::LOCAL_LIMIT;
use crate::attribution::{Cause, Modifier, PodFinding};
use serde::{Deserialize, Serialize};
use sidecar::sidecar;
use std::collections::BTreeSet;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The cause or hazard that it cures.
    pub cures: String,
    /// What to change and why, in one or two sentences.
    pub text: String,
    /// A piece of manifest, where one says it best.
    pub manifest: Option<String>,
}

/// Seconds that a measured delay is exceeded by, so that a slower day still fits.
const ALLOWANCE_S: f64 = 1.0;

/// The shortest preStop that is worth writing.
const MIN_PRESTOP_S: f64 = 5.0;

/// Why nothing is advised: the figures of this run would be this machine's.
pub(super) fn withheld(slip: &str) -> Advice {
    plain(
        Cause::Harness,
        &format!(
            "nothing is advised, since the harness was too slow for its figures to be built upon \
             ({slip}): run it again where this machine has less to do, or with a lower rate"
        ),
    )
}

/// What to change, by cause and by hazard, without repeating itself.
pub(super) fn advise(failures: &[FailureEntry], pods: &[PodFinding]) -> Vec<Advice> {
    let mut causes: Vec<Cause> = failures.iter().map(|failure| failure.cause).collect();
    causes.sort_unstable();
    causes.dedup();
    let propagated = causes.contains(&Cause::EndpointPropagation);
    let late = propagated.then(|| late(failures, pods));
    let mut advice: Vec<Advice> = causes
        .into_iter()
        .filter_map(|cause| for_cause(cause, failures, pods, late))
        .collect();
    let hazards: BTreeSet<&str> = pods
        .iter()
        .flat_map(|pod| &pod.hazards)
        .map(String::as_str)
        .collect();
    for hazard in hazards {
        let known = advice.iter().any(|a| a.cures == hazard);
        if let Some(found) = for_hazard(hazard, pods, late)
            && !known
        {
            advice.push(found);
        }
    }
    advice
}

fn plain(cause: Cause, text: &str) -> Advice {
    Advice {
        cures: cause.id().to_owned(),
        text: text.to_owned(),
        manifest: None,
    }
}

fn for_cause(
    cause: Cause,
    failures: &[FailureEntry],
    pods: &[PodFinding],
    late: Option<f64>,
) -> Option<Advice> {
    let of_cause = || failures.iter().filter(move |f| f.cause == cause);
    Some(match cause {
        Cause::EndpointPropagation => propagation(late?, pods),
        Cause::SidecarExitedFirst => sidecar(pods, later(late)),
        Cause::Unexplained
            if of_cause().any(|f| f.modifiers.contains(&Modifier::AfterDrainDuration)) =>
        {
            sidecar::accept_longer(pods, later(late))?
        }
        Cause::InFlightCut => {
            let longest = of_cause().map(|f| f.end - f.sent).fold(0.0, f64::max);
            plain(
                cause,
                &format!(
                    "on SIGTERM the app should stop accepting, finish what it has, then exit; \
                     the longest request that was cut had run for {longest:.1} s"
                ),
            )
        }
        Cause::GraceExceeded => plain(
            cause,
            "raise `terminationGracePeriodSeconds` to preStop + the longest request + cleanup + 5, \
             or shorten what runs inside it",
        ),
        Cause::TermSignalUnhandled => deaf(),
        Cause::ShutdownRefusal => plain(
            cause,
            "while it shuts down the app should go on answering until its endpoint is withdrawn: \
             add a preStop sleep, and refuse only by closing the listener",
        ),
        Cause::StaleConnection => plain(
            cause,
            "the server's keep-alive timeout should be longer than the client's idle timeout, and a \
             draining server should answer with `Connection: close` before it exits",
        ),
        Cause::NewPodNotReady => Advice {
            manifest: Some(
                "readinessProbe:\n  httpGet: {path: /healthz, port: PORT}\n  periodSeconds: 1"
                    .to_owned(),
            ),
            ..plain(
                cause,
                "give the container a readiness probe on the port that serves; \
                 behind a sidecar set `holdApplicationUntilProxyStarts` or use a native sidecar",
            )
        },
        Cause::NoReadyEndpoint => plain(
            cause,
            "keep a ready pod at all times: at least 2 replicas, `maxUnavailable: 0`, \
             and a PodDisruptionBudget",
        ),
        Cause::LoadBalancerDeregistration => plain(
            cause,
            "the preStop sleep must outlast the load balancer's deregistration, or use pod readiness gates",
        ),
        Cause::ContainerCrashed => plain(
            cause,
            "this is no defect of the rollout: look at the container's exit code and its last lines",
        ),
        Cause::Harness if of_cause().any(|failure| failure.seen.starts_with(LOCAL_LIMIT)) => plain(
            cause,
            "this machine was at a limit of its own: raise that of open files (`ulimit -n`) or the \
             range of local ports (`sysctl net.ipv4.ip_local_port_range`), or lower `spec.load.rate`",
        ),
        Cause::ProxyOverload => plain(
            cause,
            "no termination did this: a proxy refused by a limit of the DestinationRule. See whether \
             `connectionPool` is too small for this load, or whether `outlierDetection` ejected hosts \
             that a rollout made fail for a moment (then raise `consecutive5xxErrors` or lower \
             `maxEjectionPercent`)",
        ),
        Cause::MeshConfig => plain(
            cause,
            "no termination did this: routes, mutual TLS, access rules or injected faults said no. The \
             quoted line's flags tell which (`NR` and `NC`: a route or cluster that is missing, `FI` and \
             `DI`: an injected fault, `TLS error`: certificates or `PeerAuthentication`, `RBAC`: an \
             AuthorizationPolicy); `istioctl analyze` names what contradicts itself",
        ),
        Cause::IntermediaryRestarted => plain(
            cause,
            "the target is not to blame: what ended was a proxy on the way. Give the gateway, waypoint or \
             ztunnel that restarted a rollout of its own that drains (2 replicas or more, \
             `maxUnavailable: 0`, a `terminationDrainDuration` above the longest request), and do not \
             restart it during a rollout of the target",
        ),
        Cause::ApplicationError => plain(
            cause,
            "the app failed by itself, not by a pod's end: where the baseline has no such failures the \
             new version is at fault, else fix that before the rollout is judged",
        ),
        _ => return None,
    })
}

/// Traffic that met a pod which had stopped accepting came this long after its deletion.
fn late(failures: &[FailureEntry], pods: &[PodFinding]) -> f64 {
    let of_cause = |failure: &&FailureEntry| failure.cause == Cause::EndpointPropagation;
    let late = failures.iter().filter(of_cause).filter_map(|failure| {
        let pod = pods
            .iter()
            .find(|pod| Some(&pod.pod) == failure.pod.as_ref());
        let windows = pods.iter().filter_map(|pod| pod.window);
        let deleted = pod.and_then(|pod| pod.window).map(|w| w.lo).or_else(|| {
            windows
                .map(|w| w.lo)
                .filter(|lo| lo.as_secs_f64() <= failure.sent)
                .max()
        })?;
        Some(failure.sent - deleted.as_secs_f64())
    });
    late.fold(0.0, f64::max)
}

/// The preStop, in seconds, that outlasts it.
fn prestop(late: f64) -> f64 {
    (late + ALLOWANCE_S).ceil().max(MIN_PRESTOP_S)
}

/// So many seconds later the app will end, once it has the preStop hook that is advised.
fn later(late: Option<f64>) -> f64 {
    late.map_or(0.0, prestop)
}

/// The app has to serve on for longer than traffic came.
fn propagation(late: f64, pods: &[PodFinding]) -> Advice {
    let seconds = prestop(late);
    let mut text = format!(
        "traffic still came {late:.1} s after a deletion: let the app serve on for {seconds} s before \
         it gets SIGTERM, and keep `terminationGracePeriodSeconds` above that + the longest request + 5"
    );
    if let Some(setting) = sidecar::setting(pods) {
        text.push_str(&format!(
            "; the sidecar must stay at least as long (`{setting}`)"
        ));
    }
    Advice {
        cures: Cause::EndpointPropagation.id().to_owned(),
        text,
        manifest: Some(format!(
            "lifecycle:\n  preStop:\n    sleep: {{seconds: {seconds}}}"
        )),
    }
}

fn deaf() -> Advice {
    Advice {
        cures: Cause::TermSignalUnhandled.id().to_owned(),
        text: "PID 1 never reacts to SIGTERM: start the server with `exec` (or in exec form), put an \
               init such as tini before it, or give it a handler; look at the image's STOPSIGNAL as well"
            .to_owned(),
        manifest: Some("command: [\"sh\", \"-c\", \"exec server\"]".to_owned()),
    }
}

fn for_hazard(hazard: &str, pods: &[PodFinding], late: Option<f64>) -> Option<Advice> {
    let (name, container) = hazard.split_once(':').unwrap_or((hazard, ""));
    let mut advice = match name {
        "sidecar-exited-first" => sidecar(pods, later(late)),
        "term-signal-unhandled" => deaf(),
        "sigkill" => plain(
            Cause::GraceExceeded,
            &format!(
                "container `{container}` was killed by SIGKILL: raise `terminationGracePeriodSeconds`, \
                 or make what runs inside it shorter"
            ),
        ),
        "sidecar-never-ended" => plain(
            Cause::SidecarExitedFirst,
            "the app ended and its sidecar did not: let the app POST to \
             `127.0.0.1:15020/quitquitquit` at its end, or use a native sidecar",
        ),
        "prestop-failed" => plain(
            Cause::Unexplained,
            &format!(
                "the preStop hook of `{container}` failed: look at its command and at the grace period"
            ),
        ),
        "prestop-missing" => plain(
            Cause::Unexplained,
            "the container has no preStop hook: nothing holds the app while its endpoint is withdrawn",
        ),
        _ => return None,
    };
    advice.cures = hazard.to_owned();
    Some(advice)
}
