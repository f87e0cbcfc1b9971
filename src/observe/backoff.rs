//! How long is waited before the next attempt?

use rand::Rng;
use std::time::Duration;

/// The first wait. A cut watch is resumed almost at once, because each millisecond is blindness.
const FIRST: Duration = Duration::from_millis(100);

/// The longest wait: an API server that restarts is found again within this. Ten watches that ask
/// once a second are no burden.
const LONGEST: Duration = Duration::from_secs(1);

/// Doubling waits with jitter.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// After a success the next failure begins anew.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next wait: what the server asked for (`Retry-After`), else the doubled last one.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let base = self.next;
        self.next = (base * 2).min(LONGEST);
        asked.unwrap_or_else(|| base.mul_f64(rand::rng().random_range(0.8..1.2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_the_server_has_the_word() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next(None);
        }
        let wait = backoff.next(None);
        assert!(wait >= LONGEST.mul_f64(0.8) && wait <= LONGEST.mul_f64(1.2));
        let asked = Duration::from_secs(10);
        assert_eq!(backoff.next(Some(asked)), asked);
        backoff.reset();
        assert!(backoff.next(None) <= FIRST.mul_f64(1.2));
    }
}
