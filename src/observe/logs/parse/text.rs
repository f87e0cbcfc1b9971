//! How is a TEXT access line taken apart, in every format that Istio has had since 1.0?
//!
//! All of them share a frame: `[time] "request" code flags`, then details that came and went with
//! the releases, then four numbers, five quoted values and a tail that has grown. The four numbers
//! before a quote are the anchor: they are found first, and what stands before them is read as
//! details by its shape. Values are not escaped, so a quote ends one only where the next field
//! begins after it.

use super::access::{AccessLine, Text, number};
use super::flags::{self, ResponseFlags};
use super::time;
use memchr::{memchr, memrchr};
use std::borrow::Cow;

/// Reads an access line in one of Istio's own TEXT formats.
pub(super) fn access(line: &str) -> Option<AccessLine<'_>> {
    let mut access = AccessLine::default();
    let (stamp, rest) = head(line)?;
    if let Some(stamp) = stamp {
        access.start = time::epoch_nanos(stamp);
        access.start_time = bare(stamp);
    }
    let timed = access.start.is_some();
    let request = rest.strip_prefix('"')?;
    let Some(end) = request_end(request) else {
        // The line was cut inside the request.
        set_request(&mut access, request);
        return timed.then_some(access);
    };
    let protocol_known = set_request(&mut access, &request[..end]);
    let rest = request[end + 1..].trim_start_matches(' ');
    let (code, rest) = token(rest);
    access.response_code = number(code).and_then(|code| u16::try_from(code).ok());
    let (word, after) = token(rest);
    let flagged = flags::plausible(word);
    if !timed && (!protocol_known || !flagged || code.len() > 3) {
        return None;
    }
    let rest = if flagged {
        access.response_flags = ResponseFlags::new(Cow::Borrowed(word));
        after
    } else {
        rest
    };
    let (section, numbers, rest) = anchor(rest);
    set_details(&mut access, section);
    access.bytes_received = number(numbers[0]);
    access.bytes_sent = number(numbers[1]);
    access.duration_ms = number(numbers[2]);
    access.upstream_service_time_ms = number(numbers[3]);
    set_tail(&mut access, rest);
    Some(access)
}

/// The text of the time, with or without its opening bracket, and what follows it.
fn head(line: &str) -> Option<(Option<&str>, &str)> {
    let bytes = line.as_bytes();
    match bytes.first()? {
        b'"' => Some((None, line)),
        b'[' => {
            let end = memchr(b']', bytes)?;
            Some((Some(&line[1..end]), quoted_after(&line[end + 1..])?))
        }
        byte if byte.is_ascii_digit() => {
            let (_, used) = time::scan(line)?;
            let rest = line[used..].strip_prefix(']')?;
            Some((Some(&line[..used]), quoted_after(rest)?))
        }
        _ => None,
    }
}

fn quoted_after(rest: &str) -> Option<&str> {
    let rest = rest.trim_start_matches(' ');
    rest.starts_with('"').then_some(rest)
}

/// The quote that ends the request: a status or a `-` follows it, or nothing.
fn request_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut from, mut first) = (0, None);
    while let Some(found) = memchr(b'"', &bytes[from..]) {
        let at = from + found;
        let rest = &bytes[at + 1..];
        if rest.is_empty() || (rest[0] == b' ' && status_follows(&rest[1..])) {
            if ends_with_protocol(&text[..at]) {
                return Some(at);
            }
            first = first.or(Some(at));
        }
        from = at + 1;
    }
    first
}

fn ends_with_protocol(request: &str) -> bool {
    match memrchr(b' ', request.as_bytes()) {
        Some(at) => is_protocol(&request[at + 1..]),
        None => false,
    }
}

fn is_protocol(word: &str) -> bool {
    word == "-" || word.starts_with("HTTP/")
}

fn status_follows(bytes: &[u8]) -> bool {
    let length = bytes
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(bytes.len());
    let word = &bytes[..length];
    word == b"-" || word.iter().all(u8::is_ascii_digit)
}

