//! Recordings of real rollouts, imported and explained, against what truly happened.
//!
//! The truth (`labels.jsonl`, `pods.json`) is read first and taken away before the import, so that
//! no explanation can lean on it. The same must hold with another clock on the node; and with
//! evidence taken away nothing that is called proved may be wrong, and no gate may be held.

#[path = "lab/archive.rs"]
mod archive;
#[path = "recordings/gates.rs"]
mod gates;
#[path = "recordings/vary.rs"]
mod vary;

use archive::unpack;
use gates::assert_never_held;
use lastwatch::attribution::{
    Attribution, Cause, Confidence, Findings, Missing, PodFinding, attribute,
};
use lastwatch::evidence::RunDir;
use lastwatch::run::{ImportOptions, import};
use lastwatch::verdict::{Limits, Verdict, judge};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A recording and what truly happened in it.
struct Recording {
    name: String,
    /// By client and request id: the cause and those that are as good.
    causes: BTreeMap<(String, String), Vec<String>>,
    pods: Vec<Value>,
    folder: tempfile::TempDir,
}

/// A recording, imported, explained and judged.
struct Explained {
    recording: Recording,
    findings: Findings,
    verdict: Verdict,
}

const ARCHIVES: &str = "tests/testdata/recordings";

/// Recordings whose target has no sidecar.
const WITHOUT_MESH: &[&str] = &[
    "nopre",
    "sigkill",
    "in-flight",
    "shutdown-refusal",
    "crash",
    "mixed",
    "slow-nopre",
    "slow-prestop-short",
    "slow-mixed",
];

/// The hazards that the truth tells of; others may be reported beside them.
const HAZARDS: &[&str] = &[
    "term-signal-unhandled",
    "sidecar-exited-first",
    "sidecar-never-ended",
];

fn archives() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(ARCHIVES)
        .expect("the archives are there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .collect();
    found.sort();
    assert!(found.len() >= 29, "only {} recordings", found.len());
    found
}

impl Recording {
    fn unpack(archive: &Path) -> Self {
        let folder = unpack(archive);
        let file_name = archive
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let name = file_name.trim_end_matches(".tar.gz").to_owned();
        let capture = folder.path().join(&name);
        let causes = causes(&capture.join("labels.jsonl"));
        let pods = fs::read_to_string(capture.join("pods.json")).expect("the truth of the pods");
        for truth in ["labels.jsonl", "pods.json"] {
            fs::remove_file(capture.join(truth)).expect("the truth is taken away");
        }
        Self {
            name,
            causes,
            pods: serde_json::from_str(&pods).expect("a list of pods"),
            folder,
        }
    }

    fn capture(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    fn explain(self) -> Explained {
        let out = tempfile::tempdir().expect("a folder");
        let imported = import(&self.capture(), out.path(), &ImportOptions::default())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert!(
            imported.faults.is_empty(),
            "{}: {:?}",
            self.name,
            imported.faults
        );
        let timeline = RunDir::new(out.path())
            .timeline()
            .expect("a run that can be read");
        let findings = attribute(&timeline);
        Explained {
            verdict: judge(&timeline, &findings, &gates::gates(), &Limits::default()),
            findings,
            recording: self,
        }
    }
}

fn causes(path: &Path) -> BTreeMap<(String, String), Vec<String>> {
    let text = fs::read_to_string(path).expect("labels");
    text.lines()
        .map(|line| {
            let label: Value = serde_json::from_str(line).expect("a label");
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let mut causes = vec![word(&label["cause"])];
            causes.extend(label["also"].as_array().into_iter().flatten().map(word));
            ((word(&label["client"]), word(&label["request_id"])), causes)
        })
        .collect()
}

impl Explained {
    /// The failures of one client whose cause is wrong, and how many it has.
    fn wrong(&self, client: Option<&str>) -> (Vec<&Attribution>, usize) {
        let own = || {
            let all = self.findings.failures.iter();
            all.filter(|found| client.is_none_or(|client| found.client == client))
        };
        (
            own().filter(|found| !self.is_right(found)).collect(),
            own().count(),
        )
    }

    fn is_right(&self, found: &Attribution) -> bool {
        let key = (found.client.clone(), found.request_id.clone());
        self.recording.causes[&key]
            .iter()
            .any(|cause| cause == found.cause.id())
    }

    fn proved_wrong(&self) -> Vec<String> {
        let all = self.findings.failures.iter();
        all.filter(|found| found.confidence == Confidence::Proved && !self.is_right(found))
            .map(|found| {
                format!(
                    "{}: {} is called {}",
                    self.recording.name, found.request_id, found.cause
                )
            })
            .collect()
    }

    fn pod(&self, name: &str) -> Option<&PodFinding> {
        self.findings.pods.iter().find(|pod| pod.pod == name)
    }

