//! TEXT access lines as people have met them, from Istio 1.0 on.

use super::*;

pub(super) const REFUSED: &str = r#"[2026-01-02T03:04:05.678Z] "GET /p?hid=a1 HTTP/1.1" 503 URX,UF upstream_reset_before_response_started{remote_connection_failure,delayed_connect_error:_Connection_refused} - "delayed connect error: Connection refused" 0 190 73 - "-" "loadgen/1" "125a4afb-6f55-94ba-ad80-413f09f48a28" "web.demo:8080" "10.0.1.17:8080" outbound|8080||web.demo.svc.cluster.local - 10.96.5.4:8080 10.0.2.9:51234 - default"#;

#[test]
fn a_line_of_the_current_format_gives_every_field() {
    let details = "upstream_reset_before_response_started{remote_connection_failure,delayed_connect_error:_Connection_refused}";
    let expected = json!({
        "line": 1,
        "type": "access",
        "start_time": "2026-01-02T03:04:05.678Z",
        "method": "GET",
        "path": "/p?hid=a1",
        "protocol": "HTTP/1.1",
        "response_code": 503,
        "response_flags": ["URX", "UF"],
        "response_code_details": details,
        "connection_termination_details": null,
        "upstream_transport_failure_reason": "delayed connect error: Connection refused",
        "bytes_received": 0,
        "bytes_sent": 190,
        "duration": 73,
        "upstream_service_time": null,
        "x_forwarded_for": null,
        "user_agent": "loadgen/1",
        "request_id": "125a4afb-6f55-94ba-ad80-413f09f48a28",
        "authority": "web.demo:8080",
        "upstream_host": "10.0.1.17:8080",
        "upstream_cluster": "outbound|8080||web.demo.svc.cluster.local",
        "upstream_local_address": null,
        "downstream_local_address": "10.96.5.4:8080",
        "downstream_remote_address": "10.0.2.9:51234",
        "requested_server_name": null,
        "route_name": "default",
    });
    assert_eq!(printed(REFUSED), expected);
    let IstioLine::Access(line) = istio_proxy(REFUSED) else {
        panic!("an access line");
    };
    assert_eq!(line.start, Some(1_767_323_045_678_000_000));
    assert_eq!(line.end(), Some(1_767_323_045_751_000_000));
    assert!(!line.is_inbound());
}

#[test]
fn formats_of_all_releases_are_read() {
    // 1.0 ends at the upstream host.
    expect(
        r#"[2018-10-03T08:47:42.958Z] "GET /logout HTTP/1.1" 503 UF 0 57 3 - "10.1.2.3" "curl/7.58.0" "3a7cbcc1-af72-97fb-bbac-a7672951f50f" "ui:8080" "10.244.14.34:9000""#,
        &json!({"type": "access", "response_code": 503, "response_flags": ["UF"],
            "response_code_details": null, "bytes_sent": 57, "duration": 3,
            "x_forwarded_for": "10.1.2.3", "authority": "ui:8080",
            "upstream_host": "10.244.14.34:9000", "upstream_cluster": null}),
    );
    // 1.1 to 1.2: mixer's status.
    expect(
        r#"[2019-02-19T19:18:02.312Z] "GET /status HTTP/1.1" 418 - "-" 0 135 2 1 "-" "curl/7.60.0" "d209e46f-9ed5-9b61-bbdd-43e22662702a" "httpbin:8000" "127.0.0.1:80" inbound|8000|http|httpbin.default.svc.cluster.local - 172.30.146.73:80 172.30.146.82:38618 outbound_.8000_._.httpbin.default.svc.cluster.local"#,
        &json!({"response_code": 418, "upstream_service_time": 1,
            "upstream_transport_failure_reason": null,
            "upstream_cluster": "inbound|8000|http|httpbin.default.svc.cluster.local",
            "requested_server_name": "outbound_.8000_._.httpbin.default.svc.cluster.local",
            "route_name": null}),
    );
    // 1.3 to 1.8: mixer's status and the transport's failure.
    expect(
        r#"[2020-11-22T20:04:32.765Z] "GET /products HTTP/1.1" 500 - "-" "-" 0 122 11939 11933 "-" "PostmanRuntime/7.26.8" "66fa4542-266e-9364-8447-e7d63047b344" "172.17.0.2:30164" "127.0.0.1:8080" inbound|8080|http-8080|scrappers-service.default.svc.cluster.local 127.0.0.1:52034 172.18.0.10:8080 172.18.0.1:37035 - default"#,
        &json!({"bytes_sent": 122, "duration": 11939, "upstream_service_time": 11933,
            "upstream_local_address": "127.0.0.1:52034", "route_name": "default"}),
    );
    expect(
        r#"[2020-05-06T07:08:09.010Z] "POST /api HTTP/1.1" 503 UC "UNAVAILABLE:report" "delayed connect error: 111" 5 95 1 - "-" "okhttp/3.12.1" "6c9e7a11-4d05-9f5b-a0b5-9e1f3a7f7f4b" "svc" "10.1.1.1:80" outbound|80||svc.ns.svc.cluster.local - 10.2.2.2:80 10.3.3.3:41000 - -"#,
        &json!({"upstream_transport_failure_reason": "delayed connect error: 111",
            "response_code_details": null, "bytes_received": 5}),
    );
    // One quoted value is the transport's failure, unless it is mixer's.
    expect(
        r#"[2020-12-06T07:08:09.010Z] "GET /api HTTP/1.1" 503 UF "delayed connect error: 111" 0 91 1 - "-" "-" "id" "svc" "10.1.1.1:80" outbound|80||svc - 10.2.2.2:80 10.3.3.3:41000 - -"#,
        &json!({"upstream_transport_failure_reason": "delayed connect error: 111"}),
    );
    // Details and a quoted reason, without the termination between them.
    expect(
        r#"[2020-12-06T07:08:09.010Z] "GET /api HTTP/2" 503 UF upstream_reset_before_response_started{connection failure,TLS error: 268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER} "TLS error: 268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER" 0 192 43 - "-" "-" "id" "svc" "10.1.1.1:80" outbound|80||svc - 10.2.2.2:80 10.3.3.3:41000 - -"#,
        &json!({"response_code_details": "upstream_reset_before_response_started{connection failure,TLS error: 268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER}",
            "connection_termination_details": null,
            "upstream_transport_failure_reason": "TLS error: 268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER",
            "bytes_sent": 192}),
    );
}

