//! No bytes make the parser of `istio-proxy` lines panic, and what it prints is JSON.

#![no_main]

use lastwatch::observe::logs::parse::{Reader, to_json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut reader = Reader::default();
    for line in text.lines() {
        let read = reader.read(line);
        let printed = to_json(1, &read.line, line);
        assert!(printed.starts_with('{') && printed.ends_with('}'));
        assert_eq!(read.line.clone().into_owned(), read.line);
    }
});