    /// What is wrong about the pods: hazards, lost calls, the sidecar's lead.
    fn pods_wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for truth in &self.recording.pods {
            let name = truth["pod"].as_str().expect("a pod's name");
            let found = self.pod(name);
            let mut hazards: Vec<String> = found.map(|pod| pod.hazards.clone()).unwrap_or_default();
            hazards.retain(|name| name.starts_with("sigkill:") || HAZARDS.contains(&name.as_str()));
            let mut expected: Vec<String> = truth["hazards"]
                .as_array()
                .expect("hazards")
                .iter()
                .filter_map(|name| Some(name.as_str()?.to_owned()))
                .collect();
            hazards.sort();
            expected.sort();
            if hazards != expected {
                wrong.push(format!(
                    "{name}: hazards {hazards:?}, in truth {expected:?}"
                ));
            }
            let lost = found.and_then(|pod| pod.outbound_failures).unwrap_or(0);
            if Some(lost) != truth["outbound_failures"].as_u64() {
                wrong.push(format!(
                    "{name}: {lost} lost calls, in truth {}",
                    truth["outbound_failures"]
                ));
            }
            if let Some(lead) = truth["sidecar_lead_s"].as_f64() {
                let between = found.and_then(|pod| pod.sidecar_lead_between_s);
                // The truth is rounded, and stamps that were moved are floored once more.
                let (least, most) = (lead - 0.1, lead + 0.1);
                let holds = |(lo, hi): (f64, f64)| lo <= most && least <= hi && hi - lo < 3.0;
                if !between.is_some_and(holds) {
                    wrong.push(format!("{name}: lead {between:?}, in truth {lead}"));
                }
            }
        }
        wrong
    }
}

/// Holds all that must hold while no evidence is missing.
fn assert_explained(change: impl Fn(&Path)) {
    let (mut all, mut missed, mut faults) = (0, 0, Vec::new());
    for archive in archives() {
        let recording = Recording::unpack(&archive);
        change(&recording.capture());
        let explained = recording.explain();
        let name = explained.recording.name.clone();
        assert_eq!(
            explained.findings.failures.len(),
            explained.recording.causes.len(),
            "{name}: every failure is explained once"
        );
        let (wrong, count) = explained.wrong(None);
        all += count;
        missed += wrong.len();
        let (own, of) = explained.wrong(Some("node"));
        let allowed = (of / 100).max(1);
        if WITHOUT_MESH.contains(&name.as_str()) && own.len() > allowed {
            faults.push(format!("{name}: {} of {of} wrong", own.len()));
        }
        if WITHOUT_MESH.contains(&name.as_str()) {
            let failures = explained.findings.failures.iter();
            let unexplained = failures
                .filter(|found| found.cause == Cause::Unexplained)
                .count();
            assert_eq!(unexplained, 0, "{name}: unexplained");
        }
        faults.extend(
            explained
                .pods_wrong()
                .into_iter()
                .map(|wrong| format!("{name}: {wrong}")),
        );
        faults.extend(explained.proved_wrong());
        faults.extend(explained.gates_wrong());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(all > 1_800, "only {all} failures");
    assert!(missed * 100 <= all, "{missed} of {all} wrong");
}

/// Holds that nothing is called proved that is wrong, and that no gate says what is not true.
fn assert_nothing_proved_is_wrong(change: impl Fn(&Path)) -> Vec<Explained> {
    let mut faults = Vec::new();
    let mut kept = Vec::new();
    for archive in archives() {
        let recording = Recording::unpack(&archive);
        change(&recording.capture());
        let explained = recording.explain();
        faults.extend(explained.proved_wrong());
        faults.extend(explained.gates_wrong());
        kept.push(explained);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    kept
}

fn named<'e>(explained: &'e [Explained], name: &str) -> &'e Explained {
    explained
        .iter()
        .find(|one| one.recording.name == name)
        .expect("a recording of that name")
}

#[test]
fn recordings_are_explained() {
    assert_explained(|_| {});
}

#[test]
fn recordings_are_explained_with_the_node_seven_seconds_ahead() {
    assert_explained(|capture| vary::node_clock(capture, 7.3));
}

#[test]
fn recordings_are_explained_with_the_node_three_seconds_behind() {
    assert_explained(|capture| vary::node_clock(capture, -3.4));
}

#[test]
fn recordings_are_explained_where_another_id_was_logged() {
    assert_explained(|capture| {
        vary::replace_ids(capture, |line| {
            format!("{line:08x}-aaaa-4bbb-8ccc-dddddddddddd")
        });
    });
}

#[test]
fn recordings_are_explained_where_no_id_was_logged() {
    assert_explained(|capture| {
        vary::replace_ids(capture, |_| "-".to_owned());
        vary::node_clock(capture, -3.4);
    });
}

