//! Access lines of the proxies on a request's way.

use super::{MILLI, Stage, address, fine_stamp};

/// What an access line says beside the request.
#[derive(Clone, Copy)]
pub(in crate::attribution::tests) struct Line<'a> {
    pub(in crate::attribution::tests) code: u16,
    pub(in crate::attribution::tests) flags: &'a str,
    pub(in crate::attribution::tests) details: &'a str,
    /// The next hop answered.
    pub(in crate::attribution::tests) answered: bool,
    /// The address of the proxy's own socket to the next hop.
    pub(in crate::attribution::tests) local: &'a str,
}

impl Line<'static> {
    /// The next hop refused.
    pub(in crate::attribution::tests) const REFUSED: Self = Self {
        code: 503,
        flags: "URX,UF",
        details: "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
        answered: false,
        local: "-",
    };
    /// The next hop ended the connection before an answer.
    pub(in crate::attribution::tests) const CUT: Self = Self {
        code: 503,
        flags: "UC",
        details: "upstream_reset_before_response_started{connection_termination}",
        answered: false,
        local: "10.0.2.9:40112",
    };
    /// The next hop answered 503.
    pub(in crate::attribution::tests) const PASSED_ON: Self = Self {
        code: 503,
        flags: "-",
        details: "via_upstream",
        answered: true,
        local: "10.0.2.9:40112",
    };
    /// Nobody could be chosen.
    pub(in crate::attribution::tests) const NOBODY: Self = Self {
        code: 503,
        flags: "UH",
        details: "no_healthy_upstream",
        answered: false,
        local: "-",
    };
    /// The proxy's own patience ended while it waited for an answer.
    pub(in crate::attribution::tests) const TIMED_OUT: Self = Self {
        code: 504,
        flags: "UT",
        details: "response_timeout",
        answered: false,
        local: "10.0.2.9:40112",
    };
    /// The proxy's own patience ended while it still connected.
    pub(in crate::attribution::tests) const CONNECTING: Self = Self {
        local: "-",
        ..Self::TIMED_OUT
    };
    /// The client gave up while the proxy still connected.
    pub(in crate::attribution::tests) const HUNG: Self = Self {
        code: 0,
        flags: "DC",
        details: "downstream_remote_disconnect",
        answered: false,
        local: "-",
    };
}

impl Stage {
    /// An access line of the sidecar of the client `mesh`, about a request to a pod's address.
    pub(in crate::attribution::tests) fn client_line(
        &mut self,
        id: &str,
        at: i64,
        took: i64,
        host: &str,
        line: Line<'_>,
    ) {
        let cluster = "outbound|80||demo.n.svc.cluster.local";
        self.access("loadgen", id, at, took, (host, cluster), line);
    }

    /// An access line of a pod's own sidecar.
    pub(in crate::attribution::tests) fn server_line(
        &mut self,
        pod: &str,
        id: &str,
        at: i64,
        took: i64,
        line: Line<'_>,
    ) {
        let host = format!("{}:8080", address(pod));
        self.access(pod, id, at, took, (&host, "inbound|8080||"), line);
    }

    fn access(
        &mut self,
        pod: &str,
        id: &str,
        at: i64,
        took: i64,
        (host, cluster): (&str, &str),
        line: Line<'_>,
    ) {
        let Line {
            code,
            flags,
            details,
            answered,
            local,
        } = line;
        let took = took / MILLI;
        let service_time = if answered {
            took.to_string()
        } else {
            "-".to_owned()
        };
        let text = format!(
            "[{}] \"GET / HTTP/1.1\" {code} {flags} {details} - \"-\" 0 95 {took} {service_time} \"-\" \"ua\" \"{id}\" \"demo\" \"{host}\" {cluster} {local} 10.96.0.9:80 10.0.2.9:51300 - default",
            fine_stamp(at, 3)
        );
        self.log(pod, "istio-proxy", at + took * MILLI, &text);
    }
}
