//! Which instant does a stamp in a log line name?

/// Epoch nanoseconds of an RFC 3339 stamp; a blank may stand for the `T`, and without a zone the
/// stamp is read as UTC.
pub fn epoch_nanos(text: &str) -> Option<i64> {
    let (nanos, used) = scan(text)?;
    (used == text.len()).then_some(nanos)
}

/// How many nanoseconds the last digit of a stamp stands for: of an RFC 3339 one, or of a number of
/// seconds, milliseconds, microseconds or nanoseconds since the epoch.
pub(super) fn floor(text: &str) -> i64 {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let is_number = whole.bytes().all(|byte| byte.is_ascii_digit());
    let unit: i64 = match whole.len() {
        12..=13 if is_number => 1_000_000,
        15..=16 if is_number => 1_000,
        18..=19 if is_number => 1,
        _ => 1_000_000_000,
    };
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).take(9);
    digits.fold(unit, |unit, _| unit / 10).max(1)
}

/// The stamp at the beginning of a text, and its length.
pub(super) fn scan(text: &str) -> Option<(i64, usize)> {
    let bytes = text.as_bytes();
    if bytes.len() < 19
        || bytes[4] != b'-'
        || bytes[7] != b'-'
        || !matches!(bytes[10], b'T' | b' ' | b't')
        || bytes[13] != b':'
        || bytes[16] != b':'
    {
        return None;
    }
    let year = digits(&bytes[0..4])?;
    let (month, day) = (digits(&bytes[5..7])?, digits(&bytes[8..10])?);
    let (hour, minute) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?);
    let second = digits(&bytes[17..19])?;
    // Nanoseconds since the epoch fit 64 bits until 2262.
    if !(1970..2262).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let (fraction, mut used) = fraction(bytes, 19);
    let (offset, zone) = zone(&bytes[used..]);
    used += zone;
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    Some((seconds * 1_000_000_000 + fraction, used))
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// Nanoseconds of a fraction that begins at `at`, and where it ends.
fn fraction(bytes: &[u8], at: usize) -> (i64, usize) {
    if !matches!(bytes.get(at), Some(b'.' | b',')) {
        return (0, at);
    }
    let mut end = at + 1;
    let (mut value, mut scale) = (0, 1_000_000_000);
    while let Some(byte) = bytes.get(end).filter(|byte| byte.is_ascii_digit()) {
        if scale > 1 {
            value = value * 10 + i64::from(byte - b'0');
            scale /= 10;
        }
        end += 1;
    }
    if end == at + 1 {
        (0, at)
    } else {
        (value * scale, end)
    }
}

/// Seconds east of UTC of a zone at the beginning, and its length.
fn zone(bytes: &[u8]) -> (i64, usize) {
    let sign = match bytes.first() {
        Some(b'Z' | b'z') => return (0, 1),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return (0, 0),
    };
    let (minutes, used) = match bytes {
        [_, _, _, b':', _, _, ..] => (&bytes[4..6], 6),
        [_, _, _, _, _, ..] => (&bytes[3..5], 5),
        _ => return (0, 0),
    };
    match (digits(&bytes[1..3]), digits(minutes)) {
        (Some(hours), Some(minutes)) if hours <= 14 && minutes <= 59 => {
            (sign * (hours * 3_600 + minutes * 60), used)
        }
        _ => (0, 0),
    }
}

/// Days since the epoch of a civil date (Howard Hinnant's `days_from_civil`).
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year - era * 400;
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stamps_of_all_writers_are_read() {
        let instant = 1_767_323_045_678_000_000;
        for text in [
            "2026-01-02T03:04:05.678Z",
            "2026-01-02T03:04:05.678000Z",
            "2026-01-02T03:04:05.678000000Z",
            "2026-01-02 03:04:05.678",
            "2026-01-02T05:04:05.678+02:00",
            "2026-01-01T22:04:05.678-0500",
        ] {
            assert_eq!(epoch_nanos(text), Some(instant), "{text}");
        }
        for text in [
            "",
            "2026-13-02T03:04:05Z",
            "2026-01-02T03:04",
            "not a time at all..",
        ] {
            assert_eq!(epoch_nanos(text), None, "{text}");
        }
    }

    #[test]
    fn a_stamp_is_as_wide_as_its_last_digit() {
        let cases = [
            ("2026-01-02T03:04:05.678Z", 1_000_000),
            ("2026-01-02T03:04:05.678901+02:00", 1_000),
            ("2026-01-02T03:04:05Z", 1_000_000_000),
            ("2026-01-02 03:04:05", 1_000_000_000),
            ("1767323045", 1_000_000_000),
            ("1767323045.678", 1_000_000),
            ("1767323045678", 1_000_000),
            ("1767323045678901234", 1),
            ("2026-01-02T03:04:05.678901234567Z", 1),
        ];
        for (text, wanted) in cases {
            assert_eq!(floor(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn stamps_agree_with_jiff(nanos in 0i64..9_000_000_000_000_000_000) {
            let stamp = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap();
            prop_assert_eq!(epoch_nanos(&stamp.to_string()), Some(nanos));
        }
    }
}
