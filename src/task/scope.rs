//! How do tasks that belong together end together, and whose failure is told?

use std::future::Future;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// A task that did not end well.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It panicked.
    #[error("task `{name}` panicked: {message}")]
    Panicked {
        /// Its name.
        name: String,
        /// The panic's words.
        message: String,
    },
}

/// Owns named tasks. Dropping it aborts them; [`Scope::finish`] stops and awaits them.
#[derive(Debug)]
pub struct Scope {
    token: CancellationToken,
    tasks: JoinSet<()>,
    names: std::collections::HashMap<tokio::task::Id, String>,
}

impl Scope {
    /// A scope whose tasks stop when `parent` is cancelled, or when the scope itself is stopped.
    pub fn new(parent: &CancellationToken) -> Self {
        Self {
            token: parent.child_token(),
            tasks: JoinSet::new(),
            names: std::collections::HashMap::new(),
        }
    }

    /// The token that tells the tasks of this scope to stop.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a task. It must watch the scope's token where it can run for long.
    pub fn spawn<F>(&mut self, name: &str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let span = tracing::info_span!("task", name);
        let handle = self.tasks.spawn(task.instrument(span));
        self.names.insert(handle.id(), name.to_owned());
    }

    /// Waits until every task has ended by itself, and gives the first panic back.
    pub async fn join(&mut self) -> Result<(), TaskError> {
        let mut first = Ok(());
        while let Some(joined) = self.tasks.join_next_with_id().await {
            if let Err(error) = joined
                && error.is_panic()
            {
                let name = self.names.get(&error.id()).cloned().unwrap_or_default();
                self.token.cancel();
                let message = panic_message(error.into_panic().as_ref());
                if first.is_ok() {
                    first = Err(TaskError::Panicked { name, message });
                }
            }
        }
        first
    }

    /// Tells the tasks to stop and waits for them.
    pub async fn finish(mut self) -> Result<(), TaskError> {
        self.token.cancel();
        self.join().await
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_stops_the_others_and_surfaces_with_its_task() {
        let mut scope = Scope::new(&CancellationToken::new());
        let token = scope.token();
        scope.spawn("patient", async move { token.cancelled().await });
        scope.spawn("broken", async { panic!("no luck") });
        let error = scope.join().await.expect_err("one task panicked");
        assert_eq!(error.to_string(), "task `broken` panicked: no luck");
    }
}
