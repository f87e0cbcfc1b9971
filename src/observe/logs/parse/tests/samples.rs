use super::*;

fn access(line: &str) -> AccessLine<'_> {
    match istio_proxy(line) {
        IstioLine::Access(access) => *access,
        other => panic!("{line}: {other:?}"),
    }
}

const REFUSED: &str = r#"[2026-01-02T03:04:05.678Z] "GET /p?hid=a1 HTTP/1.1" 503 URX,UF upstream_reset_before_response_started{remote_connection_failure,delayed_connect_error:_Connection_refused} - "delayed connect error: Connection refused" 0 190 73 - "-" "loadgen/1" "125a4afb-6f55-94ba-ad80-413f09f48a28" "web.demo:8080" "10.0.1.17:8080" outbound|8080||web.demo.svc.cluster.local - 10.96.5.4:8080 10.0.2.9:51234 - default"#;

#[test]
fn a_line_of_the_current_format_gives_every_field() {
    let line = access(REFUSED);
    assert_eq!(line.start, Some(1_767_323_045_678_000_000));
    assert_eq!(line.method.as_deref(), Some("GET"));
    assert_eq!(line.path.as_deref(), Some("/p?hid=a1"));
    assert_eq!(line.response_code, Some(503));
    assert!(line.response_flags.contains("UF") && line.response_flags.contains("URX"));
    assert_eq!(
        line.response_code_details.as_deref(),
        Some(
            "upstream_reset_before_response_started{remote_connection_failure,delayed_connect_error:_Connection_refused}"
        )
    );
    assert_eq!(line.connection_termination_details, None);
    assert_eq!(
        line.upstream_transport_failure_reason.as_deref(),
        Some("delayed connect error: Connection refused")
    );
    assert_eq!(
        (
            line.bytes_received,
            line.bytes_sent,
            line.duration_ms,
            line.upstream_service_time_ms
        ),
        (Some(0), Some(190), Some(73), None)
    );
    assert_eq!(line.x_forwarded_for, None);
    assert_eq!(line.user_agent.as_deref(), Some("loadgen/1"));
    assert_eq!(
        line.request_id.as_deref(),
        Some("125a4afb-6f55-94ba-ad80-413f09f48a28")
    );
    assert_eq!(line.authority.as_deref(), Some("web.demo:8080"));
    assert_eq!(line.upstream_host.as_deref(), Some("10.0.1.17:8080"));
    assert_eq!(
        line.upstream_cluster.as_deref(),
        Some("outbound|8080||web.demo.svc.cluster.local")
    );
    assert_eq!(line.upstream_local_address, None);
    assert_eq!(
        line.downstream_local_address.as_deref(),
        Some("10.96.5.4:8080")
    );
    assert_eq!(
        line.downstream_remote_address.as_deref(),
        Some("10.0.2.9:51234")
    );
    assert_eq!(line.requested_server_name, None);
    assert_eq!(line.route_name.as_deref(), Some("default"));
    assert_eq!(line.end(), Some(1_767_323_045_751_000_000));
    assert!(!line.is_inbound());
}