/// Splits `METHOD path with blanks PROTOCOL`; true when it has that form.
fn set_request<'a>(access: &mut AccessLine<'a>, request: &'a str) -> bool {
    let (method, rest) = token(request);
    let (path, protocol) = match rest.rsplit_once(' ') {
        Some((path, protocol)) => (path, protocol),
        None => (rest, ""),
    };
    access.method = bare(method);
    access.path = bare(path);
    access.protocol = bare(protocol);
    is_protocol(protocol)
}

/// The word before the next blank, and what follows that blank.
fn token(text: &str) -> (&str, &str) {
    match memchr(b' ', text.as_bytes()) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

/// Finds the four numbers; gives what stands before them, them, and what follows.
fn anchor(rest: &str) -> (&str, [&str; 4], &str) {
    let bytes = rest.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if let Some((numbers, tail)) = numbers(&rest[at..]) {
            return (&rest[..at], numbers, tail);
        }
        at += match bytes[at] {
            b'"' => quoted_length(&bytes[at..]),
            _ => memchr(b' ', &bytes[at..]).unwrap_or(bytes.len() - at),
        };
        at += 1;
    }
    (rest, [""; 4], "")
}

/// Length of a quoted value whose end is a quote before a blank or at the end.
fn quoted_length(bytes: &[u8]) -> usize {
    let mut from = 1;
    while let Some(found) = memchr(b'"', bytes.get(from..).unwrap_or_default()) {
        let after = from + found + 1;
        if after == bytes.len() || bytes[after] == b' ' {
            return after;
        }
        from = after;
    }
    bytes.len()
}

/// Four numbers before a quote; fewer where the line is cut within them.
fn numbers(text: &str) -> Option<([&str; 4], &str)> {
    let mut found = [""; 4];
    let mut rest = text;
    for (index, slot) in found.iter_mut().enumerate() {
        let (word, after) = token(rest);
        let numeric = word == "-" || word.bytes().all(|byte| byte.is_ascii_digit());
        // The service time is a header: the app may have written anything there.
        let bare = index == 3 && !word.contains('"');
        if word.is_empty() || !(numeric || bare) {
            return None;
        }
        *slot = word;
        if after.is_empty() {
            return (index > 0).then_some((found, ""));
        }
        rest = after;
    }
    rest.starts_with('"').then_some((found, rest))
}

/// Reads what stands between the flags and the numbers by its shape.
fn set_details<'a>(access: &mut AccessLine<'a>, section: &'a str) {
    let section = section.trim_end_matches(' ');
    let Some(quote) = memchr(b'"', section.as_bytes()) else {
        set_unquoted(access, section);
        return;
    };
    set_unquoted(access, section[..quote].trim_end_matches(' '));
    let quoted = &section[quote + 1..];
    let quoted = quoted.strip_suffix('"').unwrap_or(quoted);
    if quote > 0 {
        access.upstream_transport_failure_reason = value(quoted);
        return;
    }
    // Until 1.8: mixer's status, then the reason; 1.0 to 1.2 and 1.8 have only one of them.
    match quoted.split_once("\" \"") {
        Some((_, reason)) => access.upstream_transport_failure_reason = value(reason),
        None if !is_mixer_status(quoted) => {
            access.upstream_transport_failure_reason = value(quoted);
        }
        None => {}
    }
}

/// `UNAVAILABLE:...`, `PERMISSION_DENIED`: a status word, alone or before a colon.
fn is_mixer_status(text: &str) -> bool {
    let word = text.split(':').next().unwrap_or_default();
    word.len() > 1
        && word
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        && word != "TLS"
}

/// `details`, or `details termination`; blanks within brackets belong to their word.
fn set_unquoted<'a>(access: &mut AccessLine<'a>, text: &'a str) {
    let (details, termination) = match outer_blank(text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, "-"),
    };
    access.response_code_details = bare(details);
    access.connection_termination_details = bare(termination);
}

