//! Would this run see what it is to judge (design 6, self-proof)?
//!
//! Before anything is disturbed: the target answers, a refused connect is seen as refused, marked
//! requests are found in the logs that the scenario needs, the watches deliver, the API server's
//! clock is bounded. What fails here is a fault in the record, which makes the run INCONCLUSIVE.

use super::error::Obstacle;
use crate::evidence::{Blindness, EventKind, EventSink, Harness, Source};
use crate::load::{self, LoadConfig, LoadTarget, Marked};
use crate::observe::Observers;
use crate::scenario::Plan;
use crate::task::wait_until;
use std::time::Duration;

/// Marked requests that are sent.
const MARKED: usize = 10;

/// Attempts to find anybody at the target's address.
const ATTEMPTS: usize = 3;

/// Patience with one of them.
const ATTEMPT_PATIENCE: Duration = Duration::from_secs(2);

/// Patience with the lines of the marked requests: Envoy flushes its access log once a second.
const LINES_PATIENCE: Duration = Duration::from_secs(5);

/// Patience with log streams to open and clocks to be compared.
const STREAMS_PATIENCE: Duration = Duration::from_secs(10);

/// Timed calls without which the API server's clock is not bounded.
const TIMED_CALLS: u64 = 20;

/// The container whose log names every request.
const SIDECAR: &str = "istio-proxy";

/// Somebody listens at the target's address; a refusal is an answer too.
pub(super) async fn answers(target: &LoadTarget, url: bool) -> Result<(), Obstacle> {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        let connect = tokio::net::TcpStream::connect(target.to_string());
        match tokio::time::timeout(ATTEMPT_PATIENCE, connect).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Ok(());
            }
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = format!("no answer within {ATTEMPT_PATIENCE:?}"),
        }
    }
    Err(no_answer(target, url, last))
}

fn no_answer(target: &LoadTarget, url: bool, last: String) -> Obstacle {
    Obstacle::NoAnswer {
        address: target.to_string(),
        last,
        hint: if url {
            "is `target.url` right, and can this machine reach it?"
        } else {
            "a Service's address works only inside its cluster: run lastwatch there as a Job \
             (`manifests/cluster/`), or name an address that works here with `target.url`"
        },
    }
}

/// What the self-proof found wanting.
pub(super) struct Proof {
    pub(super) faults: Vec<String>,
    /// The one of them that leaves nothing to judge by: nothing that was sent can be found in a log
    /// that the scenario needs.
    pub(super) blind: Option<String>,
}

/// Marked requests that were not found.
struct Lost {
    fault: String,
    all: bool,
}

/// Carries out the self-proof and records its result.
pub(super) async fn prove(
    plan: &Plan,
    config: &LoadConfig,
    observers: &Observers,
    sink: &EventSink,
) -> Result<Proof, Obstacle> {
    let mut harness = load::prove(config).await?;
    harness.faults.extend(streams(plan, observers, sink).await);
    let lost = marked(plan, config, observers, sink).await?;
    harness
        .faults
        .extend(lost.as_ref().map(|lost| lost.fault.clone()));
    harness.faults.extend(clock(observers).await);
    let proof = Proof {
        faults: harness.faults.clone(),
        blind: lost.filter(|lost| lost.all).map(|lost| lost.fault),
    };
    let harness = Harness {
        scope: "proof".to_owned(),
        ..harness
    };
    sink.now(Source::Run, EventKind::Harness(harness));
    Ok(proof)
}

/// The logs that the scenario needs are being followed, in every pod that is ready. That of the
/// sidecar that the harness sends through is waited for too; where no sidecar's log is needed, to be
/// without it is blindness.
async fn streams(plan: &Plan, observers: &Observers, sink: &EventSink) -> Option<String> {
    let own = observers.client_pod();
    let own = own.map(|pod| format!("{pod}/{SIDECAR}"));
    let missing = || {
        let followed = observers.followed();
        let ready = observers.book().all().into_iter().filter(|pod| pod.ready);
        let needed = ready.flat_map(|pod| {
            let logs = plan.observe.logs.iter();
            let own = logs.filter(|name| pod.container(name).is_some());
            own.map(|name| format!("{}/{name}", pod.name))
                .collect::<Vec<_>>()
        });
        needed
            .chain(own.clone())
            .filter(|log| !followed.contains(log))
            .collect::<Vec<_>>()
    };
    let waited = wait_until(
        "following the logs",
        STREAMS_PATIENCE,
        Duration::from_millis(100),
        || async {
            let missing = missing();
            if missing.is_empty() {
                Ok(())
            } else {
                Err(missing.join(", "))
            }
        },
    );
    waited.await.err()?;
    let mut missing = missing();
    if !plan.observe.logs.iter().any(|name| name == SIDECAR) {
        for log in missing.extract_if(.., |log| Some(&*log) == own.as_ref()) {
            sink.now(Source::Run, EventKind::Blind(unfollowed(&log)));
        }
    }
    let missing = missing.join(", ");
    (!missing.is_empty()).then(|| format!("logs: these are not followed: {missing}"))
}

