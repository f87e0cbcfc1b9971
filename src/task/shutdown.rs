//! The two-stage stop: the first SIGINT or SIGTERM asks, the second leaves at once.
//!
//! A terminal that goes away asks as well, unless `nohup` was used. A file that may not grow any
//! further must be an error of its writer and no signal that kills.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Two tokens: `stop` for "stop, restore, report", `abort` for "leave at once".
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled by the first signal.
    pub stop: CancellationToken,
    /// Cancelled by the second.
    pub abort: CancellationToken,
}

impl Shutdown {
    /// Listens to SIGINT, SIGTERM and SIGHUP for as long as the runtime lives.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::default();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = Hangup::listen()?;
        #[cfg(target_os = "linux")]
        drop(signal(SignalKind::from_raw(
            nix::sys::signal::Signal::SIGXFSZ as i32,
        ))?);
        let signalled = shutdown.clone();
        tokio::spawn(async move {
            for token in [&signalled.stop, &signalled.abort] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    () = hangup.heard() => {}
                }
                token.cancel();
            }
        });
        Ok(shutdown)
    }
}

/// The terminal that goes away, for those who have not been asked to outlive it.
#[derive(Debug)]
pub struct Hangup(Option<Signal>);

impl Hangup {
    /// Listens, unless this process was started to ignore it (`nohup`).
    pub fn listen() -> std::io::Result<Self> {
        let kind = SignalKind::hangup();
        if is_ignored(kind) {
            Ok(Self(None))
        } else {
            signal(kind).map(Some).map(Self)
        }
    }

    /// Waits for it.
    pub async fn heard(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Whether whoever started this process asked it to ignore a signal.
fn is_ignored(signal: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw_value() - 1) & 1 == 1)
}
