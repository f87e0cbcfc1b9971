//! How is the app told what to do?

use crate::lab::truth::Witness;
use std::time::Duration;

/// A setting that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{name} has the value `{value}`, expected {expected}")]
pub struct SettingsError {
    name: &'static str,
    value: String,
    expected: &'static str,
}

/// What the app does when it gets SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnTerm {
    /// Closes its listener and its idle connections, finishes what it has accepted, ends.
    Drain,
    /// Ends at once.
    Exit,
    /// Answers 503 for as long as its cleanup takes, ends.
    Refuse,
    /// Nothing: it installs no handler.
    Ignore,
}

/// The environment, read.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) on_term: OnTerm,
    pub(super) serve_on: Duration,
    /// For so long after SIGTERM each answer is the last of its connection, before a drain.
    pub(super) parting: Duration,
    pub(super) cleanup: Duration,
    pub(super) listen_after: Duration,
    pub(super) ready_after: Duration,
    pub(super) keepalive_timeout: Option<Duration>,
    pub(super) crash_after: Option<u64>,
    pub(super) error_rate: f64,
    pub(super) bind: String,
    pub(super) port: u16,
    pub(super) pod_name: String,
    /// An answer tells how often a proxy says that its request was tried.
    pub(super) echo_attempts: bool,
    /// Whom `/call` calls.
    pub(super) call_url: Option<String>,
    pub(super) notify_url: Option<String>,
    pub(super) notify_count: u32,
    pub(super) notify_over: Duration,
    /// Nanoseconds by which this node's clock is ahead.
    pub(super) clock_offset: i64,
    /// Where the lab's truth is told what the app knows.
    pub(super) witness: Witness,
}

impl Settings {
    /// Reads the environment through `get`.
    pub(super) fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let read = Reader(&get);
        let notify_count = read.parsed("NOTIFY_COUNT", 10, "a number")?;
        Ok(Self {
            on_term: read.on_term()?,
            serve_on: read.duration("SERVE_ON")?.unwrap_or_default(),
            parting: read.duration("PARTING")?.unwrap_or_default(),
            cleanup: read.duration("CLEANUP")?.unwrap_or_default(),
            listen_after: read.duration("LISTEN_AFTER")?.unwrap_or_default(),
            ready_after: read.duration("READY_AFTER")?.unwrap_or_default(),
            keepalive_timeout: read.duration("KEEPALIVE_TIMEOUT")?,
            crash_after: read.optional("CRASH_AFTER", "a number of requests")?,
            error_rate: read.share("ERROR_RATE")?,
            bind: get("LAB_BIND").unwrap_or_else(|| "0.0.0.0".to_owned()),
            port: read.parsed("PORT", 8080, "a port")?,
            pod_name: get("POD_NAME")
                .or_else(|| get("HOSTNAME"))
                .or_else(hostname)
                .unwrap_or_default(),
            echo_attempts: read.parsed("ECHO_ATTEMPTS", false, "true or false")?,
            call_url: get("CALL_URL").filter(|url| !url.is_empty()),
            notify_url: get("NOTIFY_URL").filter(|url| !url.is_empty()),
            notify_count,
            notify_over: read.duration("NOTIFY_OVER")?.unwrap_or_default(),
            clock_offset: read.parsed("LAB_CLOCK_OFFSET_NS", 0, "nanoseconds")?,
            witness: Witness::from_env(&get),
        })
    }
}

fn hostname() -> Option<String> {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
}

struct Reader<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Reader<'_> {
    fn value(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn optional<T: std::str::FromStr>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let parsed = value.parse().map_err(|_| SettingsError {
            name,
            value,
            expected,
        })?;
        Ok(Some(parsed))
    }

    fn parsed<T: std::str::FromStr>(
        &self,
        name: &'static str,
        default: T,
        expected: &'static str,
    ) -> Result<T, SettingsError> {
        Ok(self.optional(name, expected)?.unwrap_or(default))
    }

    fn duration(&self, name: &'static str) -> Result<Option<Duration>, SettingsError> {
        let expected = "a duration such as `500ms` or `12s`";
        let parsed: Option<jiff::SignedDuration> = self.optional(name, expected)?;
        parsed
            .map(|duration| {
                Duration::try_from(duration).map_err(|_| SettingsError {
                    name,
                    value: self.value(name).unwrap_or_default(),
                    expected,
                })
            })
            .transpose()
    }

    fn share(&self, name: &'static str) -> Result<f64, SettingsError> {
        let expected = "a share from 0 to 1";
        let share: f64 = self.parsed(name, 0.0, expected)?;
        if (0.0..=1.0).contains(&share) {
            Ok(share)
        } else {
            Err(SettingsError {
                name,
                value: share.to_string(),
                expected,
            })
        }
    }

    fn on_term(&self) -> Result<OnTerm, SettingsError> {
        match self.value("ON_TERM").as_deref() {
            None | Some("drain") => Ok(OnTerm::Drain),
            Some("exit") => Ok(OnTerm::Exit),
            Some("refuse") => Ok(OnTerm::Refuse),
            Some("ignore") => Ok(OnTerm::Ignore),
            Some(other) => Err(SettingsError {
                name: "ON_TERM",
                value: other.to_owned(),
                expected: "`drain`, `exit`, `refuse` or `ignore`",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_env(|name| {
            pairs
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_empty_environment_gives_an_app_that_drains() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.on_term, OnTerm::Drain);
        assert_eq!(settings.port, 8080);
        assert_eq!(settings.keepalive_timeout, None);
    }

    #[test]
    fn durations_and_numbers_are_read() {
        let settings = read(&[
            ("SERVE_ON", "1.5s"),
            ("CLEANUP", "250ms"),
            ("CRASH_AFTER", "250"),
            ("ERROR_RATE", "0.25"),
        ])
        .unwrap();
        assert_eq!(settings.serve_on, Duration::from_millis(1500));
        assert_eq!(settings.cleanup, Duration::from_millis(250));
        assert_eq!(settings.crash_after, Some(250));
    }

    #[test]
    fn a_bad_value_is_named_with_what_was_expected() {
        for (name, value) in [
            ("ON_TERM", "wait"),
            ("SERVE_ON", "soon"),
            ("CLEANUP", "-2s"),
            ("ERROR_RATE", "7"),
            ("PORT", "99999"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }
}
