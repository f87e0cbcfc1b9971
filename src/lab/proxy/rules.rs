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
            let _ = writeln!(services, "    {matched} dnat ip to {}", choice(endpoints));
        }
        own.extend(endpoints.iter().map(|endpoint| *endpoint.ip()));
    }
    // A pod that is given itself must not see its own address as the sender.
    let pairs: Vec<_> = own.iter().map(|ip| format!("{ip} . {ip}")).collect();
    let hairpin = if pairs.is_empty() {
        String::new()
    } else {
        format!(
            "    ip saddr . ip daddr {{ {} }} masquerade\n",
            pairs.join(", ")
        )
    };
    format!(
        "table ip lastwatch\n\
         delete table ip lastwatch\n\
         table ip lastwatch {{\n\
         \x20 chain services {{\n{services}  }}\n\
         \x20 chain refused {{\n{refused}  }}\n\
         \x20 chain prerouting {{ type nat hook prerouting priority -100; jump services; }}\n\
         \x20 chain output {{ type nat hook output priority -100; jump services; }}\n\
         \x20 chain postrouting {{\n    type nat hook postrouting priority 100;\n{hairpin}  }}\n\
         \x20 chain refuse-output {{ type filter hook output priority -110; jump refused; }}\n\
         \x20 chain refuse-forward {{ type filter hook forward priority -110; jump refused; }}\n\
         }}\n"
    )
}

/// One endpoint at random for each connection.
fn choice(endpoints: &[SocketAddrV4]) -> String {
    let map: Vec<_> = endpoints
        .iter()
        .enumerate()
        .map(|(number, endpoint)| format!("{number} : {} . {}", endpoint.ip(), endpoint.port()))
        .collect();
    format!(
        "numgen random mod {} map {{ {} }}",
        endpoints.len(),
        map.join(", ")
    )
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
            "ip daddr 10.96.0.10 tcp dport 80 dnat ip to numgen random mod 2 map { 0 : 10.244.0.2 . 8080, 1 : 10.244.1.2 . 8080 }",
            "ip daddr 10.96.0.11 tcp dport 80 reject with tcp reset",
            "ip saddr . ip daddr { 10.244.0.2 . 10.244.0.2, 10.244.1.2 . 10.244.1.2 } masquerade",
        ] {
            assert!(text.contains(expected), "no `{expected}` in\n{text}");
        }
    }
}
