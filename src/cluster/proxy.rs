//! Through which proxy is the API server reached, if through any?
//!
//! As kubectl decides it: a `proxy-url` of the kubeconfig is always obeyed. Without one, `HTTPS_PROXY`
//! is, unless the API server is on this machine or named by `NO_PROXY`. kube compares `NO_PROXY` to the
//! address of the proxy instead, so it is not asked.

use http::Uri;
use http::uri::{InvalidUri, Scheme};
use ipnet::IpNet;
use kube::config::Kubeconfig;
use std::net::IpAddr;

/// The proxy, as the kubeconfig's context or the environment names it.
pub(super) fn chosen(
    kubeconfig: &Kubeconfig,
    context: &str,
    server: &Uri,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, InvalidUri> {
    let named = written(kubeconfig, context).or_else(|| from_environment(server, variable));
    named.map(|named| parse(&named)).transpose()
}

/// The `proxy-url` of a context's cluster.
fn written(kubeconfig: &Kubeconfig, context: &str) -> Option<String> {
    let mut contexts = kubeconfig.contexts.iter();
    let found = contexts.find(|named| named.name == context)?;
    let cluster = &found.context.as_ref()?.cluster;
    let mut clusters = kubeconfig.clusters.iter();
    let found = clusters.find(|named| named.name == *cluster)?;
    let proxy = found.cluster.as_ref()?.proxy_url.clone();
    proxy.filter(|proxy| !proxy.is_empty())
}

/// What the environment names for this server. It says nothing about plain HTTP, such as that of
/// `kubectl proxy`.
fn from_environment(server: &Uri, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let either = |upper: &str, lower: &str| {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        set(upper).or_else(|| set(lower))
    };
    if server.scheme() != Some(&Scheme::HTTPS) {
        return None;
    }
    let proxy = either("HTTPS_PROXY", "https_proxy")?;
    let exempt = either("NO_PROXY", "no_proxy").unwrap_or_default();
    let port = server.port_u16().unwrap_or(443);
    (!is_direct(server.host()?, port, &exempt)).then_some(proxy)
}

/// A proxy's address. Without a scheme it is `http`; names are looked up by the proxy anyway, which
/// is all that `socks5h` asks for.
fn parse(proxy: &str) -> Result<Uri, InvalidUri> {
    match proxy.split_once("://") {
        None => format!("http://{proxy}").parse(),
        Some(("socks5h", rest)) => format!("socks5://{rest}").parse(),
        Some(_) => proxy.parse(),
    }
}

/// Whether a host is asked without a proxy: this machine, and what `exempt` (`NO_PROXY`) lists.
fn is_direct(host: &str, port: u16, exempt: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    let local = address.map_or(host == "localhost", |address| address.is_loopback());
    let mut listed = exempt
        .split([',', ' '])
        .map(|entry| entry.trim().to_ascii_lowercase())
        .filter(|entry| !entry.is_empty());
    local || listed.any(|entry| names(&entry, &host, address, port))
}

/// Whether an entry of `NO_PROXY` names a host: `*`, an address, a range of them, or a domain with all
/// that is below it (with a dot in front, only what is below); any of these at one port only.
fn names(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let (Ok(range), Some(address)) = (entry.parse::<IpNet>(), address) {
        return range.contains(&address);
    }
    let bare = |text: &str| text.trim_matches(['[', ']']).to_owned();
    let (name, at) = match entry.rsplit_once(':') {
        // An IPv6 address without brackets is no host with a port.
        Some((name, at)) if !name.contains(':') || name.ends_with(']') => (bare(name), Some(at)),
        _ => (bare(entry), None),
    };
    if at.is_some_and(|at| at.parse() != Ok(port)) {
        return false;
    }
    if let Some(address) = address {
        return name.parse() == Ok(address);
    }
    match name.trim_start_matches('*').strip_prefix('.') {
        Some(domain) => is_below(host, domain),
        None => host == name || is_below(host, &name),
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// A proxy as it may be shown: without user and password.
pub(super) fn shown(proxy: &Uri) -> String {
    let scheme = proxy.scheme_str().unwrap_or("http");
    let authority = proxy.authority().map_or("", |authority| authority.as_str());
    let place = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "http://proxy.corp:3128";

    fn kubeconfig(proxy: &str) -> Kubeconfig {
        let text = format!(
            "clusters: [{{name: c, cluster: {{server: 'https://api.corp', proxy-url: '{proxy}'}}}}]
contexts: [{{name: staging, context: {{cluster: c, user: u}}}}]"
        );
        Kubeconfig::from_yaml(&text).unwrap()
    }

    /// The proxy by the environment alone.
    fn by_environment(server: &str, exempt: &str) -> Option<String> {
        let variable = |name: &str| match name {
            "HTTPS_PROXY" => Some(PROXY.to_owned()),
            "no_proxy" => Some(exempt.to_owned()),
            _ => None,
        };
        let server = server.parse().unwrap();
        let chosen = chosen(&kubeconfig(""), "staging", &server, variable).unwrap();
        chosen.map(|proxy| shown(&proxy))
    }

    #[test]
    fn an_api_server_that_no_proxy_names_is_reached_directly() {
        for (server, exempt) in [
            ("https://api.corp:6443", "*"),
            ("https://api.corp:6443", "example.org, api.corp"),
            ("https://API.corp:6443", "corp"),
            ("https://api.corp:6443", ".corp"),
            ("https://api.corp:6443", "*.corp"),
            ("https://api.corp:6443", "api.corp:6443"),
            ("https://api.corp", "api.corp:443"),
            ("https://10.1.2.3:6443", "10.0.0.0/8"),
            ("https://10.1.2.3:6443", "10.1.2.3"),
            ("https://10.1.2.3:6443", "10.1.2.3:6443"),
            ("https://[fd00::1]:6443", "fd00::/8"),
            ("https://[fd00::1]:6443", "fd00::1"),
            ("https://[fd00::1]:6443", "[fd00::1]:6443"),
        ] {
            assert_eq!(by_environment(server, exempt), None, "{server}: {exempt}");
        }
    }

    #[test]
    fn an_api_server_that_no_proxy_does_not_name_is_reached_through_the_proxy() {
        for (server, exempt) in [
            ("https://api.corp:6443", ""),
            ("https://api.corp:6443", "proxy.corp,proxy.corp:3128"),
            ("https://api.corp:6443", "pi.corp,.api.corp,orp"),
            ("https://api.corp:6443", "api.corp:443"),
            ("https://corp", ".corp"),
            ("https://10.1.2.3:6443", "10.1.2.4,10.1.3.0/24,2.3"),
            ("https://[fd00::1]:6443", "fd00::2,10.0.0.0/8"),
        ] {
            let through = by_environment(server, exempt);
            assert_eq!(through.as_deref(), Some(PROXY), "{server}: {exempt}");
        }
    }

    #[test]
    fn an_api_server_of_this_machine_needs_no_proxy() {
        for server in [
            "https://localhost:6443",
            "https://127.0.0.1:6443",
            "https://127.8.0.1",
            "https://[::1]:6443",
            "http://api.corp:8001",
        ] {
            assert_eq!(by_environment(server, ""), None, "{server}");
        }
    }

    #[test]
    fn a_proxy_of_the_kubeconfig_is_obeyed_as_by_kubectl() {
        let server = "https://127.0.0.1:6443".parse().unwrap();
        let all = |_: &str| Some("*".to_owned());
        for (written, meant) in [
            ("http://me:secret@proxy:3128", "http://proxy:3128"),
            ("proxy:3128", "http://proxy:3128"),
            ("socks5h://localhost:1080", "socks5://localhost:1080"),
        ] {
            let chosen = chosen(&kubeconfig(written), "staging", &server, all).unwrap();
            assert_eq!(chosen.map(|proxy| shown(&proxy)).as_deref(), Some(meant));
        }
    }
}
