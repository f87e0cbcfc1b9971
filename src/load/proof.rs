//! Would the load generator see a failure, and does the machine let it keep its schedule?
//!
//! Shown before anything is disrupted (design 6, self-proof).

use super::carry::{Carried, Hold, Trace, Way, attempt};
use super::config::{LoadConfig, LoadTarget};
use super::error::Error;
use super::host;
use super::lane::{Common, Lane};
use super::pacer::Pacer;
use super::schedule::Schedule;
use crate::evidence::{ErrorClass, EventSink, Harness, RequestPhase, RunClock, RunOffset};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout_at};

/// For how long the schedule is kept without sending.
const CALIBRATION: Duration = Duration::from_millis(500);

/// How often the calibration is tried.
const CALIBRATIONS: usize = 3;

/// From one try to the next: what watches and logs brought when they were opened is read by then.
const BETWEEN_CALIBRATIONS: Duration = Duration::from_secs(1);

/// Arrivals of the calibration at most.
const CALIBRATION_ARRIVALS: usize = 10_000;

/// How long a probe of a closed port may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// A request that was sent to be found again in the target's logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Its id, as `x-request-id`, as `x-lastwatch-id` and in its query: something on the way may
    /// replace the first.
    pub id: String,
    /// When it was sent.
    pub sent: RunOffset,
    /// When its answer was complete, where one came.
    pub answered: Option<RunOffset>,
    /// The pod that the answer named.
    pub pod: Option<String>,
    /// The status of its answer, where one came.
    pub status: Option<u16>,
    /// How the transport failed and in which phase, where none came.
    pub failure: Option<(ErrorClass, RequestPhase)>,
}

/// The generator's part of the self-proof: a refused connect is seen as refused, the schedule can
/// be kept at the plan's highest rate, handles and ports suffice. Defects are in `faults`.
pub async fn prove(config: &LoadConfig) -> Result<Harness, Error> {
    let mut faults = Vec::new();
    if let Some(seen) = refused_probe(config).await? {
        faults.push(format!("refused-probe: {seen}"));
    }
    let files_left = host::files_left();
    let ports_left = host::ports_left();
    let needed = handles_needed(config);
    for (name, what, left) in [
        ("file-limit", "file handles", files_left),
        ("port-limit", "local ports", ports_left),
    ] {
        if let Some(left) = left.filter(|left| *left < needed) {
            faults.push(format!(
                "{name}: {left} {what} are left, {needed} may be needed"
            ));
        }
    }
    let slip_p99 = best_slip(config).await;
    faults.extend(slip_p99.and_then(unkept));
    Ok(Harness {
        scope: "proof".to_owned(),
        slip_p99,
        files_left,
        ports_left,
        faults,
        ..Harness::default()
    })
}

/// Connections that may be open at a time: the kept ones, and new ones that hang in connect for a
/// second at the highest rate.
fn handles_needed(config: &LoadConfig) -> u64 {
    let rates = config.plan.stages.iter().map(|stage| stage.rate);
    let highest = rates.fold(0.0, f64::max);
    config.plan.connections.pool as u64 + highest.ceil() as u64 + 64
}

/// One lane that nothing is scheduled on.
fn lone_lane(config: &LoadConfig) -> Result<Lane, Error> {
    // Its events, if any, are nobody's.
    let (sink, _) = EventSink::new(RunClock::start());
    let common = Arc::new(Common::new(config, sink)?);
    Ok(Lane::new(common, config, 0, 1))
}

/// Sends a request to a port of ours that nobody listens on. `None`: seen as refused; else what
/// was seen instead.
async fn refused_probe(config: &LoadConfig) -> Result<Option<String>, Error> {
    let closed = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    let Ok(closed) = closed else {
        return Ok(Some("no local port could be had".to_owned()));
    };
    let config = LoadConfig {
        target: LoadTarget::plain(closed.ip().to_string(), closed.port(), closed.to_string()),
        ..config.clone()
    };
    let lane = lone_lane(&config)?;
    let (mut trace, mut hold) = (Trace::new(), Hold::default());
    let deadline = Instant::now() + PROBE_PATIENCE;
    let class = &lane.classes[0];
    let probe = attempt(&lane, class, lane.new_id(), Way::Own, &mut trace, &mut hold);
    let carried = timeout_at(deadline.into(), probe).await;
    Ok(match carried {
        Ok(Carried::Broken(broken))
            if broken.class == ErrorClass::Refused && broken.phase == RequestPhase::Connect =>
        {
            None
        }
        Ok(Carried::Broken(broken)) => Some(format!(
            "a connect to a closed port was seen as {:?} in {:?}: {}",
            broken.class, broken.phase, broken.text
        )),
        Ok(Carried::Answered | Carried::Dropped) => {
            Some("a closed port answered: something intercepts connections".to_owned())
        }
        Err(_) => Some("a connect to a closed port got no answer".to_owned()),
    })
}

