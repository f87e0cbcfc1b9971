//! What can end a run before its time?

use super::wall;
use crate::cluster::{RunLock, Upkeep};
use crate::evidence::{EventKind, EventSink, Harness, Source, StepEvent};
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
    /// What the scenario needs to see cannot be seen, so nothing was disturbed.
    Blind(String),
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
            Self::Blind(what) => write!(
                f,
                "nothing was disturbed, since it could not be seen what that does: {what}"
            ),
            Self::Unrecorded => f.write_str("the record could not be written any more"),
            Self::LockLost(why) => write!(f, "the workload's Lease was lost: {why}"),
            Self::Panicked(words) => write!(f, "a part of this program panicked: {words}"),
        }
    }
}

impl Halt {
    /// What the record keeps, where the harness itself is to blame.
    fn fault(&self) -> Option<String> {
        match self {
            Self::Interrupted | Self::TooManyFailed { .. } | Self::Blind(_) | Self::Unrecorded => {
                None
            }
            Self::LockLost(_) => Some(format!("lease-lost: {self}")),
            Self::Panicked(_) => Some(format!("panic: {self}")),
        }
    }
}

/// Listens to everything that can end a run early. The first reason counts.
#[derive(Debug)]
pub(super) struct Halting {
    end: End,
    panics: Panics,
    scope: Scope,
}

/// Where reasons to end the run arrive.
#[derive(Clone, Debug)]
struct End {
    stop: CancellationToken,
    first: Arc<OnceLock<Halt>>,
    sink: EventSink,
}

impl End {
    fn set(&self, halt: Halt) {
        let fault = halt.fault();
        if self.first.set(halt).is_ok()
            && let Some(fault) = fault
        {
            let harness = Harness {
                scope: "run".to_owned(),
                faults: vec![fault],
                ..Harness::default()
            };
            self.sink.now(Source::Run, EventKind::Harness(harness));
        }
        self.stop.cancel();
    }
}

impl Halting {
    pub(super) fn start(
        shutdown: &Shutdown,
        panics: &Panics,
        unrecorded: CancellationToken,
        lock: RunLock,
        sink: &EventSink,
    ) -> Self {
        let end = End {
            stop: CancellationToken::new(),
            first: Arc::new(OnceLock::new()),
            sink: sink.clone(),
        };
        // Not a child of the run's stop: the Lease is kept until everything is undone.
        let mut scope = Scope::new(&CancellationToken::new());
        let ended = scope.token();
        let (heard, asked) = (panics.clone(), shutdown.stop.clone());
        let heard_of = end.clone();
        scope.spawn("halting", async move {
            heard_of.set(tokio::select! {
                () = ended.cancelled() => return,
                () = heard.heard.cancelled() => Halt::Panicked(words(&heard)),
                () = asked.cancelled() => Halt::Interrupted,
                () = unrecorded.cancelled() => Halt::Unrecorded,
            });
        });
        // A task of its own: were it to panic, the one above hears it.
        scope.spawn("lease", keep(lock, end.clone(), scope.token()));
        let wall = wall::watch(sink.clone(), scope.token());
        scope.spawn("wall-clock", wall);
        Self {
            end,
            panics: panics.clone(),
            scope,
        }
    }

    /// Cancelled as soon as the run has to end.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.end.stop
    }

    /// Ends the run for a reason of the caller's.
    pub(super) fn set(&self, halt: Halt) {
        self.end.set(halt);
    }

    /// The reason.
    pub(super) fn halt(&self) -> Option<Halt> {
        self.end.first.get().cloned()
    }

    /// The run's own task panicked.
    pub(super) fn panicked(&self) {
        self.end.set(Halt::Panicked(words(&self.panics)));
    }

    pub(super) async fn finish(self) {
        if let Err(error) = self.scope.finish().await {
            tracing::error!("{error}");
        }
    }
}

/// Renews the Lease until everything is undone; who takes it ends the run.
async fn keep(lock: RunLock, end: End, token: CancellationToken) {
    let tell = |upkeep: Upkeep| {
        let step = StepEvent {
            index: 0,
            step: "lease".to_owned(),
            state: "note".to_owned(),
            text: upkeep.to_string(),
        };
        tracing::warn!("{upkeep}");
        end.sink.now(Source::Run, EventKind::Step(step));
    };
    if let Err(error) = lock.keep(&token, tell).await {
        end.set(Halt::LockLost(error.to_string()));
    }
}

fn words(panics: &Panics) -> String {
    panics.first().unwrap_or("no message").to_owned()
}
