//! Which task panicked, known at once and not only when it is awaited?

use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// Hears of every panic of the process, in whichever thread.
#[derive(Clone, Debug, Default)]
pub struct Panics {
    /// Cancelled by the first panic.
    pub heard: CancellationToken,
    first: Arc<OnceLock<String>>,
}

impl Panics {
    /// Listens for as long as the process lives; what was printed before is still printed.
    pub fn listen() -> Self {
        let panics = Self::default();
        let (heard, first) = (panics.heard.clone(), Arc::clone(&panics.first));
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let _ = first.set(info.to_string());
            heard.cancel();
            before(info);
        }));
        panics
    }

    /// The first panic's words and place.
    pub fn first(&self) -> Option<&str> {
        self.first.get().map(String::as_str)
    }
}
