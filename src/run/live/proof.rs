//! Would this run see what it is to judge (design 6, self-proof)?
//!
//! Before anything is disturbed: the target answers, a refused connect is seen as refused, marked
//! requests are found in the logs that the scenario needs, the watches deliver, the API server's
//! clock is bounded. What fails here is a fault in the record, which makes the run INCONCLUSIVE.

mod marked;
mod unanswered;

use super::LiveRun;
use super::error::Obstacle;
use crate::evidence::{Blindness, EventKind, EventSink, Harness, Source};
use crate::load::{self, LoadConfig, LoadTarget};
use crate::observe::{Observers, SIDECAR};
use crate::scenario::Plan;
use crate::task::wait_until;
use std::collections::BTreeSet;
use std::time::Duration;

/// Attempts to find anybody at the target's address.
const ATTEMPTS: usize = 3;

/// Patience with one of them.
const ATTEMPT_PATIENCE: Duration = Duration::from_secs(2);

/// Patience with log streams to open and clocks to be compared.
const STREAMS_PATIENCE: Duration = Duration::from_secs(10);

/// Timed calls without which the API server's clock is not bounded.
const TIMED_CALLS: u64 = 20;

/// Somebody listens at the target's address; a refusal is an answer too.
pub(super) async fn answers(run: &LiveRun, target: &LoadTarget) -> Result<(), Obstacle> {
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
    Err(unanswered::nobody(run, target, last))
}

/// What the self-proof found wanting.
pub(super) struct Proof {
    pub(super) faults: Vec<String>,
    /// The one of them that leaves too little to judge by: of what was sent and answered, not all can
    /// be found in the logs that the scenario needs.
    pub(super) blind: Option<String>,
}

/// Carries out the self-proof and records its result.
pub(super) async fn prove(
    run: &LiveRun,
    config: &LoadConfig,
    observers: &Observers,
    sink: &EventSink,
) -> Result<Proof, Obstacle> {
    let plan = &run.plan;
    let mut harness = load::prove(config).await?;
    harness.faults.extend(streams(plan, observers, sink).await);
    let marked = marked::prove(run, config, observers, sink).await?;
    let (fault, blind) = match marked {
        marked::Proof::Sound => (None, None),
        marked::Proof::NotTried(fault) => (Some(fault), None),
        marked::Proof::Lost(fault) => (Some(fault.clone()), Some(fault)),
    };
    harness.faults.extend(fault);
    harness.faults.extend(clock(observers).await);
    let proof = Proof {
        faults: harness.faults.clone(),
        blind,
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
            let logs = plan.observe.logs.iter().map(String::as_str);
            let sidecar = needs_sidecars_log(plan).then_some(SIDECAR);
            let own = logs.chain(sidecar);
            let own = own.filter(|name| pod.container(name).is_some());
            own.map(|name| format!("{}/{name}", pod.name))
                .collect::<BTreeSet<_>>()
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
    if !needs_sidecars_log(plan) {
        for log in missing.extract_if(.., |log| Some(&*log) == own.as_ref()) {
            sink.now(Source::Run, EventKind::Blind(unfollowed(&log)));
        }
    }
    let missing = missing.join(", ");
    (!missing.is_empty()).then(|| format!("logs: these are not followed: {missing}"))
}

/// The scenario asks for the sidecars' logs, or has a gate that reads them.
fn needs_sidecars_log(plan: &Plan) -> bool {
    plan.observe.logs.iter().any(|name| name == SIDECAR) || plan.gates.max_masked.is_some()
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
        resumed: false,
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
