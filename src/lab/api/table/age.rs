//! How is a span told in at most two units, as kubectl tells ages?

use crate::lab::store::object;
use jiff::Timestamp;
use serde_json::Value;

/// The time since a stamp, `<unknown>` without one.
pub(super) fn since(stamp: &Value, now: Timestamp) -> String {
    match object::stamp(stamp) {
        Some(then) => span(now.as_second() - then.as_second()),
        None => "<unknown>".to_owned(),
    }
}

/// `42s`, `2m3s`, `17m`, `3h20m`, `26h`, `3d4h`, `12d`, `2y5d`, `9y`.
pub(super) fn span(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |unit: i64, big: &str, part: i64, small: &str| {
        let (whole, rest) = (seconds / unit, seconds % unit / part);
        if rest == 0 {
            format!("{whole}{big}")
        } else {
            format!("{whole}{big}{rest}{small}")
        }
    };
    match seconds {
        i64::MIN..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(MINUTE, "m", 1, "s"),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(HOUR, "h", MINUTE, "m"),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(DAY, "d", HOUR, "h"),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => two(YEAR, "y", DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        for (seconds, text) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (601, "10m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 240, "3h4m"),
            (9 * 3600, "9h"),
            (49 * 3600, "2d1h"),
            (9 * 86_400, "9d"),
            (800 * 86_400, "2y70d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
