//! With which code does the program end (design 5)?
//!
//! `lab exec` alone has none of its own: it passes on that of its command.

use std::process::ExitCode;

/// The exit codes, documented in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The verdict is PASS, or the command did what it should.
    Pass = 0,
    /// The verdict is FAIL; of `restore`: something is not as it was.
    Fail = 1,
    /// The verdict is INCONCLUSIVE.
    Inconclusive = 2,
    /// Wrong usage or an invalid scenario.
    Usage = 64,
    /// The cluster is unreachable, a right is missing, or a component.
    Unavailable = 69,
    /// An internal error.
    Internal = 70,
    /// Interrupted, after restoring; a second Ctrl-C leaves at once, without.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
