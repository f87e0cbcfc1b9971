//! By which clock do an Envoy's lines tell? By its node's, which the lab may have set wrong.
//!
//! An Envoy of the lab has this machine's clock; nothing can give a process another time of day.
//! So it is told to write its stamps between marks ([`ACCESS`], [`APPLICATION`]), and the node puts
//! its own time in their place as it writes the line into the container's log ([`restamp`]). What
//! else Envoy says of time are durations, which no clock's offset changes. A custom access-log
//! format that asks for `%START_TIME(...)%` in words of its own keeps the machine's clock.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

const BEGIN: &str = "{lab-clock:";
const END: char = '}';

/// Envoy's operator for the start of a request, and the marked one: whole seconds of the epoch and
/// milliseconds.
const PLAIN: &str = "%START_TIME%";
const ACCESS: &str = "{lab-clock:%START_TIME(%s.%3f)%}";

/// The same in the format of Envoy's own log, with microseconds.
pub(super) const APPLICATION: &str = "{lab-clock:%E.%f}";

/// An access-log format whose stamps the node will set.
pub(super) fn marked(format: &str) -> String {
    format.replace(PLAIN, ACCESS)
}

/// A line with its stamps by a clock that is so far ahead; `None`: there are none in it.
pub(crate) fn restamp(line: &str, ahead: SignedDuration) -> Option<String> {
    let mut told = String::new();
    let mut rest = line;
    while let Some((before, stamp, after)) = next(rest) {
        told.push_str(before);
        told.push_str(&written(stamp, ahead).unwrap_or_else(|| stamp.to_owned()));
        rest = after;
    }
    (rest.len() < line.len()).then(|| told + rest)
}

/// What is before the next mark, what is marked, and what comes after it.
fn next(line: &str) -> Option<(&str, &str, &str)> {
    let (before, marked) = line.split_once(BEGIN)?;
    let (stamp, after) = marked.split_once(END)?;
    Some((before, stamp, after))
}

/// Seconds of the epoch as Envoy would have written them, with as many digits.
fn written(stamp: &str, ahead: SignedDuration) -> Option<String> {
    let (seconds, fraction) = stamp.split_once('.')?;
    let digits = u32::try_from(fraction.len())
        .ok()
        .filter(|digits| *digits <= 9)?;
    let nanos = fraction.parse::<i32>().ok()? * 10_i32.pow(9 - digits);
    let at = Timestamp::new(seconds.parse().ok()?, nanos).ok()?;
    // A container may write any number between marks of its own.
    let at = at.checked_add(ahead).ok()?;
    let format = format!("%Y-%m-%dT%H:%M:%S%.{digits}fZ");
    Some(at.to_zoned(TimeZone::UTC).strftime(&format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_moved_by_the_offset_and_keep_their_digits() {
        let ahead = SignedDuration::from_millis(-3_400);
        let access = "[{lab-clock:1767323045.678}] \"GET / HTTP/1.1\" 200";
        assert_eq!(
            restamp(access, ahead).unwrap(),
            "[2026-01-02T03:04:02.278Z] \"GET / HTTP/1.1\" 200"
        );
        let json = r#"{"start_time":"{lab-clock:1767323045.678}","duration":3}"#;
        assert_eq!(
            restamp(json, SignedDuration::ZERO).unwrap(),
            r#"{"start_time":"2026-01-02T03:04:05.678Z","duration":3}"#
        );
        let own = "{lab-clock:1767323045.000042}\twarning\tenvoy config x:1\ty\tthread=1";
        assert!(
            restamp(own, SignedDuration::ZERO)
                .unwrap()
                .starts_with("2026-01-02T03:04:05.000042Z\t")
        );
    }

    #[test]
    fn other_lines_and_broken_marks_stay_as_they_are() {
        assert_eq!(restamp("Agent draining Proxy", SignedDuration::ZERO), None);
        assert_eq!(restamp("{lab-clock:12", SignedDuration::ZERO), None);
        assert_eq!(
            restamp("a {lab-clock:x} b", SignedDuration::ZERO).unwrap(),
            "a x b"
        );
        let last = Timestamp::MAX.as_second();
        assert_eq!(
            restamp(
                &format!("{{lab-clock:{last}.0}}"),
                SignedDuration::from_secs(3)
            )
            .unwrap(),
            format!("{last}.0"),
            "there is no later time to tell"
        );
        assert_eq!(
            marked("[%START_TIME%] %START_TIME(%s)%"),
            "[{lab-clock:%START_TIME(%s.%3f)%}] %START_TIME(%s)%"
        );
    }
}
