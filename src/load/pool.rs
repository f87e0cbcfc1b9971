//! Which kept connection carries the next request, if any may?
//!
//! Pure bookkeeping over whatever a connection is; `load.rs` tells the rules in words.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The kept connections of one lane.
#[derive(Debug)]
pub(super) struct Pool<L> {
    limit: usize,
    max_requests: Option<u64>,
    max_idle: Option<Duration>,
    /// Connections that are kept, idle or busy.
    kept: usize,
    /// Connects under way that shall become kept ones.
    attempts: usize,
    /// The one that was idle longest in front.
    idle: VecDeque<(Instant, L)>,
    /// Idle connections that the server closed.
    closed_idle: u64,
}

/// What an arrival that wants a kept connection gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice<L> {
    /// This idle one.
    Idle(L),
    /// It opens another.
    Open,
    /// None is idle and the pool is full.
    Drop,
}

impl<L> Pool<L> {
    pub(super) fn new(limit: usize, max_requests: Option<u64>, max_idle: Option<Duration>) -> Self {
        Self {
            limit,
            max_requests,
            max_idle,
            kept: 0,
            attempts: 0,
            idle: VecDeque::with_capacity(limit.min(1024)),
            closed_idle: 0,
        }
    }

    /// Chooses for an arrival. `Open` has to be answered by [`Self::connected`] or
    /// [`Self::failed`], `Idle` by [`Self::back`], [`Self::lost`] or [`Self::found_closed`].
    pub(super) fn take(&mut self, now: Instant) -> Choice<L> {
        self.retire_idle(now);
        if self.kept + self.attempts < self.limit {
            self.attempts += 1;
            return Choice::Open;
        }
        if let Some((_, link)) = self.idle.pop_front() {
            return Choice::Idle(link);
        }
        if self.kept < self.limit {
            self.attempts += 1;
            return Choice::Open;
        }
        Choice::Drop
    }

    /// A connect succeeded: whether there is still room to keep the connection.
    pub(super) fn connected(&mut self) -> bool {
        self.attempts -= 1;
        let room = self.kept < self.limit;
        self.kept += usize::from(room);
        room
    }

    /// A connect failed.
    pub(super) fn failed(&mut self) {
        self.attempts -= 1;
    }

    /// A kept connection is idle again after its `requests`th request, unless that was its last.
    pub(super) fn back(&mut self, link: L, requests: u64, now: Instant) {
        if self.max_requests.is_some_and(|most| requests >= most) {
            self.kept -= 1;
        } else {
            self.idle.push_back((now, link));
        }
    }

    /// A kept connection ended with its request.
    pub(super) fn lost(&mut self) {
        self.kept -= 1;
    }

    /// A kept connection was found closed before it was used.
    pub(super) fn found_closed(&mut self) {
        self.kept -= 1;
        self.closed_idle += 1;
    }

    /// Lets go of idle connections that have ended or were idle too long.
    pub(super) fn sweep(&mut self, now: Instant, mut ended: impl FnMut(&mut L) -> bool) {
        self.retire_idle(now);
        let before = self.idle.len();
        self.idle.retain_mut(|(_, link)| !ended(link));
        let closed = before - self.idle.len();
        self.kept -= closed;
        self.closed_idle += closed as u64;
    }

    fn retire_idle(&mut self, now: Instant) {
        let Some(most) = self.max_idle else { return };
        while let Some((since, _)) = self.idle.front()
            && now.saturating_duration_since(*since) >= most
        {
            self.idle.pop_front();
            self.kept -= 1;
        }
    }

    /// Idle connections that the server closed, so far.
    pub(super) fn closed_idle(&self) -> u64 {
        self.closed_idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(limit: usize) -> Pool<u32> {
        Pool::new(limit, None, None)
    }

    fn filled(limit: u32) -> Pool<u32> {
        let mut pool = pool(limit as usize);
        for link in 0..limit {
            assert_eq!(pool.take(Instant::now()), Choice::Open);
            assert!(pool.connected());
            pool.back(link, 1, Instant::now());
        }
        pool
    }

    #[test]
    fn grows_to_its_limit_then_uses_the_one_idle_longest_then_drops() {
        let mut pool = filled(2);
        let now = Instant::now();
        assert_eq!(pool.take(now), Choice::Idle(0));
        pool.back(0, 2, now);
        assert_eq!(pool.take(now), Choice::Idle(1));
        assert_eq!(pool.take(now), Choice::Idle(0));
        assert_eq!(pool.take(now), Choice::Drop);
    }

    #[test]
    fn connects_that_hang_take_no_place_of_kept_connections() {
        let mut pool = pool(2);
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(pool.take(now), Choice::Open);
        }
        assert!(pool.connected());
        assert!(pool.connected());
        assert!(!pool.connected(), "the third finds the pool full");
        assert_eq!(pool.take(now), Choice::Drop);
    }

    #[test]
    fn a_place_is_free_again_after_a_loss_a_failure_and_a_close_while_idle() {
        let mut pool = filled(2);
        let now = Instant::now();
        assert_eq!(pool.take(now), Choice::Idle(0));
        pool.lost();
        assert_eq!(pool.take(now), Choice::Open);
        pool.failed();
        assert_eq!(pool.take(now), Choice::Open);
        assert!(pool.connected());
        pool.back(2, 1, now);
        assert_eq!(pool.take(now), Choice::Idle(1));
        pool.found_closed();
        assert_eq!(pool.closed_idle(), 1);
        pool.sweep(now, |link| *link == 2);
        assert_eq!(pool.closed_idle(), 2);
        assert_eq!(pool.take(now), Choice::Open);
    }

    #[test]
    fn the_client_retires_connections_by_requests_and_by_idle_time() {
        let now = Instant::now();
        let mut pool = Pool::new(1, Some(2), Some(Duration::from_secs(1)));
        assert_eq!(pool.take(now), Choice::Open);
        assert!(pool.connected());
        pool.back(7, 1, now);
        assert_eq!(pool.take(now), Choice::Idle(7));
        pool.back(7, 2, now);
        assert_eq!(pool.take(now), Choice::Open, "two requests are its most");
        assert!(pool.connected());
        pool.back(8, 1, now);
        assert_eq!(pool.take(now + Duration::from_secs(1)), Choice::Open);
    }
}
