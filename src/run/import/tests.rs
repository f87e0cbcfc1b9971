//! Captures that lack parts, and captures that hold lines nobody can read.

mod contradiction;
mod target;

use super::*;
use crate::evidence::{EventKind, RunDir};

fn capture(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn imported(files: &[(&str, &str)]) -> (Imported, crate::evidence::Timeline) {
    let (capture, out) = (capture(files), tempfile::tempdir().unwrap());
    let result = import(capture.path(), out.path(), &ImportOptions::default()).unwrap();
    let timeline = RunDir::new(out.path()).timeline().unwrap();
    (result, timeline)
}

const FAILURE: &str = r#"{"request_id":"r","path":"/a?b=1","scheduled":2000000,"sent":2000100,"end":2000300,"connection":"new","phase":"connect","error":"refused"}"#;

#[test]
fn a_capture_of_one_client_alone_is_a_run_that_was_blind_to_all_else() {
    let (result, timeline) = imported(&[("client/node/failures.jsonl", FAILURE)]);
    assert_eq!(result.failures, 1);
    for what in [
        "pods",
        "endpointslices",
        "events",
        "leases",
        "logs",
        "requests/node",
    ] {
        assert!(
            result
                .blind
                .iter()
                .any(|blind| blind.starts_with(&format!("{what}: "))),
            "{what} in {:?}",
            result.blind
        );
    }
    let failed = timeline.events.iter().find_map(|event| match &event.kind {
        EventKind::RequestFailed(request) => Some(request),
        _ => None,
    });
    let failed = failed.unwrap();
    assert_eq!(failed.class, "/a");
    assert_eq!(failed.end.0 - failed.intended.0, 300_000);
}

#[test]
fn lines_that_cannot_be_read_are_reported_with_file_and_line() {
    let (result, timeline) = imported(&[
        (
            "client/node/failures.jsonl",
            &format!("{FAILURE}\n{{\"broken\n"),
        ),
        (
            "client/node/requests.tsv",
            "1\t2\n2000000\t2000100\t2000300\tnew\t200\t-\n",
        ),
        ("pods.watch.jsonl", "not json\n\u{0}\n"),
        ("action.times", "began 3\n"),
    ]);
    let places: Vec<String> = result.faults.iter().map(ToString::to_string).collect();
    for place in [
        "failures.jsonl` line 2",
        "requests.tsv` line 1",
        "pods.watch.jsonl` line 1",
        "action.times` line 1",
    ] {
        assert!(
            places.iter().any(|text| text.contains(place)),
            "{place} in {places:?}"
        );
    }
    assert!(
        result
            .blind
            .iter()
            .any(|blind| blind.starts_with("capture: "))
    );
    assert!(!timeline.events.is_empty());
}

#[test]
fn failures_that_a_client_counted_and_did_not_record_are_told() {
    const COUNTED: &str = "2000000\t2000100\t2000300\tnew\tconnect/refused\t-\n";
    let whole = format!("{FAILURE}\n");
    for (stored, told) in [
        (Some(whole.as_str()), None),
        (
            Some(""),
            Some("1 failures were counted, 0 are in `failures.jsonl`"),
        ),
        (
            Some(&FAILURE[..40]),
            Some("1 lines of `failures.jsonl` could not be read"),
        ),
        (None, Some("the client has no `failures.jsonl`")),
    ] {
        let mut files = vec![("client/node/requests.tsv", COUNTED)];
        files.extend(stored.map(|text| ("client/node/failures.jsonl", text)));
        let (result, timeline) = imported(&files);
        let own = |blind: &&String| blind.starts_with("failures/node: ");
        let blind: Vec<&String> = result.blind.iter().filter(own).collect();
        assert_eq!(blind.is_empty(), told.is_none(), "{stored:?}: {blind:?}");
        let said = |told: &str| blind.iter().any(|blind| blind.ends_with(told));
        assert!(told.is_none_or(said), "{blind:?}");
        let unstored = timeline.unstored_failures().total;
        assert_eq!(unstored, u64::from(!blind.is_empty()), "{stored:?}");
    }
}

#[test]
fn requests_that_a_client_sent_and_the_capture_lacks_are_told() {
    const COUNTED: &str = "2000000\t2000100\t2000300\tnew\t200\t-\n";
    for (lines, summary, told) in [
        (COUNTED.to_owned(), r#"{"sent":1}"#, None),
        (COUNTED.to_owned(), "{}", None),
        (
            COUNTED.to_owned(),
            r#"{"sent":3}"#,
            Some("3 requests were sent, 1 are in `requests.tsv`"),
        ),
        (
            format!("{COUNTED}garbage\n"),
            "{}",
            Some("1 lines of `requests.tsv` could not be read"),
        ),
        (
            format!("{COUNTED}2000000\t20"),
            "{}",
            Some("1 lines of `requests.tsv` could not be read"),
        ),
    ] {
        let (result, _) = imported(&[
            ("client/node/failures.jsonl", ""),
            ("client/node/requests.tsv", &lines),
            ("client/node/summary.json", summary),
        ]);
        let blind = result.blind.iter();
        let own = blind.filter_map(|blind| blind.strip_prefix("requests/node: "));
        let own: Vec<&str> = own.collect();
        assert_eq!(own, Vec::from_iter(told), "{lines:?} {summary}");
    }
}

#[test]
fn a_client_sits_behind_the_sidecar_of_the_pod_that_it_sends_from_whatever_its_name() {
    let pod = |containers: &str, host_network: bool| {
        format!(
            r#"{{"receivedAt":2000000,"type":"ADDED","object":{{"metadata":{{"name":"tester","uid":"u"}},
"spec":{{"containers":[{containers}],"hostNetwork":{host_network}}},"status":{{"podIP":"10.0.0.7"}}}}}}"#
        )
        .replace('\n', "")
    };
    let (app, proxy) = (r#"{"name":"app"}"#, r#"{"name":"istio-proxy"}"#);
    let both = format!("{app},{proxy}");
    let sent_from = |local: &str| FAILURE.replace('}', &format!(r#","local":"{local}"}}"#));
    let tester = Some("tester");
    for (client, local, pod, behind) in [
        ("in-pod", "10.0.0.7:5000", pod(&both, false), tester),
        ("in-pod", "10.0.0.8:5000", pod(&both, false), None),
        (
            "in-pod",
            "10.0.0.7:5000 10.0.0.7:5001",
            pod(&both, false),
            tester,
        ),
        (
            "in-pod",
            "10.0.0.7:5000 10.0.0.8:5001",
            pod(&both, false),
            None,
        ),
        // A connect that failed has no local address but its port.
        ("in-pod", ":5000", pod(&both, false), None),
        ("in-pod", "10.0.0.7:5000", pod(app, false), None),
        ("in-pod", "10.0.0.7:5000", pod(&both, true), None),
        ("mesh", ":5000", pod(&both, false), Some("loadgen")),
    ] {
        let failures = format!("client/{client}/failures.jsonl");
        let failure: Vec<String> = local.split(' ').map(sent_from).collect();
        let failure = failure.join("\n");
        let files = [
            (failures.as_str(), failure.as_str()),
            ("pods.watch.jsonl", pod.as_str()),
        ];
        let (result, timeline) = imported(&files);
        assert!(result.faults.is_empty(), "{:?}", result.faults);
        let info = timeline.events.iter().find_map(|event| match &event.kind {
            EventKind::Client(info) => Some(info),
            _ => None,
        });
        let info = info.unwrap();
        assert_eq!(info.pod.as_deref(), behind, "{client}, {local}, {pod}");
        assert_eq!(info.meshed, behind.is_some());
    }
}

#[test]
fn what_a_capture_says_about_its_own_truth_is_never_opened() {
    // These are folders where files should be: reading any of them would fault.
    let (result, _) = imported(&[
        ("client/node/failures.jsonl", FAILURE),
        ("labels.jsonl/x", "boo"),
        ("pods.json/x", "boo"),
        ("title/x", "boo"),
        ("truth", "boo"),
    ]);
    assert!(result.faults.is_empty(), "{:?}", result.faults);
}

#[test]
fn a_folder_that_is_no_capture_is_refused() {
    let (empty, out) = (capture(&[("readme", "x")]), tempfile::tempdir().unwrap());
    let error = import(empty.path(), out.path(), &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Empty(_)), "{error}");
    let missing = empty.path().join("nowhere");
    let error = import(&missing, out.path(), &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
    let full = capture(&[("client/node/failures.jsonl", FAILURE)]);
    let error = import(full.path(), full.path(), &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Exists(_)), "{error}");
}
