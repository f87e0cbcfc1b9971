//! What can end a run before its time?

use super::wall;
use crate::cluster::RunLock;
use crate::evidence::EventSink;
use crate::task::{Panics, Scope, Shutdown};
use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// Why a run ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// SIGINT or SIGTERM.
    Interrupted,
    /// More failed requests than `abortAfterFailed`.
    TooManyFailed {
        /// Failed requests.
        failed: u64,
        /// The limit.
        limit: u64,
    },
    /// The record could not be written any more.
    Unrecorded,
    /// Another run took the workload's Lease.
    LockLost(String),
    /// A task panicked.
    Panicked(String),
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("the run was interrupted"),
            Self::TooManyFailed { failed, limit } => write!(
                f,
                "{failed} requests have failed, more than `abortAfterFailed` allows ({limit})"
            ),
            Self::Unrecorded => f.write_str("the record could not be written any more"),
            Self::LockLost(why) => write!(f, "the workload's Lease was lost: {why}"),
            Self::Panicked(words) => write!(f, "a part of this program panicked: {words}"),
        }
    }
}

/// Listens to everything that can end a run early. The first reason counts.
#[derive(Debug)]
pub(super) struct Halting {
    stop: CancellationToken,
    first: Arc<OnceLock<Halt>>,
    panics: Panics,
    scope: Scope,
}

impl Halting {
    pub(super) fn start(
        shutdown: &Shutdown,
        panics: &Panics,
        unrecorded: CancellationToken,
        lock: RunLock,
        sink: &EventSink,
    ) -> Self {
        let stop = CancellationToken::new();
        let first = Arc::new(OnceLock::new());
        // Not a child of the run's stop: the Lease is kept until everything is undone.
        let mut scope = Scope::new(&CancellationToken::new());
        let ended = scope.token();
        let (heard, asked) = (panics.clone(), shutdown.stop.clone());
        let (halted, reason) = (stop.clone(), Arc::clone(&first));
        let keep = ended.clone();
        scope.spawn("halting", async move {
            let halt = tokio::select! {
                () = ended.cancelled() => return,
                () = heard.heard.cancelled() => Halt::Panicked(words(&heard)),
                () = asked.cancelled() => Halt::Interrupted,
                () = unrecorded.cancelled() => Halt::Unrecorded,
                kept = lock.keep(&keep) => match kept {
                    Ok(()) => return,
                    Err(error) => Halt::LockLost(error.to_string()),
                },
            };
            let _ = reason.set(halt);
            halted.cancel();
            // The Lease is renewed until the end all the same.
            tokio::select! {
                () = ended.cancelled() => {}
                _ = lock.keep(&keep) => {}
            }
        });
        let wall = wall::watch(sink.clone(), scope.token());
        scope.spawn("wall-clock", wall);
        Self {
            stop,
            first,
            panics: panics.clone(),
            scope,
        }
    }

    /// Cancelled as soon as the run has to end.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Ends the run for a reason of the caller's.
    pub(super) fn set(&self, halt: Halt) {
        let _ = self.first.set(halt);
        self.stop.cancel();
    }

    /// The reason.
    pub(super) fn halt(&self) -> Option<Halt> {
        self.first.get().cloned()
    }

    /// The run's own task panicked.
    pub(super) fn panicked(&self) -> Halt {
        Halt::Panicked(words(&self.panics))
    }

    pub(super) async fn finish(self) {
        if let Err(error) = self.scope.finish().await {
            tracing::error!("{error}");
        }
    }
}

fn words(panics: &Panics) -> String {
    panics.first().unwrap_or("no message").to_owned()
}
