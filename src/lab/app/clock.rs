//! What does the app write, and by which clock?

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::Write;

/// Writes lines to stderr as Go's `log` package does, in UTC with microseconds.
#[derive(Clone, Debug)]
pub(super) struct AppLog {
    offset: i64,
}

impl AppLog {
    /// A log whose clock is `offset` nanoseconds ahead of this machine's.
    pub(super) const fn new(offset: i64) -> Self {
        Self { offset }
    }

    /// Writes one line.
    pub(super) fn say(&self, text: &str) {
        let now = Timestamp::now() + jiff::SignedDuration::from_nanos(self.offset);
        let stamp = now
            .to_zoned(TimeZone::UTC)
            .strftime("%Y/%m/%d %H:%M:%S%.6f");
        // Nobody is left to tell when the log's reader has gone.
        let _ = writeln!(std::io::stderr().lock(), "{stamp} {text}");
    }
}
