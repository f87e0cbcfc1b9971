//! When does load end?

use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Tells the lanes that load has ended, and at which instant: a lane that stood still notices late,
/// and what became due in between is nobody's arrival.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    token: CancellationToken,
    at: Arc<OnceLock<Instant>>,
}

impl Ending {
    /// Load ends now; only the first call counts.
    pub(super) fn end(&self) {
        let _ = self.at.set(Instant::now());
        self.token.cancel();
    }

    /// The instant of the end, once it has come.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at.get().copied()
    }

    /// Waits for the end.
    pub(super) async fn ended(&self) {
        self.token.cancelled().await;
    }
}
