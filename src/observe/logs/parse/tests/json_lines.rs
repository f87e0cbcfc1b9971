//! JSON lines: Istio's keys, Envoy Gateway's, other people's maps, and the agent's own log.

use super::*;

#[test]
fn numbers_may_be_strings_and_missing_values_have_three_forms() {
    let expected = json!({"type": "access", "response_code": 503, "bytes_sent": 440,
        "duration": 2, "upstream_service_time": null, "response_flags": ["UF", "URX"],
        "route_name": null, "upstream_host": "127.0.0.1:8888", "x_forwarded_for": null,
        "start_time": "2021-03-31T06:44:38.933Z"});
    for line in [
        r#"{"bytes_sent":"440","duration":"2","response_code":"503","response_flags":"UF,URX","route_name":"-","upstream_host":"127.0.0.1:8888","start_time":"2021-03-31T06:44:38.933Z","x_forwarded_for":"-","upstream_service_time":"-"}"#,
        r#"{"start_time":"2021-03-31T06:44:38.933Z","upstream_service_time":null,"response_flags":"UF,URX","response_code":503,"bytes_sent":440,"duration":2,"upstream_host":"127.0.0.1:8888","istio_policy_status":"-"}"#,
        r#"{"response_code":503.0,"bytes_sent":440.0,"duration":2.0,"response_flags":["UF","URX"],"upstream_host":"127.0.0.1:8888","start_time":"2021-03-31T06:44:38.933Z"}"#,
    ] {
        expect(line, &expected);
    }
}

#[test]
fn a_service_time_is_a_number_and_an_escape_is_undone() {
    expect(
        r#"{"path":"/a\"b\u00e4","upstream_service_time":"7","response_code":200,"method":"GET"}"#,
        &json!({"path": "/a\"b\u{e4}", "upstream_service_time": 7}),
    );
}

#[test]
fn keys_of_envoy_gateway_and_of_custom_maps_are_known() {
    expect(
        r#"{"start_time":"2026-01-02T03:04:05.678Z","method":"GET","x-envoy-origin-path":"/get","protocol":"HTTP/1.1","response_code":"503","response_flags":"UC","response_code_details":"upstream_reset_before_response_started{connection_termination}","bytes_received":"0","bytes_sent":"95","duration":"3","x-envoy-upstream-service-time":"12","x-forwarded-for":"10.0.0.9","user-agent":"curl/8","x-request-id":"5b1f","::authority":"-",":authority":"www.example.com","upstream_host":"10.0.0.7:3000","upstream_cluster":"httproute/default/backend/rule/0","requested_server_name":"","route_name":"httproute/default/backend/rule/0/match/0/www_example_com"}"#,
        &json!({"type": "access", "path": "/get", "response_code": 503, "request_id": "5b1f",
            "upstream_service_time": 12, "x_forwarded_for": "10.0.0.9", "user_agent": "curl/8",
            "authority": "www.example.com",
            "upstream_cluster": "httproute/default/backend/rule/0"}),
    );
    expect(
        r#"{"timestamp":"2026-01-02T03:04:05.678Z","requestMethod":"GET","uri":"/a","status":200,"responseFlags":"-","requestId":"r-1","upstreamHost":"10.0.0.7:80","downstreamRemoteAddress":"10.0.0.9:1"}"#,
        &json!({"type": "access", "start_time": "2026-01-02T03:04:05.678Z", "method": "GET",
            "path": "/a", "response_code": 200, "response_flags": [], "request_id": "r-1",
            "upstream_host": "10.0.0.7:80"}),
    );
    expect(
        r#"{"request":{"method":"GET","path":"/a","headers":{"user-agent":"k6"},"id":"r-2"},"response":{"code":503,"flags":"UH","duration":5},"upstream":{"host":"-","cluster":"outbound|80||demo"},"downstream":{"remote_address":"10.0.0.9:1"}}"#,
        &json!({"type": "access", "start_time": null, "method": "GET", "path": "/a",
            "user_agent": "k6", "request_id": "r-2", "response_code": 503,
            "response_flags": ["UH"], "duration": 5, "upstream_host": null,
            "upstream_cluster": "outbound|80||demo", "downstream_remote_address": "10.0.0.9:1"}),
    );
}

#[test]
fn a_json_access_line_that_is_cut_keeps_what_it_has() {
    let line = r#"{"authority":"demo","bytes_received":0,"bytes_sent":121,"duration":32,"method":"GET","path":"/","request_id":"cbef1141-0eaf"#;
    expect(
        line,
        &json!({"type": "access", "authority": "demo", "duration": 32, "path": "/"}),
    );
}

#[test]
fn agent_and_envoy_lines_in_json_are_told_from_access_lines() {
    expect(
        r#"{"level":"info","time":"2023-04-20T06:36:01.412299Z","msg":"Agent draining Proxy for termination"}"#,
        &json!({"type": "agent", "level": "info", "scope": null, "kind": "drain_start",
            "time": "2023-04-20T06:36:01.412299Z"}),
    );
    expect(
        r#"{"level":"info","time":"2023-04-20T06:36:01.412299Z","scope":"xdsproxy","msg":"connected to upstream XDS server: istiod:15012","id":1}"#,
        &json!({"type": "agent", "scope": "xdsproxy", "kind": "start"}),
    );
    expect(
        r#"{"severity":"WARNING","timestamp":"2023-04-20T06:36:01.412299Z","logger":"default","message":"Aborting proxy"}"#,
        &json!({"type": "agent", "kind": "envoy_aborted", "time": "2023-04-20T06:36:01.412299Z"}),
    );
    expect(
        r#"{"level":"warning","time":"2023-04-20T06:36:01.412299Z","scope":"envoy main","msg":"caught ENVOY_SIGTERM","caller":"server.cc:871","thread":"17"}"#,
        &json!({"type": "envoy", "scope": "envoy main", "kind": "sigterm_received"}),
    );
}

#[test]
fn a_line_that_a_runtime_has_wrapped_is_unwrapped() {
    let wrapped = json!({"log": format!("{}\n", samples::REFUSED), "stream": "stdout",
        "time": "2026-01-02T03:04:06.1Z"});
    assert_eq!(printed(&wrapped.to_string()), printed(samples::REFUSED));
}
