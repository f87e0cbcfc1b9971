//! What holds for every line: nothing panics, and what we write ourselves reads back.

use super::*;
use proptest::prelude::*;

/// Text as it can stand in a quoted value: anything but line ends.
fn free() -> impl Strategy<Value = String> {
    "[^\r\n\"\\x00-\\x1f]{1,30}".prop_map(|text| text.trim().to_owned())
}

fn word() -> impl Strategy<Value = String> {
    "[!#-~]{1,24}"
}

fn number_or_dash() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(0..1_000_000_000u64)
}

fn dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_line_makes_a_parser_panic(line in ".{0,300}") {
        let parsed = istio_proxy(&line);
        let _ = to_json(1, &parsed, &line);
        let _ = kubelet_error(&line);
        let _ = parsed.into_owned();
    }

    #[test]
    fn no_damage_to_a_real_line_makes_a_parser_panic(
        at in 0..samples::REFUSED.len(),
        length in 0usize..40,
        junk in "[ \"\\[\\]{}|%,:0-9-]{0,12}",
    ) {
        let line = samples::REFUSED;
        let end = (at + length).min(line.len());
        let damaged = format!("{}{junk}{}", &line[..at], &line[end..]);
        let _ = to_json(1, &istio_proxy(&damaged), &damaged);
    }

    #[test]
    fn no_format_string_and_no_line_make_the_custom_reader_panic(
        format in "[%A-Z_():?, \"\\[\\]-]{0,60}",
        line in ".{0,200}",
    ) {
        if let Ok(format) = TextFormat::new(&format) {
            let _ = format.read(&line);
        }
    }

    #[test]
    fn a_text_line_that_is_written_reads_back(
        path in word(), code in 0u16..600, flags in "(-|[A-Z]{2,4}(,[A-Z]{2,4})?)",
        details in word(), reason in free(), numbers in proptest::array::uniform4(number_or_dash()),
        agent in free(), id in "[0-9a-f-]{8,36}", authority in word(), cluster in word(),
    ) {
        prop_assume!(details != "-" && path != "-" && authority != "-" && cluster != "-");
        prop_assume!(!details.contains(['{', '}', '[', ']', '(', ')']) && id != "-");
        prop_assume!(!reason.is_empty() && !agent.is_empty() && reason != "-" && agent != "-");
        let line = format!(
            "[2026-01-02T03:04:05.678Z] \"GET {path} HTTP/1.1\" {code} {flags} {details} - \"{reason}\" {} {} {} {} \"-\" \"{agent}\" \"{id}\" \"{authority}\" \"10.0.0.1:80\" {cluster} - 10.0.0.2:80 10.0.0.3:1 - default",
            dash(numbers[0]), dash(numbers[1]), dash(numbers[2]), dash(numbers[3]),
        );
        let IstioLine::Access(access) = istio_proxy(&line) else {
            panic!("{line}");
        };
        prop_assert_eq!(access.path.as_deref(), Some(path.as_str()));
        prop_assert_eq!(access.response_code, Some(code));
        prop_assert_eq!(access.response_code_details.as_deref(), Some(details.as_str()));
        prop_assert_eq!(access.upstream_transport_failure_reason.as_deref(), Some(reason.as_str()));
        prop_assert_eq!(access.bytes_received, numbers[0]);
        prop_assert_eq!(access.bytes_sent, numbers[1]);
        prop_assert_eq!(access.duration_ms, numbers[2]);
        prop_assert_eq!(access.upstream_service_time_ms, numbers[3]);
        prop_assert_eq!(access.user_agent.as_deref(), Some(agent.as_str()));
        prop_assert_eq!(access.request_id.as_deref(), Some(id.as_str()));
        prop_assert_eq!(access.upstream_cluster.as_deref(), Some(cluster.as_str()));
        prop_assert_eq!(access.route_name.as_deref(), Some("default"));
    }

    #[test]
    fn what_is_printed_of_an_access_line_is_itself_an_access_line(
        path in ".{1,40}", code in 0u16..600, agent in ".{1,40}", duration in 0u64..1_000_000,
    ) {
        let line = json!({"path": path, "method": "GET", "response_code": code,
            "user_agent": agent, "duration": duration, "response_flags": "UF,URX"}).to_string();
        let first = printed(&line);
        prop_assert_eq!(&first["type"], "access");
        prop_assert_eq!(printed(&first.to_string()), first);
    }
}
