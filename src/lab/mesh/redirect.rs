//! How does a pod's traffic get to its proxy? As `istio-init` does it, with nftables.

use super::xds::{HEALTH_PORT, INBOUND_PORT, MARK, OUTBOUND_PORT, STATUS_PORT};
use crate::lab::net;
use std::process::ExitCode;

/// Envoy's Prometheus port, which Istio leaves alone as well.
const METRICS_PORT: u16 = 15_090;

/// The API server of the lab, which is no part of the mesh.
const API_PORT: u16 = 6_443;

/// Installs the redirect in the network namespace that this process is in: the pod's.
pub fn main() -> ExitCode {
    let problem = match net::tool("nft").arg(ruleset()).output() {
        Ok(output) if output.status.success() => return ExitCode::SUCCESS,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => format!("failed to run `nft`: {error}"),
    };
    // The container's log is where people look for the reason.
    super::agent::write_line(&format!("failed to redirect the pod's traffic: {problem}"));
    ExitCode::from(1)
}

/// What comes from outside goes to 15006; what the app sends out goes to 15001; the proxy's own
/// connections bear a mark, and what stays within the pod goes its way.
fn ruleset() -> String {
    format!(
        "table ip istio {{
    chain prerouting {{
        type nat hook prerouting priority -100; policy accept;
        tcp dport {{ {METRICS_PORT}, {HEALTH_PORT}, {STATUS_PORT} }} return
        meta l4proto tcp redirect to :{INBOUND_PORT}
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        oifname \"lo\" return
        meta mark {MARK} return
        tcp dport {API_PORT} return
        meta l4proto tcp redirect to :{OUTBOUND_PORT}
    }}
}}
"
    )
}