/// The first blank outside brackets.
fn outer_blank(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut first = None;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b' ' => {
                first = first.or(Some(at));
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    // Brackets that never close bind nothing.
    if depth > 0 { first } else { None }
}

/// The quoted values and the bare words after them.
fn set_tail<'a>(access: &mut AccessLine<'a>, tail: &'a str) {
    let Some((quoted, rest)) = five_quoted(tail).or_else(|| five_loose(tail)) else {
        set_cut(access, tail);
        return;
    };
    access.x_forwarded_for = value(quoted[0]);
    access.user_agent = value(quoted[1]);
    access.request_id = value(quoted[2]);
    access.authority = value(quoted[3]);
    access.upstream_host = value(quoted[4]);
    if rest.is_empty() {
        return;
    }
    let mut words = rest.split(' ').map(|word| bare(word.trim_matches('"')));
    let mut next = || words.next().flatten();
    access.upstream_cluster = next();
    access.upstream_local_address = next();
    access.downstream_local_address = next();
    access.downstream_remote_address = next();
    access.requested_server_name = next();
    access.route_name = next();
}

/// Five values without quotes in them.
fn five_quoted(tail: &str) -> Option<([&str; 5], &str)> {
    let mut values = [""; 5];
    let mut rest = tail;
    for slot in &mut values {
        let inner = rest.strip_prefix('"')?;
        let end = memchr(b'"', inner.as_bytes())?;
        *slot = &inner[..end];
        rest = &inner[end + 1..];
        if !rest.is_empty() {
            rest = rest.strip_prefix(' ')?;
        }
    }
    // A quote here means that a value held a `" "`; a request id never holds blanks.
    let clean = !rest.starts_with('"') && !values[2].contains(' ');
    clean.then_some((values, rest))
}

/// Five or more pieces between `" "`, the last before a bare word or the end; the surplus belongs
/// to the user agent, the only value of them that is free text.
fn five_loose(tail: &str) -> Option<([&str; 5], &str)> {
    let inner = tail.strip_prefix('"')?;
    let bytes = inner.as_bytes();
    let mut starts = vec![0];
    let mut from = 0;
    let end = loop {
        let at = from + memchr(b'"', &bytes[from..])?;
        from = at + 1;
        match bytes.get(at + 1..) {
            Some([b' ', b'"', ..]) => {
                starts.push(at + 3);
                from = at + 3;
            }
            Some([] | [b' ', ..]) if starts.len() >= 5 => break at,
            _ => {}
        }
    };
    let rest = inner[end + 1..].trim_start_matches(' ');
    let count = starts.len();
    let piece = |index: usize| {
        let stop = starts.get(index + 1).map_or(end, |next| next - 3);
        &inner[starts[index]..stop]
    };
    let first_five = is_host(piece(4)) && !piece(2).contains(' ');
    if first_five {
        let after = if count > 5 {
            &inner[starts[5] - 1..]
        } else {
            rest
        };
        return Some(([piece(0), piece(1), piece(2), piece(3), piece(4)], after));
    }
    let agent = &inner[starts[1]..starts[count - 3] - 3];
    let last = [piece(count - 3), piece(count - 2), piece(count - 1)];
    Some(([piece(0), agent, last[0], last[1], last[2]], rest))
}

fn is_host(text: &str) -> bool {
    text == "-" || (!text.contains(' ') && text.contains(':'))
}

/// A line cut within its quoted values: what is whole is kept, the cut one too.
fn set_cut<'a>(access: &mut AccessLine<'a>, tail: &'a str) {
    let Some(inner) = tail.strip_prefix('"') else {
        return;
    };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut values = inner.split("\" \"").map(value);
    let mut next = || values.next().flatten();
    access.x_forwarded_for = next();
    access.user_agent = next();
    access.request_id = next();
    access.authority = next();
    access.upstream_host = next();
}

/// A quoted value: an empty one is a value too.
fn value(text: &str) -> Text<'_> {
    (text != "-").then_some(Cow::Borrowed(text))
}

/// A bare word.
fn bare(text: &str) -> Text<'_> {
    (!matches!(text, "-" | "")).then_some(Cow::Borrowed(text))
}