fn unfollowed(log: &str) -> Blindness {
    let reason = "it is not followed: is this pod in the target's namespace, with a sidecar?";
    tracing::warn!("log of {log}: {reason}");
    Blindness {
        what: format!("logs/{log}"),
        from: None,
        to: None,
        reason: reason.to_owned(),
        uids: None,
    }
}

/// Marked requests are answered, and named in the log of each sidecar that the scenario needs. An
/// app need not log its requests, so its silence is no fault.
async fn marked(
    plan: &Plan,
    config: &LoadConfig,
    observers: &Observers,
    sink: &EventSink,
) -> Result<Option<Lost>, Obstacle> {
    observers.begin_marks(plan.observe.access_log_format.as_deref());
    let marked = load::send_marked(config, sink.clock(), MARKED).await?;
    if !marked.is_empty() && marked.iter().all(|one| one.status.is_none()) {
        let last = format!("none of {MARKED} requests was answered");
        return Err(no_answer(&config.target, plan.target.url.is_some(), last));
    }
    let lost = lost(plan, observers, &marked, sink).await;
    observers.end_marks();
    Ok(lost)
}

async fn lost(
    plan: &Plan,
    observers: &Observers,
    marked: &[Marked],
    sink: &EventSink,
) -> Option<Lost> {
    let answered: Vec<&Marked> = marked.iter().filter(|one| one.status.is_some()).collect();
    let sidecar = plan.observe.logs.iter().any(|name| name == SIDECAR)
        && observers.book().all().iter().any(|pod| pod.sidecar);
    if !sidecar {
        return None;
    }
    let ids: Vec<String> = answered.iter().map(|one| one.id.clone()).collect();
    let waited = wait_until(
        "finding the marked requests",
        LINES_PATIENCE,
        Duration::from_millis(100),
        || async {
            match observers.marks_found(SIDECAR, &ids).named {
                found if found >= ids.len() => Ok(()),
                found => Err(found.to_string()),
            }
        },
    );
    let waited = waited.await;
    let found = observers.marks_found(SIDECAR, &ids);
    if waited.is_ok() {
        if found.understood == 0 && !ids.is_empty() {
            sink.now(Source::Run, EventKind::Blind(unknown_format()));
        }
        return None;
    }
    let (named, sent) = (found.named, ids.len());
    let hint = if found.lines >= sent {
        "lines did come: does its format name the request's id (`%REQ(X-REQUEST-ID)%`)?"
    } else {
        "is its access log switched on (`meshConfig.accessLogFile: /dev/stdout`, or a Telemetry \
         resource with `accessLogging`)?"
    };
    Some(Lost {
        fault: format!(
            "marked-requests: {named} of {sent} were found in the logs of `{SIDECAR}`; {hint}"
        ),
        all: named == 0,
    })
}

/// The lines are there, and nobody can read them.
fn unknown_format() -> Blindness {
    let reason = "the access lines name the requests and are in no format that is known; \
                  declare it with `spec.observe.accessLogFormat`";
    tracing::warn!("access log: {reason}");
    Blindness {
        what: "access-log-format".to_owned(),
        from: None,
        to: None,
        reason: reason.to_owned(),
        uids: None,
    }
}

/// Enough of our calls carried the API server's time.
async fn clock(observers: &Observers) -> Option<String> {
    let timed = wait_until(
        "comparing clocks",
        STREAMS_PATIENCE,
        Duration::from_millis(100),
        || async {
            match observers.timed() {
                timed if timed >= TIMED_CALLS => Ok(()),
                timed => Err(timed.to_string()),
            }
        },
    );
    let error = timed.await.err()?;
    Some(format!(
        "clock: {} of {TIMED_CALLS} calls told the API server's time, so its clock is not bounded",
        error.last
    ))
}
