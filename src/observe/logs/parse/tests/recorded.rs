//! One line of each shape that the recordings of real rollouts hold.

use super::*;

const RECORDED: &str = include_str!("../../../../../tests/testdata/istio-proxy/recorded.log");

#[test]
fn only_continuations_and_lines_in_no_istio_format_are_other() {
    let mut reader = Reader::default();
    let mut plain = 0;
    for line in RECORDED.lines() {
        let read = reader.read(line);
        let text = line.split_once(' ').unwrap().1;
        let begins = text.starts_with(['[', '{']) || text.starts_with("2026-");
        assert_eq!(read.line == IstioLine::Other, !begins, "{line}");
        // The first line of an agent's log is of a library of its own.
        let foreign = text.contains("GOMEMLIMIT");
        assert_eq!(read.continuation, !begins && !foreign, "{line}");
        plain += u64::from(!begins && foreign);
    }
    assert!(plain > 0);
    assert_eq!(reader.unknown, plain, "a continuation is understood");
}

#[test]
fn every_recorded_access_line_has_its_join_keys() {
    let mut seen = 0;
    for line in RECORDED.lines() {
        let IstioLine::Access(access) = istio_proxy(line) else {
            continue;
        };
        seen += 1;
        assert!(
            access.start.is_some() && access.duration_ms.is_some(),
            "{line}"
        );
        assert_eq!(
            access.request_id.as_deref().map(str::len),
            Some(36),
            "{line}"
        );
        assert!(access.response_code.is_some(), "{line}");
        assert!(access.downstream_remote_address.is_some(), "{line}");
        assert_eq!(access.route_name.as_deref(), Some("default"), "{line}");
    }
    assert!(seen >= 12, "{seen}");
}