/// The slip of the first try that kept the schedule, else of the best one: a machine that is busy
/// for a moment may still carry the load, and what it does in the run is measured again.
async fn best_slip(config: &LoadConfig) -> Option<i64> {
    let mut best = None;
    for number in 0..CALIBRATIONS {
        if number > 0 {
            sleep(BETWEEN_CALIBRATIONS).await;
        }
        let slip = calibrate(config).await?;
        best = Some(best.map_or(slip, |best: i64| best.min(slip)));
        if best.and_then(unkept).is_none() {
            break;
        }
    }
    best
}

/// In words, a slip with which nothing can be measured.
fn unkept(slip: i64) -> Option<String> {
    (slip >= Harness::MAX_SLIP_P99).then(|| {
        format!(
            "schedule: the harness sent too late even where it had nothing to send: slip p99 {:.1} ms, \
             limit {} ms",
            slip as f64 / 1e6,
            Harness::MAX_SLIP_P99 / 1_000_000
        )
    })
}

/// The 99th percentile of the slip of a schedule at the plan's highest rate that sends nothing.
async fn calibrate(config: &LoadConfig) -> Option<i64> {
    let mut plan = config.plan.clone();
    let stages = plan.stages.iter().cloned();
    plan.stages = stages
        .max_by(|a, b| a.rate.total_cmp(&b.rate))
        .into_iter()
        .collect();
    let mut pacer = Pacer::new().ok()?;
    let begin = Instant::now();
    let mut slips = Vec::new();
    let due = Schedule::new(&plan, 0, 1, rand::random());
    for offset in due
        .take_while(|offset| *offset < CALIBRATION)
        .take(CALIBRATION_ARRIVALS)
    {
        pacer.until(begin + offset).await.ok()?;
        slips.push((begin + offset).elapsed());
    }
    slips.sort_unstable();
    // Of few arrivals the last hundredth is none: one late wake is no slow machine.
    let p99 = slips.get(slips.len().checked_sub(1)? * 99 / 100)?;
    i64::try_from(p99.as_nanos()).ok()
}

/// Sends `count` requests one after the other, each on a connection of its own, to be found again
/// in logs. They are of the first class that changes nothing (GET or HEAD); `None`: there is no such
/// class, and none was sent. `clock` stamps them.
pub async fn send_marked(
    config: &LoadConfig,
    clock: RunClock,
    count: usize,
) -> Result<Option<Vec<Marked>>, Error> {
    let mut config = config.clone();
    for class in &mut config.plan.requests {
        class.id_in_query = true;
    }
    let lane = lone_lane(&config)?;
    let harmless = |method: &http::Method| matches!(method.as_str(), "GET" | "HEAD");
    let Some(class) = lane.classes.iter().find(|class| harmless(&class.method)) else {
        return Ok(None);
    };
    let mut marked = Vec::new();
    for _ in 0..count {
        let (mut trace, mut hold) = (Trace::new(), Hold::default());
        let id = lane.new_id();
        let now = Instant::now();
        let sending = attempt(&lane, class, id, Way::Own, &mut trace, &mut hold);
        let carried = timeout_at((now + class.timeout).into(), sending).await;
        let answer = trace
            .answer
            .as_ref()
            .filter(|_| matches!(carried, Ok(Carried::Answered)));
        marked.push(Marked {
            id: id.to_string(),
            sent: clock.offset_of(trace.sent.unwrap_or(now)),
            answered: answer
                .and(trace.end)
                .map(|answered| clock.offset_of(answered)),
            pod: answer
                .and_then(|answer| answer.pod(&lane.pod_header))
                .map(str::to_owned),
            status: answer.map(|answer| answer.status),
            failure: match carried {
                Ok(Carried::Broken(broken)) => Some((broken.class, broken.phase)),
                Ok(Carried::Answered | Carried::Dropped) => None,
                Err(_) => Some((ErrorClass::Timeout, trace.reached(class))),
            },
        });
    }
    Ok(Some(marked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_from_the_limit_on_is_a_fault_before_anything_is_disrupted() {
        assert_eq!(unkept(Harness::MAX_SLIP_P99 - 1), None);
        let told = unkept(7_260_000).expect("it is beyond the limit");
        assert!(told.starts_with("schedule: "), "{told}");
        assert!(told.ends_with("slip p99 7.3 ms, limit 5 ms"), "{told}");
    }
}
