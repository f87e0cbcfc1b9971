//! How are durations, rates and shares read as people write them?
//!
//! Each `parse_*` takes the text and gives the value, or what is wrong with it as a fragment that
//! follows the text in a message.

use std::time::Duration;

/// The longest duration that a scenario may name: 30 days.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The highest rate that a scenario may name, per second.
const FASTEST: f64 = 1_000_000.0;

/// Reads `1500ms`, `5s`, `1.5s`, `2m`, `1h`, `1m30s`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("is empty".to_owned());
    }
    if rest.starts_with('-') {
        return Err("is negative".to_owned());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.' || c.is_whitespace())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        seconds += number * unit_seconds(unit)?;
        rest = next.trim_start();
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        _ => Err("is longer than 30 days".to_owned()),
    }
}

/// Reads a duration that may be negative, in seconds.
pub(super) fn parse_skew(text: &str) -> Result<f64, String> {
    let text = text.trim();
    match text.strip_prefix('-') {
        Some(rest) => parse_duration(rest).map(|duration| -duration.as_secs_f64()),
        None => parse_duration(text.strip_prefix('+').unwrap_or(text))
            .map(|duration| duration.as_secs_f64()),
    }
}

fn unit_seconds(unit: &str) -> Result<f64, String> {
    match unit {
        "us" | "µs" => Ok(1e-6),
        "ms" => Ok(1e-3),
        "s" => Ok(1.0),
        "m" => Ok(60.0),
        "h" => Ok(3600.0),
        "" => Err("has no unit".to_owned()),
        _ => Err(format!("has the unit `{unit}`; units are ms, s, m and h")),
    }
}

/// Reads `200/s`, `6000/m`, `0.5/s`; the value is per second.
pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    let Some((number, unit)) = text.split_once('/') else {
        return Err(match parse_number(text) {
            Ok(_) => "has no unit".to_owned(),
            Err(_) => "is not a rate".to_owned(),
        });
    };
    let number = parse_number(number)?;
    let rate = match unit.trim() {
        "s" | "sec" | "second" => number,
        "m" | "min" | "minute" => number / 60.0,
        "h" | "hour" => number / 3600.0,
        other => {
            return Err(format!("has the unit `/{other}`; units are /s, /m and /h"));
        }
    };
    if rate <= 0.0 {
        Err("sends nothing".to_owned())
    } else if rate > FASTEST {
        Err("is more than 1000000/s".to_owned())
    } else {
        Ok(rate)
    }
}

/// Reads `50%`, `0.01 %`; the value is a share from 0 to 1.
pub(super) fn parse_share(text: &str) -> Result<f64, String> {
    let Some(number) = text.trim().strip_suffix('%') else {
        return Err(match parse_number(text) {
            Ok(_) => "has no `%`".to_owned(),
            Err(_) => "is not a percentage".to_owned(),
        });
    };
    let percent = parse_number(number)?;
    if percent < 0.0 {
        Err("is less than 0 %".to_owned())
    } else if percent > 100.0 {
        Err("is more than 100 %".to_owned())
    } else {
        Ok(percent / 100.0)
    }
}

/// Reads a whole number, `1000` or `1_000`.
pub(super) fn parse_count(text: &str) -> Result<u64, String> {
    let digits = text.trim().replace('_', "");
    digits.parse::<u64>().map_err(|_| {
        match digits.parse::<f64>() {
            Ok(number) if number < 0.0 => "is negative",
            Ok(_) if digits.bytes().all(|b| b.is_ascii_digit()) => "is too large",
            _ => "is not a whole number",
        }
        .to_owned()
    })
}

/// Reads a finite number.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("is not a number".to_owned()),
    }
}

fn leading_number(text: &str) -> Result<(f64, &str), String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let number = number.parse().map_err(|_| "is not a duration".to_owned())?;
    Ok((number, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [
            ("1500ms", 1500),
            ("5s", 5000),
            ("5 s", 5000),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_wrong_duration_says_what_is_wrong() {
        for (text, problem) in [
            ("5", "has no unit"),
            ("5x", "has the unit `x`; units are ms, s, m and h"),
            ("-5s", "is negative"),
            ("soon", "is not a duration"),
            ("", "is empty"),
            ("1.2.3s", "is not a duration"),
            ("99999999h", "is longer than 30 days"),
            ("1e400s", "has the unit `e`; units are ms, s, m and h"),
        ] {
            assert_eq!(parse_duration(text), Err(problem.to_owned()), "{text}");
        }
    }

    #[test]
    fn rates_are_per_second() {
        assert_eq!(parse_rate("200/s"), Ok(200.0));
        assert_eq!(parse_rate("6000/m"), Ok(100.0));
        assert_eq!(parse_rate("1800 / h"), Ok(0.5));
        for (text, problem) in [
            ("200", "has no unit"),
            ("fast", "is not a rate"),
            ("0/s", "sends nothing"),
            ("-1/s", "sends nothing"),
            ("nan/s", "is not a number"),
            ("2000000/s", "is more than 1000000/s"),
            ("200/d", "has the unit `/d`; units are /s, /m and /h"),
        ] {
            assert_eq!(parse_rate(text), Err(problem.to_owned()), "{text}");
        }
    }

    #[test]
    fn shares_need_their_sign_and_their_bounds() {
        assert_eq!(parse_share("50%"), Ok(0.5));
        assert_eq!(parse_share("0.01 %"), Ok(0.0001));
        for (text, problem) in [
            ("50", "has no `%`"),
            ("half", "is not a percentage"),
            ("101%", "is more than 100 %"),
            ("-1%", "is less than 0 %"),
        ] {
            assert_eq!(parse_share(text), Err(problem.to_owned()), "{text}");
        }
    }

    #[test]
    fn counts_are_whole_and_not_negative() {
        assert_eq!(parse_count("1_000"), Ok(1000));
        for (text, problem) in [
            ("-1", "is negative"),
            ("1.5", "is not a whole number"),
            ("many", "is not a whole number"),
            ("99999999999999999999", "is too large"),
        ] {
            assert_eq!(parse_count(text), Err(problem.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_skew_may_be_negative() {
        assert_eq!(parse_skew("-3.4s"), Ok(-3.4));
        assert_eq!(parse_skew("+3s"), Ok(3.0));
    }
}