#[test]
fn odd_values_stay_in_their_fields() {
    // A denied TCP connection, open until now: its duration is not known.
    expect(
        r#"[2026-01-02T03:04:13.000Z] "- - -" 0 - - rbac_access_denied_matched_policy[ns[demo]-policy[deny all]-rule[0]] "-" 0 0 - - "-" "-" "-" "-" "-" inbound|6379|| - 10.0.1.18:6379 10.0.2.9:51500 outbound_.6379_._.redis.demo.svc.cluster.local -"#,
        &json!({"method": null, "protocol": null, "response_code": 0, "duration": null,
            "connection_termination_details": "rbac_access_denied_matched_policy[ns[demo]-policy[deny all]-rule[0]]",
            "downstream_remote_address": "10.0.2.9:51500"}),
    );
    expect(
        r#"[2026-01-02T03:04:13.000Z] "- - HTTP/1.1" 400 DPE http1.codec_error - "-" 0 11 0 - "-" "-" "-" "-" "-" - - 10.0.1.18:80 10.0.2.9:51500 - -"#,
        &json!({"method": null, "path": null, "protocol": "HTTP/1.1", "response_code": 400,
            "response_flags": ["DPE"], "upstream_cluster": null}),
    );
    // A user agent with quotes in it, even with a closing one before a blank.
    expect(
        r#"[2026-01-02T03:04:13.000Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 25 1 1 "-" "Mozilla "5.0" (x) "y" "z" end" "35fa5fc4-abf7-49f1-8f8a-73a53151f1a8" "demo" "10.0.0.1:8080" inbound|8080|| 127.0.0.6:1 10.0.0.1:8080 10.0.0.2:2 - default"#,
        &json!({"user_agent": r#"Mozilla "5.0" (x) "y" "z" end"#,
            "request_id": "35fa5fc4-abf7-49f1-8f8a-73a53151f1a8", "authority": "demo",
            "upstream_host": "10.0.0.1:8080", "route_name": "default"}),
    );
    // A path with blanks, quotes and what looks like a status.
    expect(
        r#"[2026-01-02T03:04:13.000Z] "GET /a" 200 b HTTP/1.1" 404 NR route_not_found - "-" 0 0 0 - "-" "x" "id" "demo" "-" - - 10.0.0.1:8080 10.0.0.2:2 - -"#,
        &json!({"path": r#"/a" 200 b"#, "response_code": 404, "response_flags": ["NR"],
            "response_code_details": "route_not_found"}),
    );
    // IPv6, an empty forwarded-for, a long request id, a waypoint's host.
    expect(
        r#"[2026-01-02T03:04:13.000Z] "POST /demo.Echo/Say HTTP/2" 200 UF,URX upstream_reset_before_response_started{remote_connection_failure|immediate_connect_error:_Network_is_unreachable|remote_address:[fdc4:f303:9324::254]:42349} - "immediate connect error: Network is unreachable" 5 0 61 - "" "grpc-go/1.60" "35fa5fc4-abf7-49f1-8f8a-73a53151f1a8-35fa5fc4-abf7-49f1-8f8a-73a53151f1a8" "[fd00::1]:9090" "envoy://connect_originate/10.0.0.1:80" inbound-vip|80|http|demo.ns.svc.cluster.local [fd00::2]:4 [fd00::3]:9090 [fd00::4]:51400 - httproute/ns/demo/0"#,
        &json!({"x_forwarded_for": "", "authority": "[fd00::1]:9090",
            "request_id": "35fa5fc4-abf7-49f1-8f8a-73a53151f1a8-35fa5fc4-abf7-49f1-8f8a-73a53151f1a8",
            "upstream_host": "envoy://connect_originate/10.0.0.1:80",
            "upstream_cluster": "inbound-vip|80|http|demo.ns.svc.cluster.local",
            "upstream_local_address": "[fd00::2]:4", "route_name": "httproute/ns/demo/0",
            "response_flags": ["UF", "URX"]}),
    );
    // Fields at the end that we do not know.
    expect(
        &format!("{REFUSED} 10.9.9.9 \"spiffe://cluster.local/ns/a/sa/b\" x=1"),
        &json!({"route_name": "default", "downstream_remote_address": "10.0.2.9:51234"}),
    );
}

