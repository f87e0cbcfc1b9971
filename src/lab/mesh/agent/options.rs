//! What is the agent told by its environment?

use super::log::{AgentLog, write_line};
use crate::lab::mesh::settings::duration;
use crate::lab::mesh::xds::ADMIN_PORT;
use crate::lab::truth::Witness;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Duration;

/// What the injector gave to the agent.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) pod: String,
    pub(super) namespace: String,
    pub(super) address: String,
    pub(super) workload: String,
    /// The folder of this proxy's files.
    pub(super) dir: PathBuf,
    pub(super) envoy: PathBuf,
    pub(super) clock_offset: i64,
    /// Paths under which the app's probes are asked for, and what to ask then.
    pub(super) probers: Map<String, Value>,
    /// `PROXY_CONFIG`, as written.
    written: String,
    pub(super) drain: Drain,
    /// `sidecar.istio.io/statsInclusionRegexps`: statistics that are kept besides.
    pub(super) stats: String,
    pub(super) witness: Witness,
}

/// How the proxy ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drain {
    /// `terminationDrainDuration`.
    pub(super) termination: Duration,
    /// `drainDuration`: Envoy's own `--drain-time-s`.
    pub(super) envoy: Duration,
    /// `EXIT_ON_ZERO_ACTIVE_CONNECTIONS`.
    pub(super) until_idle: bool,
    /// `MINIMUM_DRAIN_DURATION`.
    pub(super) minimum: Duration,
}

/// A variable that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable `{name}` is `{value}`\nhint: {hint}")]
pub(super) struct OptionError {
    name: &'static str,
    value: String,
    hint: &'static str,
}

impl Options {
    /// Reads them through `get`.
    pub(super) fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, OptionError> {
        let needed = |name: &'static str| {
            get(name).ok_or_else(|| OptionError {
                name,
                value: String::new(),
                hint: "the agent is started by the lab's injector, which sets it",
            })
        };
        let map = |name: &'static str| -> Result<Map<String, Value>, OptionError> {
            let value = get(name).unwrap_or_else(|| "{}".to_owned());
            serde_json::from_str(&value).map_err(|_| OptionError {
                name,
                value,
                hint: "it is a JSON map",
            })
        };
        let config = map("LAB_PROXY_CONFIG")?;
        Ok(Self {
            pod: needed("POD_NAME")?,
            namespace: needed("POD_NAMESPACE")?,
            address: needed("INSTANCE_IP")?,
            workload: get("ISTIO_META_WORKLOAD_NAME").unwrap_or_default(),
            dir: PathBuf::from(needed("LAB_MESH_DIR")?).join(needed("POD_UID")?),
            envoy: needed("LAB_ENVOY")?.into(),
            clock_offset: get("LAB_CLOCK_OFFSET_NS")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            probers: map("ISTIO_KUBE_APP_PROBERS")?,
            written: get("PROXY_CONFIG").unwrap_or_default(),
            drain: Drain::read(&config, &get)?,
            stats: get("LAB_STATS_REGEXPS").unwrap_or_default(),
            witness: Witness::from_env(&get),
        })
    }

    /// The lines with which the agent begins.
    pub(super) fn introduce(&self, log: &AgentLog) {
        let domain = format!("{}.svc.cluster.local", self.namespace);
        for (name, value) in [
            ("concurrency", "0"),
            ("domain", &domain),
            ("log_output_level", "default:info"),
            ("proxyComponentLogLevel", "misc:error"),
            ("proxyLogLevel", "warning"),
            ("serviceCluster", "istio-proxy"),
        ] {
            log.info(&format!("FLAG: --{name}=\"{value}\""));
        }
        log.info(&format!(
            "Version lastwatch-lab-{}",
            env!("CARGO_PKG_VERSION")
        ));
        log.info(&format!(
            "Proxy role\tips=[{}] type=sidecar id={}.{} domain={domain}",
            self.address, self.pod, self.namespace
        ));
        log.info(&format!(
            "Apply proxy config from env {}\n",
            self.written.trim()
        ));
        log.info("Effective config: binaryPath: /usr/local/bin/envoy");
        for line in self.effective() {
            write_line(&line);
        }
        write_line("");
    }

    fn effective(&self) -> Vec<String> {
        let mut lines = vec![
            "concurrency: 2".to_owned(),
            format!("drainDuration: {:?}", self.drain.envoy),
            format!("proxyAdminPort: {ADMIN_PORT}"),
        ];
        if self.drain.until_idle {
            lines.push("proxyMetadata:".to_owned());
            lines.push("  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: \"true\"".to_owned());
            lines.push(format!(
                "  MINIMUM_DRAIN_DURATION: {:?}",
                self.drain.minimum
            ));
        }
        lines.push("statusPort: 15020".to_owned());
        lines.push(format!(
            "terminationDrainDuration: {:?}",
            self.drain.termination
        ));
        lines
    }

    /// The node's name as proxies name themselves.
    pub(super) fn node(&self) -> String {
        let Self {
            pod,
            namespace,
            address,
            ..
        } = self;
        format!("sidecar~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local")
    }

    /// The control plane has written this proxy's files; the listeners come last.
    pub(super) fn files_are_there(&self) -> bool {
        self.dir.join("lds.json").exists()
    }
}

