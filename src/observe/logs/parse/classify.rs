//! Which kind of line is this (facts, appendix A)?

use super::{IstioLine, agent, json, prefix, text};

/// Words that tools put in front of a line at most: pod, container, a separator.
const MAX_PREFIX_WORDS: usize = 4;

/// Tells what a line of the container `istio-proxy` means. Total: nothing panics, and what is not
/// understood is [`IstioLine::Other`].
pub fn istio_proxy(line: &str) -> IstioLine<'_> {
    let line = prefix::strip(line);
    let found = bare(line);
    if found != IstioLine::Other {
        return found;
    }
    let mut rest = line;
    for _ in 0..MAX_PREFIX_WORDS {
        let Some(shorter) = prefix::without_word(rest) else {
            break;
        };
        rest = shorter;
        if prefix::stands_alone(rest) || rest.starts_with("[pod/") {
            let found = bare(prefix::strip(rest));
            if found != IstioLine::Other {
                return found;
            }
        }
    }
    IstioLine::Other
}

fn bare(line: &str) -> IstioLine<'_> {
    match line.as_bytes().first() {
        Some(b'{') => json::line(line),
        Some(b'"') => access(line),
        Some(b'[') => match access(line) {
            IstioLine::Other => agent::bracketed(line).map_or(IstioLine::Other, IstioLine::Envoy),
            found => found,
        },
        Some(byte) if byte.is_ascii_digit() => match agent::stamped(line) {
            Some(found) => found,
            None => access(line),
        },
        _ => IstioLine::Other,
    }
}

fn access(line: &str) -> IstioLine<'_> {
    text::access(line).map_or(IstioLine::Other, |access| {
        IstioLine::Access(Box::new(access))
    })
}
