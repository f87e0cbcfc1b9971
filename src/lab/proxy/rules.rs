//! Which nftables rules make routes real?

use super::endpoints::Routes;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddrV4;

/// A ruleset that replaces the one before it in one transaction. Connections that are established
/// keep the endpoint that they were given.
pub(super) fn ruleset(routes: &Routes) -> String {
    let mut services = String::new();
    let mut refused = String::new();
    let mut own = BTreeSet::new();
    for (port, endpoints) in routes {
        let (ip, number) = (port.address.ip(), port.address.port());
        let matched = format!("ip daddr {ip} tcp dport {number}");
        if endpoints.is_empty() {
            // A reset, not an ICMP error: only so is a local client refused at once.
            let _ = writeln!(refused, "    {matched} reject with tcp reset");
        } else {
            services.push_str(&choice(&matched, endpoints));
        }
        own.extend(endpoints.iter().map(|endpoint| *endpoint.ip()));
    }
    // A pod that is given itself must not see its own address as the sender.
    let mut hairpin = String::new();
    for ip in own {
        let _ = writeln!(hairpin, "    ip saddr {ip} ip daddr {ip} masquerade");
    }
    format!(
        "table ip lastwatch {{\n{CHAINS}}}\n\
         flush table ip lastwatch\n\
         table ip lastwatch {{\n\
         \x20 chain services {{\n{services}  }}\n\
         \x20 chain refused {{\n{refused}  }}\n\
         \x20 chain prerouting {{ jump services; }}\n\
         \x20 chain output {{ jump services; }}\n\
         \x20 chain postrouting {{\n{hairpin}  }}\n\
         \x20 chain refuse-output {{ jump refused; }}\n\
         \x20 chain refuse-forward {{ jump refused; }}\n\
         }}\n"
    )
}

/// The chains stay and only their rules are replaced. A chain that is made anew takes its place at its
/// hook before it has rules, and the one before it loses them before it has left: a connection that
/// is begun in between would not be translated, and nobody would answer it.
const CHAINS: &str = "  chain services { }\n  chain refused { }\n  \
    chain prerouting { type nat hook prerouting priority -100; }\n  \
    chain output { type nat hook output priority -100; }\n  \
    chain postrouting { type nat hook postrouting priority 100; }\n  \
    chain refuse-output { type filter hook output priority -110; }\n  \
    chain refuse-forward { type filter hook forward priority -110; }\n";

/// Rules that give each connection one endpoint at random, as the iptables mode of kube-proxy does: the
/// first takes one in n, the next one in n - 1 of the rest. (A map would be looked up apart from the
/// rules, and could be another generation's.)
fn choice(matched: &str, endpoints: &[SocketAddrV4]) -> String {
    let mut rules = String::new();
    for (taken, endpoint) in endpoints.iter().enumerate() {
        let left = endpoints.len() - taken;
        let share = if left > 1 {
            format!("numgen random mod {left} 0 ")
        } else {
            String::new()
        };
        let _ = writeln!(rules, "    {matched} {share}dnat ip to {endpoint}");
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::ServicePort;
    use super::*;

    #[test]
    fn a_port_leads_to_a_random_endpoint_or_is_refused() {
        let at = |text: &str| text.parse::<SocketAddrV4>().unwrap();
        let port = |id: &str, address| ServicePort {
            id: id.to_owned(),
            address: at(address),
        };
        let routes = Routes::from([
            (
                port("default/demo:80", "10.96.0.10:80"),
                vec![at("10.244.0.2:8080"), at("10.244.1.2:8080")],
            ),
            (port("default/empty:80", "10.96.0.11:80"), Vec::new()),
        ]);
        let text = ruleset(&routes);
        for expected in [
            "ip daddr 10.96.0.10 tcp dport 80 numgen random mod 2 0 dnat ip to 10.244.0.2:8080",
            "ip daddr 10.96.0.10 tcp dport 80 dnat ip to 10.244.1.2:8080",
            "ip daddr 10.96.0.11 tcp dport 80 reject with tcp reset",
            "ip saddr 10.244.0.2 ip daddr 10.244.0.2 masquerade",
            "ip saddr 10.244.1.2 ip daddr 10.244.1.2 masquerade",
        ] {
            assert!(text.contains(expected), "no `{expected}` in\n{text}");
        }
    }
}
