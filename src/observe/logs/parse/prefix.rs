//! What have other hands put in front of a line: kubectl, stern, the log API, a runtime's files?

use super::time;

/// The line without what is certainly a prefix.
pub(super) fn strip(line: &str) -> &str {
    let mut line = line.trim_ascii();
    // A prefix of each kind, and one to spare.
    for _ in 0..4 {
        let Some(rest) = one(line) else {
            break;
        };
        line = rest.trim_ascii_start();
    }
    line
}

fn one(line: &str) -> Option<&str> {
    match line.as_bytes().first()? {
        b'[' => {
            // `kubectl logs --prefix`, and Istio 1.4 and 1.5 around Envoy's own lines.
            if !line.starts_with("[pod/") && !line.starts_with("[Envoy (") {
                return None;
            }
            line.split_once("] ").map(|(_, rest)| rest)
        }
        0x1b => line.split_once('m').map(|(_, rest)| rest),
        byte if byte.is_ascii_digit() => stamped(line),
        _ => None,
    }
}

/// A stamp of the log API or of a runtime's file, before something that stands on its own.
fn stamped(line: &str) -> Option<&str> {
    let (_, used) = time::scan(line)?;
    let rest = line[used..].strip_prefix([' ', '\t'])?.trim_ascii_start();
    for stream in ["stdout ", "stderr "] {
        if let Some(tagged) = rest.strip_prefix(stream) {
            return tagged
                .strip_prefix("F ")
                .or_else(|| tagged.strip_prefix("P "));
        }
    }
    stands_alone(rest).then_some(rest)
}

/// Whether a text begins as lines of Istio begin.
pub(super) fn stands_alone(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'[' | b'{' | b'"') => true,
        Some(byte) if byte.is_ascii_digit() => time::scan(text).is_some(),
        _ => false,
    }
}

/// The line without its first word, for tools that write `pod container ` or `name: ` in front.
pub(super) fn without_word(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once([' ', '\t'])?;
    Some(rest.trim_ascii_start())
}
