//! No line makes the recogniser of the kubelet's errors panic.

#![no_main]

use lastwatch::observe::logs::parse::{epoch_nanos, kubelet_error};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let _ = kubelet_error(line);
    let _ = epoch_nanos(line);
});
