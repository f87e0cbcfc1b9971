//! No format string and no line make the reader of declared formats panic.

#![no_main]

use lastwatch::observe::logs::parse::TextFormat;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&str, &str)| {
    let (format, line) = data;
    if let Ok(format) = TextFormat::new(format) {
        let _ = format.has_request_id();
        let _ = format.read(line);
    }
});
