//! How does one wait for something, for a bounded time?

use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A wait whose predicate did not come true.
#[derive(Debug, thiserror::Error)]
#[error("{what} did not happen within {patience:?}; last seen: {last}")]
pub struct WaitTimeout {
    /// What was waited for.
    pub what: String,
    /// For how long.
    pub patience: Duration,
    /// What the predicate last said.
    pub last: String,
}

/// Asks `predicate` every `every` until it gives `Ok`, at most for `patience`.
/// An `Err` says what was seen instead, for the error of a wait that ends in vain.
pub async fn wait_until<T, F, Fut>(
    what: &str,
    patience: Duration,
    every: Duration,
    mut predicate: F,
) -> Result<T, WaitTimeout>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + patience;
    loop {
        let last = match predicate().await {
            Ok(value) => return Ok(value),
            Err(last) => last,
        };
        if Instant::now() >= deadline {
            return Err(WaitTimeout {
                what: what.to_owned(),
                patience,
                last,
            });
        }
        sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_in_vain_says_what_it_last_saw() {
        let error = wait_until(
            "readiness",
            Duration::from_secs(3),
            Duration::from_secs(1),
            || async { Err::<(), _>("2 of 3 ready".to_owned()) },
        )
        .await
        .expect_err("it never comes true");
        assert_eq!(
            error.to_string(),
            "readiness did not happen within 3s; last seen: 2 of 3 ready"
        );
    }
}
