//! Claims about the reading of scenarios.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// The scenario of the design.
const FULL: &str = r#"apiVersion: lastwatch.dev/v1alpha1
kind: Scenario
metadata: {name: rolling-restart}
spec:
  target: {workload: deployment/demo, service: demo, port: 80}
  load:
    from: local
    rate: 200/s
    arrival: constant
    connections: {new: 50%, pool: 16, maxRequests: 1000}
    requests:
      - {name: fast, weight: 95, path: /}
      - {name: slow, weight: 5, path: "/delay?ms=3000", timeout: 15s}
    baseline: 5s
    settle: 5s
  steps:
    - rollingRestart: {}
    - scale: {to: 1}
    - scale: {to: 3}
    - evict: {pods: 1}
    - deletePod: {pods: 1, grace: 10s}
    - setImage: {container: app, image: "demo:1.10", timeout: 2m}
    - wait: 3s
  observe: {logs: [app, istio-proxy], logPatterns: ["upstream connect error"]}
  gates: {maxFailed: 0, minExposure: 200, maxP99: 500ms, minDrainMargin: 1s, maxSigkills: off, maxLogMatches: 0}
  abortAfterFailed: 5000
  maxBaselineFailed: 2%
  repeat: {untilUpperBound: 0.01 %, max: 20}
  lab:
    manifests: [demo.yaml]
    endpointPropagation: {min: 200ms, max: 2s}
    meshPropagation: 500ms
    clockSkew: {node1: 3s, node2: -1500ms}
    mesh: {terminationDrainDuration: 5s, accessLog: true, retries: none, consecutive5xxErrors: 5, proxyMetadata: {EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true'}}
"#;

/// Reads a text in a folder that has `demo.yaml`, `token.txt` and the variable `TOKEN`.
fn read_text(text: &str) -> Result<Plan, Faults> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("demo.yaml"), "").unwrap();
    std::fs::write(folder.path().join("token.txt"), "from-the-file\n").unwrap();
    let env = |name: &str| (name == "TOKEN").then(|| "from-the-environment".to_owned());
    read_str("scenario.yaml", text, folder.path(), &env)
}

/// A scenario with these lines in place of its `load`, `steps` or what follows.
fn with(part: &str, lines: &str) -> String {
    let mut parts = BTreeMap::from([
        ("target", "{workload: deployment/demo, service: demo}"),
        ("load", "{rate: 200/s, requests: [{path: /}]}"),
        ("steps", "[{rollingRestart: {}}]"),
    ]);
    parts.insert(part, lines);
    let spec: String = parts
        .iter()
        .map(|(key, value)| format!("  {key}: {value}\n"))
        .collect();
    format!(
        "apiVersion: lastwatch.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: demo}}\nspec:\n{spec}"
    )
}

/// The faults of a text, without the folder that changes from run to run.
fn faults(text: &str) -> String {
    match read_text(text) {
        Ok(plan) => panic!("no fault was found, but {plan:#?}"),
        Err(faults) => faults
            .to_string()
            .lines()
            .map(|line| match line.split_once(" looked for at `") {
                Some((before, place)) => {
                    let file = place.rsplit('/').next().unwrap_or_default();
                    format!("{before} looked for at `[folder]/{file}\n")
                }
                None => format!("{line}\n"),
            })
            .collect(),
    }
}

#[test]
fn the_scenario_of_the_design_becomes_its_plan() {
    let plan = read_text(FULL).unwrap_or_else(|faults| panic!("{faults}"));
    insta::assert_json_snapshot!(plan, {".lab.manifests[0]" => "[folder]/demo.yaml"});
}

#[test]
fn a_plan_survives_being_stored() {
    let plan = read_text(FULL).unwrap();
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&stored).unwrap(), plan);
}

#[test]
fn the_shortest_scenario_has_the_defaults() {
    let plan = read_text(&with("observe", "{}")).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(plan.gates, Gates::default());
    assert_eq!(plan.observe, ObservePlan::default());
    assert_eq!(plan.load.baseline, Duration::from_secs(5));
    assert_eq!(plan.load.connections.new, 0.5);
    assert_eq!(plan.repeat.max, 1);
    assert_eq!(plan.max_baseline_failed, 0.01);
    let class = &plan.load.requests[0];
    assert_eq!((class.name.as_str(), class.method.as_str()), ("/", "GET"));
    assert!(class.accepts(204) && class.accepts(302) && !class.accepts(404));
    assert!(!class.changes_state());
}

