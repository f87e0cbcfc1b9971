//! How much memory did a process need?

use std::fmt::Display;

/// The most memory that it ever had resident, in KiB; `None`: it is not there any more. `self` is
/// this process.
pub(crate) fn peak_kib(process: impl Display) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
