//! When is a container that has ended started again?

use std::time::Duration;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
/// A container that ran for so long starts anew.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// The crash-loop back-off of one container.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    delay: Option<Duration>,
    ended: Option<Instant>,
}

impl Backoff {
    /// The container has ended after having run since `began`.
    pub(super) fn ended(&mut self, began: Instant, now: Instant) {
        if now - began > FORGOTTEN {
            self.delay = None;
        }
        self.ended = Some(now);
    }

    /// When it may start; `None`: at once.
    pub(super) fn until(&self, now: Instant) -> Option<(Instant, Duration)> {
        let (delay, ended) = (self.delay?, self.ended?);
        (ended + delay > now).then_some((ended + delay, delay))
    }

    /// It is started: the next time it waits longer.
    pub(super) fn started(&mut self) {
        if self.ended.is_some() {
            self.delay = Some(self.delay.map_or(FIRST, |delay| (delay * 2).min(LONGEST)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_each_further_one_waits_twice_as_long() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        backoff.started();
        let mut waits = Vec::new();
        for _ in 0..8 {
            backoff.ended(now, now);
            let until = backoff.until(now);
            waits.push(until.map_or(0, |(until, _)| (until - now).as_secs()));
            now = until.map_or(now, |(until, _)| until);
            backoff.started();
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        let long = now + FORGOTTEN * 2;
        backoff.ended(now, long);
        assert!(backoff.until(long).is_none(), "it ran well for long enough");
    }
}
