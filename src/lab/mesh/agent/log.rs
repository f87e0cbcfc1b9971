//! How does the agent write its lines, and by which clock (facts 3.1)?

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::io::Write;

/// Writes lines to stdout as Istio's logger does.
#[derive(Clone, Debug)]
pub(super) struct AgentLog {
    offset: i64,
}

impl AgentLog {
    /// A log whose clock is `offset` nanoseconds ahead of this machine's.
    pub(super) const fn new(offset: i64) -> Self {
        Self { offset }
    }

    pub(super) fn info(&self, message: &str) {
        self.write("info", message);
    }

    pub(super) fn warn(&self, message: &str) {
        self.write("warn", message);
    }

    pub(super) fn error(&self, message: &str) {
        self.write("error", message);
    }

    /// A line of one of the agent's scopes.
    pub(super) fn scoped(&self, level: &str, scope: &str, message: &str) {
        self.write(level, &format!("{scope}\t{message}"));
    }

    fn write(&self, level: &str, message: &str) {
        let now = Timestamp::now() + SignedDuration::from_nanos(self.offset);
        let stamp = now
            .to_zoned(TimeZone::UTC)
            .strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
        write_line(&format!("{stamp}\t{level}\t{message}"));
    }
}

/// Writes one line to stdout, in one piece: Envoy writes there too.
pub(in super::super) fn write_line(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody is left to tell when the log's reader has gone.
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}