#[test]
fn texts_come_from_the_environment_and_from_files_and_are_not_stored() {
    let plan = read_text(&with(
        "load",
        "{rate: 1/s, requests: [{path: /, method: post, body: {fromFile: token.txt}, \
         headers: {A: {fromEnv: TOKEN}, b: {fromFile: token.txt}, version: 1.10}}]}",
    ))
    .unwrap_or_else(|faults| panic!("{faults}"));
    let class = &plan.load.requests[0];
    assert!(class.changes_state());
    assert_eq!(class.headers["a"], "from-the-environment");
    assert_eq!(class.headers["b"], "from-the-file");
    assert_eq!(class.headers["version"], "1.10");
    assert_eq!(class.body.as_deref(), Some("from-the-file\n"));
    let stored = serde_json::to_string(&plan.without_secrets()).unwrap();
    assert!(!stored.contains("from-the"), "{stored}");
    assert!(stored.contains("1.10"), "{stored}");
}

#[test]
fn every_fault_is_told_at_once() {
    insta::assert_snapshot!(faults(
        "apiVersion: lastwatch.dev/v1
kind: Scenaro
metadata: {name: Rolling Restart}
spec:
  target: {workload: demo, service: demo, prot: 80}
  laod: {rate: 200}
  load:
    rate: 200
    conections: {}
    connections: {new: 150%, pool: many}
    requests:
      - {path: fast, weight: -1, timeout: 15}
  steps:
    - rollingRestat: {}
    - scale: {too: 1}
  gates: {maxFailures: 0, maxP99: fast}
"
    ));
}

/// Declares a test that snapshots the faults of one kind of mistake.
macro_rules! mistake {
    ($($name:ident: $part:literal $lines:literal;)+) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(faults(&with($part, $lines)));
        })+
    };
}

mistake! {
    a_missing_key: "target" "{service: demo}";
    a_list_for_a_map: "load" "[1, 2]";
    a_map_for_a_value: "load" "{rate: {per: second}, requests: [{path: /}]}";
    nothing_for_a_value: "load" "{rate: , requests: [{path: /}]}";
    a_key_written_twice: "load" "{rate: 1/s, rate: 2/s, requests: [{path: /}]}";
    no_rate: "load" "{requests: [{path: /}]}";
    a_rate_of_zero: "load" "{rate: 0/s, requests: [{path: /}]}";
    rate_and_stages: "load" "{rate: 1/s, stages: [{rate: 1/s}], requests: [{path: /}]}";
    a_stage_that_never_ends: "load" "{stages: [{rate: 1/s}, {rate: 2/s}], requests: [{path: /}]}";
    no_requests: "load" "{rate: 1/s, requests: []}";
    weights_all_zero: "load" "{rate: 1/s, requests: [{path: /a, weight: 0}, {path: /b, weight: 0}]}";
    two_requests_of_one_name: "load" "{rate: 1/s, requests: [{path: /a, name: x}, {path: /b, name: x}]}";
    a_baseline_too_short: "load" "{rate: 1/s, baseline: 10ms, requests: [{path: /}]}";
    a_pool_of_none: "load" "{rate: 1/s, connections: {pool: 0}, requests: [{path: /}]}";
    a_source_that_is_none: "load" "{rate: 1/s, from: meshed, requests: [{path: /}]}";
    wrong_requests: "load" "{rate: 1/s, requests: [{path: /, method: 'G T'}, {path: '/a b'}, {path: /c, expect: {status: 42}}, {path: /d, expect: {body: '(a'}}, {path: /e, timeout: 0s}]}";
    wrong_headers: "load" "{rate: 1/s, requests: [{path: /, headers: {'a b': x, connection: close, c: {fromEnv: NONE}, d: {fromFile: none.txt}, e: {fromNowhere: x}, f: {fromEnv: A, fromFile: b}}}]}";
    an_unknown_kind_of_workload: "target" "{workload: depolyment/demo, service: demo}";
    wrong_targets: "target" "{workload: deployment/, service: Demo, port: 99999, namespace: a_b, url: 'ftp://x'}";
    neither_service_nor_url: "target" "{workload: deployment/demo}";
    no_steps: "steps" "[]";
    only_an_unknown_step: "steps" "[{rolingRestart: {}}]";
    wrong_steps: "steps" "[{scale: {}}, {deletePod: {pods: 0, grace: 1500ms}}, {wait: 0s}, {rollingRestart: {timeout: 1ms}}, {scale: {to: 1}, timeout: 3s}, restart, {setImage: {container: app}}, {setImage: {image: ''}}, {scale: {to: 99999999999}}]";
    a_step_that_the_workload_cannot_bear: "target" "{workload: job/demo, service: demo}";
    wrong_gates: "gates" "{maxFailed: -1, sidecarOutlivesApp: yes, minDrainMargin: 1, maxP99: on}";
    wrong_gateways: "observe" "{gateways: [istio-system, istio_system]}";
    wrong_patterns: "observe" "{logs: app, logPatterns: ['[a'], outboundPatterns: [x{99999}]}";
    wrong_limits: "maxBaselineFailed" "101%";
    an_abort_at_once: "abortAfterFailed" "0";
    repeats_two_ways: "repeat" "{times: 2, untilUpperBound: 1%}";
    a_max_without_its_bound: "repeat" "{times: 2, max: 3}";
    a_bound_of_zero: "repeat" "{untilUpperBound: 0%}";
    wrong_lab: "lab" "{manifests: [none.yaml], endpointPropagation: {min: 2s, max: 1s}, meshPropagation: {min: 1s}, clockSkew: {node1: 3}, mesh: {retries: 3, idleTimout: 2s, drainDuration: 45}}";
}

