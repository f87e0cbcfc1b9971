//! Real lines of every shape, and properties that hold for all lines.

use super::*;
use serde_json::{Value, json};

mod agent_lines;
mod custom;
mod json_lines;
mod properties;
mod recorded;
mod samples;

/// What `lastwatch parse` prints for a line.
fn printed(line: &str) -> Value {
    serde_json::from_str(&to_json(1, &istio_proxy(line), line)).unwrap()
}

/// Asserts some of the printed keys.
fn expect(line: &str, expected: &Value) {
    let found = printed(line);
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&found[key], value, "`{key}` of {line}\n{found:#}");
    }
}