impl Drain {
    fn read(
        config: &Map<String, Value>,
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, OptionError> {
        let time = |name: &'static str, value: Option<String>, otherwise: u64| match value {
            None => Ok(Duration::from_secs(otherwise)),
            Some(value) => duration(&value).ok_or(OptionError {
                name,
                value,
                hint: "it is a duration such as 22s",
            }),
        };
        let of = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
        let until_idle = get("EXIT_ON_ZERO_ACTIVE_CONNECTIONS");
        Ok(Self {
            termination: time(
                "terminationDrainDuration",
                of("terminationDrainDuration"),
                5,
            )?,
            envoy: time("drainDuration", of("drainDuration"), 45)?,
            until_idle: until_idle.is_some_and(|word| word.eq_ignore_ascii_case("true")),
            minimum: time("MINIMUM_DRAIN_DURATION", get("MINIMUM_DRAIN_DURATION"), 5)?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn options(pairs: &[(&str, &str)]) -> Result<Options, OptionError> {
        let known = [
            ("POD_NAME", "demo-1"),
            ("POD_NAMESPACE", "default"),
            ("POD_UID", "u1"),
            ("INSTANCE_IP", "10.244.0.3"),
            ("LAB_MESH_DIR", "/lab/mesh"),
            ("LAB_ENVOY", "/opt/envoy"),
        ];
        Options::from_env(|name| {
            let all = pairs.iter().chain(&known);
            let found = all.copied().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.to_owned())
        })
    }

    #[test]
    fn without_settings_the_proxy_ends_as_a_stock_istio_does() {
        let options = options(&[]).unwrap();
        let stock = Drain {
            termination: Duration::from_secs(5),
            envoy: Duration::from_secs(45),
            until_idle: false,
            minimum: Duration::from_secs(5),
        };
        assert_eq!(options.drain, stock);
        assert_eq!(options.dir, PathBuf::from("/lab/mesh/u1"));
        assert_eq!(
            options.node(),
            "sidecar~10.244.0.3~demo-1.default~default.svc.cluster.local"
        );
    }

    #[test]
    fn settings_of_the_pod_are_read_and_wrong_ones_named() {
        let drain = options(&[
            ("LAB_PROXY_CONFIG", r#"{"terminationDrainDuration":"22s"}"#),
            ("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "true"),
            ("MINIMUM_DRAIN_DURATION", "25s"),
        ])
        .unwrap()
        .drain;
        assert_eq!(drain.termination, Duration::from_secs(22));
        assert!(drain.until_idle);
        assert_eq!(drain.minimum, Duration::from_secs(25));
        let error = options(&[("MINIMUM_DRAIN_DURATION", "long")]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`MINIMUM_DRAIN_DURATION` is `long`")
        );
    }
}