#[test]
fn a_target_that_wants_another_protocol_is_told_what_the_load_speaks() {
    for scheme in ["grpc", "grpcs", "h2c", "ws"] {
        let target = format!("{{workload: deployment/demo, url: '{scheme}://shop.example:8080'}}");
        let told = faults(&with("target", &target));
        let wanted = format!("has the scheme `{scheme}`; the load speaks HTTP/1.1");
        assert!(told.contains(&wanted), "{told}");
    }
}

#[test]
fn a_file_that_is_no_yaml_is_told_with_its_line() {
    insta::assert_snapshot!(faults("apiVersion: x\nspec: {a: [1, 2\n"));
}

#[test]
fn an_empty_file_is_told() {
    insta::assert_snapshot!(faults("# nothing\n"));
}

#[test]
fn a_file_that_is_a_list_or_a_word_is_told_how_a_scenario_begins() {
    insta::assert_snapshot!(faults(
        "- apiVersion: lastwatch.dev/v1alpha1\n- kind: Scenario\n"
    ));
    assert!(faults("scenario\n").contains(super::read::BEGINS));
}

#[test]
fn a_second_document_is_told() {
    let text = with("observe", "{}");
    insta::assert_snapshot!(faults(&format!("{text}---\n{text}")));
}

#[test]
fn a_file_that_does_not_exist_is_told() {
    let faults = read(Path::new("none/scenario.yaml"), &|_| None).unwrap_err();
    insta::assert_snapshot!(faults.to_string());
}

#[test]
fn anchors_and_aliases_work_and_a_bomb_does_not_explode() {
    let text = with("load", "{rate: 1/s, requests: [&a {path: /}]}");
    assert!(read_text(&text.replace("path: /", "path: &p /, name: *p")).is_ok());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    let told = read_text(&bomb).unwrap_err().to_string();
    assert!(told.contains("more than 20000 values"), "{told}");
    assert!(read_text("a: &a [*a]").is_err());
}

#[test]
fn the_json_schema_names_every_key_of_the_scenario_of_the_design() {
    let schema = json_schema().to_string();
    for line in FULL.lines().skip(3) {
        for key in line.split(['{', ',', '-', ' ']).filter_map(|word| {
            let key = word.strip_suffix(':')?;
            let free = key.starts_with("node") || key.starts_with("EXIT_ON");
            (!free).then_some(key)
        }) {
            assert!(schema.contains(&format!("\"{key}\"")), "{key}");
        }
    }
}

