//! What does the generator need to know before it starts?

use super::error::Error;
use crate::scenario::LoadPlan;
use std::net::{IpAddr, SocketAddr};

/// Failures that are stored in full; design 5.
const STORED_FAILURES: u64 = 100_000;

/// Beyond the limit one failure of so many is still stored, as a sample.
pub const SAMPLE_STRIDE: u64 = 100;

/// Everything that one client's load depends on.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// The client's name in events: `local` for a run of our own.
    pub client: String,
    /// Whom to ask.
    pub target: LoadTarget,
    /// Rates, classes, connections.
    pub plan: LoadPlan,
    /// The response header that names the pod.
    pub pod_header: String,
    /// Worker threads; `None`: by the highest rate of the plan.
    pub workers: Option<usize>,
    /// So many failures are stored in full.
    pub stored_failures: u64,
    /// Beyond them one of so many is stored as a sample, the rest only counted.
    pub sample_stride: u64,
}

impl LoadConfig {
    /// The usual settings for a plan's load against a target.
    pub fn new(client: impl Into<String>, target: LoadTarget, plan: LoadPlan) -> Self {
        Self {
            client: client.into(),
            target,
            plan,
            pod_header: "x-pod-name".to_owned(),
            workers: None,
            stored_failures: STORED_FAILURES,
            sample_stride: SAMPLE_STRIDE,
        }
    }
}

/// Whom the load asks: address, `Host` header, TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadTarget {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) host_header: String,
    /// Put before each class's path; empty or `/prefix`.
    pub(super) prefix: String,
}

impl LoadTarget {
    /// A plain HTTP target: an address (or a name, looked up for each connection) and the `Host`
    /// header that goes with it.
    pub fn plain(host: impl Into<String>, port: u16, host_header: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port,
            tls: false,
            host_header: host_header.into(),
            prefix: String::new(),
        }
    }

    /// The target that a URL names; its path is put before the path of each class.
    pub fn url(url: &str) -> Result<Self, Error> {
        let fault = |fault: &str| Error::Url {
            url: url.to_owned(),
            fault: fault.to_owned(),
        };
        let uri: http::Uri = url.parse().map_err(|_| fault("it is no URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(other) => return Err(fault(&format!("scheme `{other}` is not supported"))),
            None => return Err(fault("it has no scheme")),
        };
        let authority = uri.authority().ok_or_else(|| fault("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(fault("user and password in it are not supported"));
        }
        if uri.query().is_some() {
            return Err(fault("a query belongs into the path of a request class"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(fault("it has no host"));
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
            host_header: authority.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The address, where no name has to be looked up.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }
}

impl std::fmt::Display for LoadTarget {
    /// `10.96.0.10:80`, `[fd00::1]:80`, `shop.example:443`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address() {
            Some(address) => write!(f, "{address}"),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_host_port_tls_and_a_prefix_for_paths() {
        let cases = [
            (
                "http://shop.example",
                "shop.example:80",
                false,
                "",
                "shop.example",
            ),
            (
                "https://shop.example/",
                "shop.example:443",
                true,
                "",
                "shop.example",
            ),
            (
                "https://[fd00::1]:8443/v1/",
                "[fd00::1]:8443",
                true,
                "/v1",
                "[fd00::1]:8443",
            ),
            (
                "http://10.0.0.1:8080",
                "10.0.0.1:8080",
                false,
                "",
                "10.0.0.1:8080",
            ),
        ];
        for (url, shown, tls, prefix, host_header) in cases {
            let target = LoadTarget::url(url).expect(url);
            assert_eq!(target.to_string(), shown);
            assert_eq!(target.tls, tls);
            assert_eq!(target.prefix, prefix);
            assert_eq!(target.host_header, host_header);
        }
    }

    #[test]
    fn a_url_that_cannot_be_asked_says_why() {
        for (url, fault) in [
            ("shop.example", "it has no scheme"),
            ("ftp://shop.example", "scheme `ftp` is not supported"),
            (
                "http://user:secret@shop.example",
                "user and password in it are not supported",
            ),
            (
                "http://shop.example/?a=b",
                "a query belongs into the path of a request class",
            ),
            ("http://", "it is no URL"),
        ] {
            let error = LoadTarget::url(url).expect_err(url).to_string();
            assert!(error.contains(fault), "{error}");
        }
    }
}