#[test]
fn what_other_hands_have_done_to_a_line_is_undone() {
    let whole = printed(REFUSED);
    for line in [
        format!("2026-01-02T03:04:06.678123456Z {REFUSED}"),
        format!("2026-01-02T04:04:06.678123456+01:00 {REFUSED}"),
        format!("[pod/web-5d-x/istio-proxy] {REFUSED}"),
        format!("[pod/web-5d-x/istio-proxy] 2026-01-02T03:04:06.678123456Z {REFUSED}"),
        format!("web-5d-x istio-proxy {REFUSED}"),
        format!("demo/web-5d-x[istio-proxy]: {REFUSED}"),
        format!("web-5d-x > istio-proxy | 2026-01-02T03:04:06.678123456Z {REFUSED}"),
        format!("2026-01-02T03:04:06.678123456Z stdout F {REFUSED}"),
        format!("  {REFUSED}\r\n"),
        REFUSED.strip_prefix('[').unwrap().to_owned(),
    ] {
        assert_eq!(printed(&line), whole, "{line}");
    }
    let mut timeless = whole;
    timeless["start_time"] = Value::Null;
    let line = REFUSED.split_once("] ").unwrap().1;
    assert_eq!(printed(line), timeless);
    let masked = REFUSED
        .replace("10.0.1.17", "xx.xx.xx.xx")
        .replace("10.0.2.9", "***");
    expect(
        &masked,
        &json!({"upstream_host": "xx.xx.xx.xx:8080", "downstream_remote_address": "***:51234"}),
    );
}

#[test]
fn a_cut_line_keeps_what_it_has() {
    let mut known = 0;
    for end in REFUSED.char_indices().map(|(at, _)| at) {
        let cut = printed(&REFUSED[..end]);
        if cut["type"] == "access" {
            known += 1;
            assert_eq!(cut["start_time"], "2026-01-02T03:04:05.678Z");
        }
    }
    assert!(known > REFUSED.len() - 30, "{known}");
    let cut = &REFUSED[..REFUSED.find("\"10.0.1.17").unwrap() + 5];
    expect(
        cut,
        &json!({"response_code": 503, "duration": 73, "user_agent": "loadgen/1",
            "authority": "web.demo:8080"}),
    );
}

#[test]
fn lines_in_no_istio_format_are_left_alone() {
    for line in [
        "",
        " ",
        "concurrency: 2",
        "  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: \"true\"",
        "app URL path = /healthz",
        "2026/11/24 15:26:27 INFO GOMEMLIMIT is already set, skipping package=x GOMEMLIMIT=1",
        "127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /a HTTP/1.0\" 200 2326 \"-\" \"curl\"",
        "{\"a\": 1}",
        "[]",
        "\"quoted\" 200 ok",
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05Z listening on :8080",
    ] {
        assert_eq!(printed(line)["type"], "other", "{line}");
        assert_eq!(printed(line)["raw"], line);
    }
}
