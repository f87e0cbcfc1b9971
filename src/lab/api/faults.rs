//! What goes wrong on purpose?
//!
//! Tests of the harness need an API server that throttles, forgets, cuts and restarts.

use crate::lab::store::Status;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The faults of one API server.
#[derive(Debug)]
pub(super) struct Faults {
    throttle: Mutex<Option<Throttle>>,
    /// Raised by one to end every open watch and log.
    cuts: watch::Sender<u64>,
    /// Until when nobody listens.
    outage: watch::Sender<Option<tokio::time::Instant>>,
}

#[derive(Debug)]
struct Throttle {
    left: u32,
    retry_after: u32,
}

impl Faults {
    pub(super) fn new() -> Self {
        Self {
            throttle: Mutex::new(None),
            cuts: watch::Sender::new(0),
            outage: watch::Sender::new(None),
        }
    }

    /// The next `requests` requests are answered 429.
    pub(super) fn throttle(&self, requests: u32, retry_after: u32) {
        let throttle = Throttle {
            left: requests,
            retry_after,
        };
        *self.lock() = Some(throttle);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Throttle>> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every stream that is open.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Closes the port and every connection for a while, as a restart does.
    pub(super) fn outage(&self, length: Duration) {
        self.outage
            .send_replace(Some(tokio::time::Instant::now() + length));
    }

    /// A receiver that changes when streams must end.
    pub(super) fn cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }

    /// A receiver that changes when an outage begins.
    pub(super) fn outages(&self) -> watch::Receiver<Option<tokio::time::Instant>> {
        self.outage.subscribe()
    }

    /// Refuses a request while throttling lasts.
    pub(super) fn check(&self) -> Result<(), Status> {
        let mut throttle = self.lock();
        let Some(now) = throttle.as_mut().filter(|now| now.left > 0) else {
            return Ok(());
        };
        now.left -= 1;
        Err(Status::too_many_requests(
            "too many requests, please try again later.",
            now.retry_after,
        ))
    }
}
