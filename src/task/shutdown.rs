//! The two-stage stop: the first SIGINT or SIGTERM asks, the second leaves at once.

use tokio::signal::unix::{SignalKind, signal};
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
    /// Listens to SIGINT and SIGTERM for as long as the runtime lives.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::default();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let signalled = shutdown.clone();
        tokio::spawn(async move {
            for token in [&signalled.stop, &signalled.abort] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(shutdown)
    }
}
