//! Does the harness's wall clock run evenly?
//!
//! Our own stamps are monotonic, but whoever shares this machine's clock (a kind node, the lab)
//! jumps with it: a step is a fault of the run.

use crate::evidence::{EventKind, EventSink, Harness, Source};
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// How often the clocks are compared.
const EVERY: Duration = Duration::from_secs(1);

/// More than slewing can do within a second or two.
const STEP: i128 = 100_000_000;

/// Compares the wall clock with the monotonic one until the token is cancelled.
pub(super) async fn watch(sink: EventSink, token: CancellationToken) {
    let mut last = reading();
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let now = reading();
        if let Some(fault) = step(last, now) {
            tracing::warn!("{fault}");
            let harness = Harness {
                scope: "second".to_owned(),
                faults: vec![fault],
                ..Harness::default()
            };
            sink.now(Source::Run, EventKind::Harness(harness));
        }
        last = now;
    }
}

/// Both clocks at nearly one instant: of a few readings the one with the least time between.
fn reading() -> (Instant, SystemTime) {
    let readings = (0..5).map(|_| {
        let before = Instant::now();
        let wall = SystemTime::now();
        (before.elapsed(), (before, wall))
    });
    let best = readings.min_by_key(|(took, _)| *took);
    best.map_or_else(|| (Instant::now(), SystemTime::now()), |(_, both)| both)
}

/// The fault, where the wall clock went another way than the monotonic one.
fn step(last: (Instant, SystemTime), now: (Instant, SystemTime)) -> Option<String> {
    let passed = now.0.saturating_duration_since(last.0).as_nanos() as i128;
    let walked = match now.1.duration_since(last.1) {
        Ok(ahead) => ahead.as_nanos() as i128,
        Err(back) => -(back.duration().as_nanos() as i128),
    };
    let jump = walked - passed;
    (jump.abs() > STEP).then(|| {
        let seconds = jump as f64 / 1e9;
        format!("clock-step: this machine's clock jumped by {seconds:+.3} s during the run")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_in_either_direction_is_a_step_and_slewing_is_not() {
        let (begin, wall) = reading();
        let later = begin + Duration::from_secs(1);
        for (walked, stepped) in [
            (Duration::from_millis(1000), false),
            (Duration::from_millis(1050), false),
            (Duration::from_secs(8), true),
            (Duration::ZERO, true),
        ] {
            let found = step((begin, wall), (later, wall + walked));
            assert_eq!(found.is_some(), stepped, "{walked:?}: {found:?}");
        }
        let back = step((begin, wall), (later, wall - Duration::from_secs(3)));
        let text = back.expect("it went back");
        assert!(text.contains("-4.000 s"), "{text}");
    }
}
