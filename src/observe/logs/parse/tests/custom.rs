//! TEXT formats that a scenario declares by their Envoy format string.

use super::*;

fn read(format: &str, line: &str) -> Option<Value> {
    let format = TextFormat::new(format).unwrap();
    let access = format.read(line)?;
    let printed = to_json(1, &IstioLine::Access(Box::new(access)), line);
    Some(serde_json::from_str(&printed).unwrap())
}

#[test]
fn a_declared_format_gives_its_fields() {
    let format = "%START_TIME% id=%REQ(X-REQUEST-ID)% tries=%UPSTREAM_REQUEST_ATTEMPT_COUNT% %REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH):40% -> %RESPONSE_CODE% [%RESPONSE_FLAGS%] %DURATION%ms %RESP(X-OTHER)% \"%UPSTREAM_HOST%\" 100%%\n";
    let line = "2026-01-02T03:04:05.678Z id=a1 tries=2 GET /p -> x -> 503 [UF,URX] 73ms a b \"10.0.0.1:80\" 100%";
    for line in [line.to_owned(), format!("2026-01-02T03:04:06.1Z {line}")] {
        let found = read(format, &line).expect(&line);
        for (key, value) in [
            ("start_time", json!("2026-01-02T03:04:05.678Z")),
            ("request_id", json!("a1")),
            ("upstream_request_attempt_count", json!(2)),
            ("path", json!("/p -> x")),
            ("response_code", json!(503)),
            ("response_flags", json!(["UF", "URX"])),
            ("duration", json!(73)),
            ("upstream_host", json!("10.0.0.1:80")),
            ("authority", Value::Null),
        ] {
            assert_eq!(found[key], value, "{key}");
        }
    }
}

#[test]
fn istio_s_own_format_string_reads_istio_s_lines() {
    let format = r#"[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%"#;
    assert_eq!(
        read(format, samples::REFUSED),
        Some(printed(samples::REFUSED))
    );
    assert!(TextFormat::new(format).unwrap().has_request_id());
}

#[test]
fn lines_of_another_format_are_left_to_the_others() {
    let format = "[%START_TIME%] %REQ(:METHOD)% %RESPONSE_CODE% %DURATION%";
    assert_eq!(
        read(format, "2026-01-02T03:04:05.123401Z\tinfo\tAborting proxy"),
        None
    );
    assert_eq!(read(format, "[2026-01-02T03:04:05.678Z] GET many 3"), None);
    let mut reader = Reader::new(Some(TextFormat::new(format).unwrap()));
    let agent = reader.read("2026-01-02T03:04:05.123401Z\tinfo\tAborting proxy");
    assert!(matches!(agent.line, IstioLine::Agent(_)));
    let access = reader.read("[2026-01-02T03:04:05.678Z] GET 503 3");
    assert!(matches!(access.line, IstioLine::Access(line) if line.response_code == Some(503)));
}

#[test]
fn an_access_log_in_an_unknown_format_does_not_go_on_with_a_message() {
    const MILLI: i64 = 1_000_000;
    let agent = "2026-01-02T03:04:05.123401Z\tinfo\tEffective config: binaryPath: envoy";
    let foreign = "GET / 200 3";
    let mut reader = Reader::default();
    for (text, at, continuation, unknown) in [
        (foreign, Some(0), false, 1),
        (agent, Some(MILLI), false, 1),
        ("concurrency: 2", Some(2 * MILLI), true, 1),
        (foreign, Some(1_002 * MILLI), false, 2),
        (foreign, Some(1_003 * MILLI), false, 3),
        (agent, None, false, 3),
        ("concurrency: 2", Some(9_000 * MILLI), true, 3),
    ] {
        let read = reader.read_at(text, at);
        let told = (read.continuation, reader.unknown);
        assert_eq!(told, (continuation, unknown), "{text} {at:?}");
    }
}

#[test]
fn a_wrong_format_says_what_is_wrong_with_it() {
    let unclosed = TextFormat::new("%START_TIME% %DURATION").unwrap_err();
    assert_eq!(
        unclosed.to_string(),
        "the operator that begins at `%DURATION` is not closed by a `%`"
    );
    assert!(
        TextFormat::new("nothing")
            .unwrap_err()
            .to_string()
            .contains("`nothing`")
    );
}
