//! How does a worker wake at the right microsecond on a busy machine?
//!
//! The runtime's own timer has a grain of a millisecond. A Linux `timerfd` is exact to
//! microseconds, and it is a file handle: the worker's one `epoll_wait` wakes for it as it does for
//! an answer, without a second thread that would have to hand arrivals over. What is due when the
//! worker wakes leaves in one batch.

use std::io;
use std::time::Instant;

/// Waits for instants, one after the other. Made inside a runtime.
#[derive(Debug)]
pub(super) struct Pacer {
    #[cfg(target_os = "linux")]
    timer: tokio::io::unix::AsyncFd<exact::Timer>,
}

#[cfg(target_os = "linux")]
mod exact {
    use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
    use std::os::fd::{AsFd, AsRawFd, RawFd};

    /// The runtime registers handles by their raw number.
    #[derive(Debug)]
    pub(super) struct Timer(pub(super) TimerFd);

    impl Timer {
        pub(super) fn new() -> nix::Result<Self> {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map(Self)
        }
    }

    impl AsRawFd for Timer {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_fd().as_raw_fd()
        }
    }
}

#[cfg(target_os = "linux")]
impl Pacer {
    #[expect(
        unsafe_code,
        reason = "the runtime offers no safe way to register a file handle"
    )]
    pub(super) fn new() -> io::Result<Self> {
        use tokio::io::{Interest, unix::AsyncFd};
        let timer = exact::Timer::new().map_err(io::Error::from)?;
        // SAFETY: `timer` owns its file handle for as long as it lives and always tells the same.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        let timer = timer.map_err(io::Error::from)?;
        Ok(Self { timer })
    }

    /// Waits until `at`; at once when it has passed.
    pub(super) async fn until(&mut self, at: Instant) -> io::Result<()> {
        use nix::sys::time::TimeSpec;
        use nix::sys::timerfd::{Expiration, TimerSetTimeFlags};
        loop {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let once = Expiration::OneShot(TimeSpec::from_duration(left));
            let timer = &self.timer.get_ref().0;
            timer.set(once, TimerSetTimeFlags::empty())?;
            // Setting the timer again takes back that it has fired, so it need not be read.
            self.timer.readable().await?.clear_ready();
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Pacer {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits until `at`; at once when it has passed.
    pub(super) async fn until(&mut self, at: Instant) -> io::Result<()> {
        tokio::time::sleep_until(at.into()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn never_wakes_early_and_can_be_used_again_and_again() {
        let mut pacer = Pacer::new().expect("a timer");
        for step in [0_u64, 1, 300, 2_000, 0, 700] {
            let at = Instant::now() + Duration::from_micros(step);
            pacer.until(at).await.expect("it waits");
            assert!(Instant::now() >= at);
        }
    }
}
