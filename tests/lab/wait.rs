//! A bounded wait of a test without a runtime.

use std::time::{Duration, Instant};

/// Asks until there is an answer, at most for `patience`; the last refusal is told.
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(last) if begun.elapsed() > patience => {
                panic!("no {what} within {patience:?}; last seen: {last}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
