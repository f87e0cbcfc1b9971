//! Which mesh does a scenario want (`lab.mesh`)?

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The mesh of a lab, with the defaults of a stock Istio whose access log is on.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Sidecars are native ones, where a pod does not say otherwise.
    pub native: bool,
    /// What the proxies log.
    pub access_log: AccessLog,
    /// What is tried again towards other pods.
    pub retries: Retries,
    /// What is tried again towards the own app.
    pub inbound_retry: bool,
    /// A pooled connection that was idle for this long is closed; `None`: Envoy's hour.
    pub idle_timeout: Option<Duration>,
    /// A host is ejected after so many answers of 5xx in a row; `None`: never.
    pub consecutive_5xx: Option<u32>,
    /// `meshConfig.defaultConfig`: what a pod's own `proxy.istio.io/config` is laid over.
    pub proxy: Map<String, Value>,
}

/// What the proxies log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Nothing.
    Off,
    /// Istio's TEXT format.
    Text,
    /// Istio's JSON encoding.
    Json,
    /// A TEXT format of Envoy's operators.
    Custom(String),
}

/// What is tried again towards other pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    /// Nothing.
    None,
    /// Istio before 1.24: 503 as well.
    Before124,
    /// Istio 1.24 and later.
    Since124,
}

/// A setting that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`lab.mesh.{name}` is `{value}`\nhint: {hint}")]
pub struct SettingsError {
    name: String,
    value: String,
    hint: &'static str,
}

/// Keys that go to every proxy as they are.
const PROXY_KEYS: &[&str] = &[
    "terminationDrainDuration",
    "drainDuration",
    "holdApplicationUntilProxyStarts",
    "proxyMetadata",
];

const KEYS: &str = "the settings are nativeSidecar, accessLog, accessLogFormat, retries, inboundRetry, idleTimeout, consecutive5xxErrors, terminationDrainDuration, drainDuration, holdApplicationUntilProxyStarts, proxyMetadata";

impl Default for Settings {
    fn default() -> Self {
        Self {
            native: false,
            access_log: AccessLog::Text,
            retries: Retries::Since124,
            inbound_retry: true,
            idle_timeout: None,
            consecutive_5xx: None,
            proxy: Map::new(),
        }
    }
}

impl Settings {
    /// Reads `lab.mesh` of a scenario.
    ///
    /// # Errors
    ///
    /// The first setting that is unknown or cannot be what it is.
    pub fn read(written: &BTreeMap<String, Value>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for (name, value) in written {
            settings.set(name, value).map_err(|hint| SettingsError {
                name: name.clone(),
                value: match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                },
                hint,
            })?;
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), &'static str> {
        let truth = |hint| value.as_bool().ok_or(hint);
        match name {
            "nativeSidecar" => self.native = truth("it is true or false")?,
            "inboundRetry" => self.inbound_retry = truth("it is true or false")?,
            "accessLog" => {
                self.access_log = match value {
                    Value::Bool(true) => AccessLog::Text,
                    Value::Bool(false) => AccessLog::Off,
                    Value::String(word) if word == "TEXT" => AccessLog::Text,
                    Value::String(word) if word == "JSON" => AccessLog::Json,
                    _ => return Err("it is true, false, TEXT or JSON"),
                }
            }
            "accessLogFormat" => {
                let format = value.as_str().ok_or("it is an Envoy format string")?;
                self.access_log = AccessLog::Custom(format!("{}\n", format.trim_end()));
            }
            "retries" => {
                self.retries = match value {
                    Value::Bool(false) => Retries::None,
                    Value::String(word) if word == "none" => Retries::None,
                    Value::String(word) if word == "before-1.24" => Retries::Before124,
                    Value::String(word) if word == "since-1.24" => Retries::Since124,
                    _ => return Err("it is since-1.24, before-1.24 or none"),
                }
            }
            "idleTimeout" => {
                let text = value.as_str().and_then(duration);
                self.idle_timeout = Some(text.ok_or("it is a duration such as 2s")?);
            }
            "consecutive5xxErrors" => {
                let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
                self.consecutive_5xx = Some(number.ok_or("it is a number such as 5")?);
            }
            key if PROXY_KEYS.contains(&key) => {
                if key.ends_with("Duration") {
                    let text = value.as_str().and_then(duration);
                    text.ok_or("it is a duration such as 22s")?;
                }
                if key.starts_with("hold") {
                    truth("it is true or false")?;
                }
                self.proxy.insert(key.to_owned(), value.clone());
            }
            _ => return Err(KEYS),
        }
        Ok(())
    }

    /// A proxy's own settings over those of the mesh; `proxyMetadata` key by key.
    pub(crate) fn proxy_with(&self, own: &Map<String, Value>) -> Map<String, Value> {
        merged(&self.proxy, own)
    }
}

/// `over` laid over `base`; of two maps key by key.
pub(crate) fn merged(base: &Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    let mut all = base.clone();
    for (key, value) in over {
        let both = match (all.get(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => json!(merged(below, above)),
            _ => value.clone(),
        };
        all.insert(key.clone(), both);
    }
    all
}

/// A duration as Go writes it: `22s`, `1m30s`, `300ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let parsed: jiff::SignedDuration = text.trim().parse().ok()?;
    Duration::try_from(parsed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Settings, SettingsError> {
        Settings::read(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn settings_of_a_scenario_are_laid_over_a_stock_istio() {
        let settings = read(json!({
            "nativeSidecar": true, "accessLog": "JSON", "retries": "before-1.24",
            "idleTimeout": "1m30s", "terminationDrainDuration": "22s",
            "proxyMetadata": {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true"},
        }))
        .unwrap();
        assert!(settings.native && settings.inbound_retry);
        assert_eq!(settings.access_log, AccessLog::Json);
        assert_eq!(settings.retries, Retries::Before124);
        assert_eq!(settings.idle_timeout, Some(Duration::from_secs(90)));
        let own = json!({"proxyMetadata": {"MINIMUM_DRAIN_DURATION": "25s"}});
        let proxy = settings.proxy_with(own.as_object().unwrap());
        assert_eq!(proxy["terminationDrainDuration"], "22s");
        assert_eq!(proxy["proxyMetadata"]["MINIMUM_DRAIN_DURATION"], "25s");
        assert_eq!(
            proxy["proxyMetadata"]["EXIT_ON_ZERO_ACTIVE_CONNECTIONS"],
            "true"
        );
    }

    #[test]
    fn a_wrong_setting_is_named_with_what_it_may_be() {
        for (written, words) in [
            (
                json!({"retries": 3}),
                "`lab.mesh.retries` is `3`\nhint: it is since-1.24",
            ),
            (json!({"drainDuration": "soon"}), "`soon`"),
            (json!({"tls": true}), "the settings are nativeSidecar"),
        ] {
            let error = read(written).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