/// The keys of a document of the JSON Schema that have a default, with it.
fn defaults(document: &str) -> serde_json::Map<String, serde_json::Value> {
    let schema = json_schema();
    let properties = &schema["$defs"][document]["properties"];
    let properties = properties
        .as_object()
        .unwrap_or_else(|| panic!("{document}"));
    let with_default = properties.iter().filter_map(|(key, value)| {
        let default = value.get("default")?;
        Some((key.clone(), default.clone()))
    });
    with_default.collect()
}

#[test]
fn the_defaults_of_the_json_schema_are_those_of_the_plan() {
    for (document, part, lines) in [
        ("GatesSpec", "gates", "{}"),
        (
            "Load",
            "load",
            r#"{"rate": "200/s", "requests": [{"path": "/"}]}"#,
        ),
        (
            "ConnectionsSpec",
            "load",
            r#"{"rate": "200/s", "requests": [{"path": "/"}], "connections": {}}"#,
        ),
        (
            "Request",
            "load",
            r#"{"rate": "200/s", "requests": [{"path": "/"}]}"#,
        ),
        ("Spec", "", "{}"),
        ("DeletePodStep", "steps", r#"[{"deletePod": {}}]"#),
        ("EvictStep", "steps", r#"[{"evict": {}}]"#),
    ] {
        let all = defaults(document);
        assert!(!all.is_empty(), "{document}");
        let mut written: serde_json::Value = serde_json::from_str(lines).unwrap();
        let place = match document {
            "ConnectionsSpec" => &mut written["connections"],
            "Request" => &mut written["requests"][0],
            "DeletePodStep" => &mut written[0]["deletePod"],
            "EvictStep" => &mut written[0]["evict"],
            _ => &mut written,
        };
        place.as_object_mut().unwrap().extend(all.clone());
        let (left_out, told) = if document == "Spec" {
            let lines = all.iter().map(|(key, value)| format!("\n  {key}: {value}"));
            let minimal = with("target", "{workload: deployment/demo, service: demo}");
            let told = minimal.clone() + &lines.collect::<String>();
            (minimal, told)
        } else {
            (with(part, lines), with(part, &written.to_string()))
        };
        let told = read_text(&told).unwrap_or_else(|faults| panic!("{document}: {faults}"));
        assert_eq!(read_text(&left_out).unwrap(), told, "{document}");
    }
    let gates = defaults("GatesSpec");
    let known = serde_json::to_value(Gates::default()).unwrap();
    assert_eq!(gates.len(), known.as_object().unwrap().len(), "{gates:?}");
}

#[test]
fn the_example_of_the_reference_is_a_scenario_and_its_table_has_the_defaults() {
    let text = include_str!("../../docs/scenario.md");
    let example = text.split("```yaml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    read_str("docs/scenario.md", example, Path::new("docs"), &|_| None)
        .unwrap_or_else(|faults| panic!("{faults}"));
    for (gate, default) in defaults("GatesSpec") {
        let default = default
            .as_str()
            .map_or_else(|| default.to_string(), str::to_owned);
        let row = format!("| `{gate}` | `{default}` |");
        assert!(text.contains(&row), "docs/scenario.md has no row {row}");
    }
}

#[test]
fn the_json_schema_is_what_editors_get() {
    insta::assert_json_snapshot!(json_schema());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*") {
        let _ = read_text(&text);
    }

    #[test]
    fn no_text_of_yaml_signs_makes_the_reader_panic(text in "[-a:{}\\[\\],&*!|>'\"%@#? \n\t1~]{0,80}") {
        let _ = read_text(&text);
    }

    #[test]
    fn no_value_in_any_place_makes_the_reader_panic(
        place in 0..FULL.len(),
        length in 0..40_usize,
        value in "(-?[0-9]{1,25}(\\.[0-9]+)?(%|/s|s|ms|m|h)?|[\\[{]a?[\\]}]|null|off|~|\\PC{0,8}|\n +[a-z]: )",
    ) {
        let mut text = FULL.to_owned();
        let end = (place + length).min(text.len());
        text.replace_range(place..end, &value);
        let _ = read_text(&text);
    }
}