#[test]
fn the_missing_shutdown_line_speaks_against_an_exceeded_grace_period() {
    let archive = Path::new(ARCHIVES).join("sigkill.tar.gz");
    let explained = Recording::unpack(&archive).explain();
    let deaf: Vec<_> = explained
        .findings
        .failures
        .iter()
        .filter(|found| found.cause == Cause::TermSignalUnhandled)
        .collect();
    assert!(deaf.len() >= 20, "{}", deaf.len());
    for found in deaf {
        let runner_up = found.runner_up.as_ref().expect("a runner-up");
        assert_eq!(runner_up.cause, Cause::GraceExceeded);
        assert!(
            runner_up.against.contains("no line"),
            "{}",
            runner_up.against
        );
    }
}

#[test]
fn without_app_logs_a_deaf_app_is_not_told_from_a_slow_one() {
    let explained = assert_nothing_proved_is_wrong(vary::without_app_logs);
    let sigkill = named(&explained, "sigkill");
    let cut = sigkill.findings.failures.iter().filter(|found| {
        matches!(
            found.cause,
            Cause::TermSignalUnhandled | Cause::GraceExceeded
        )
    });
    let confidences: Vec<Confidence> = cut.map(|found| found.confidence).collect();
    assert!(confidences.len() >= 20, "{confidences:?}");
    assert!(
        confidences
            .iter()
            .all(|confidence| *confidence == Confidence::Ambiguous),
        "{confidences:?}"
    );
    for pod in &named(&explained, "mesh-copied").findings.pods {
        assert_eq!(
            pod.outbound_failures, None,
            "{}: its log was not seen",
            pod.pod
        );
    }
    assert_never_held(
        &explained,
        Recording::terminated,
        "maxOutboundFailures",
        Missing::AppLogs,
    );
    assert_never_held(
        &explained,
        Recording::terminated,
        "minDrainMargin",
        Missing::AppLogs,
    );
}

#[test]
fn without_events_and_leases_nothing_proved_is_wrong() {
    assert_nothing_proved_is_wrong(|capture| {
        vary::remove(capture, &["events.watch.jsonl", "leases.watch.jsonl"]);
    });
}

#[test]
fn without_access_lines_nothing_proved_is_wrong() {
    let explained =
        assert_nothing_proved_is_wrong(|capture| vary::keep_proxy_lines(capture, |access| !access));
    assert_never_held(&explained, |_| true, "maxMasked", Missing::AccessLogs);
}

#[test]
fn without_agent_lines_nothing_proved_is_wrong() {
    let explained =
        assert_nothing_proved_is_wrong(|capture| vary::keep_proxy_lines(capture, |access| access));
    let lead = |one: &Explained| one.gate("sidecarOutlivesApp").is_some();
    let of_meshed: Vec<&Explained> = explained.iter().filter(|one| lead(one)).collect();
    assert!(of_meshed.len() >= 10, "{} recordings", of_meshed.len());
    for one in of_meshed {
        let missing = one.findings.pods.iter().filter(|pod| pod.sidecar.is_some());
        let mut missing = missing.map(|pod| &pod.missing);
        assert!(missing.all(|missing| missing.contains(&Missing::AgentLogs)));
    }
}

#[test]
fn without_slices_nothing_proved_is_wrong() {
    let explained = assert_nothing_proved_is_wrong(|capture| {
        vary::remove(capture, &["endpointslices.watch.jsonl"])
    });
    assert_never_held(
        &explained,
        Recording::terminated,
        "minDrainMargin",
        Missing::Slices,
    );
}

#[test]
fn without_counts_of_requests_nothing_proved_is_wrong() {
    let explained = assert_nothing_proved_is_wrong(|capture| {
        vary::remove(
            capture,
            &["client/node/requests.tsv", "client/mesh/requests.tsv"],
        );
    });
    assert_never_held(&explained, |_| true, "maxFailed", Missing::Requests);
}

#[test]
fn a_cut_watch_of_pods_proves_nothing_wrong() {
    let explained = assert_nothing_proved_is_wrong(|capture| vary::cut_pods(capture, 1.0, 7.0));
    let cut = |recording: &Recording| recording.terminated_within(1.0, 7.0);
    // The ends of containers and their logs may tell of the others all the same.
    for gate in ["maxSigkills", "minDrainMargin"] {
        assert_never_held(&explained, cut, gate, Missing::Pods);
    }
}

#[test]
fn answers_that_name_no_pod_prove_nothing_wrong() {
    assert_nothing_proved_is_wrong(|capture| {
        vary::node_clock(capture, 0.4);
        vary::forget_pod_names(capture);
    });
}
