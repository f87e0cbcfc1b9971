//! How much memory did this process need?

/// The most memory that it ever had resident, in KiB.
pub(crate) fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let words = line.expect("it is told").split_whitespace().nth(1);
    words.and_then(|word| word.parse().ok()).expect("a number")
}
