//! Holds what we ship beside the program: scenarios become plans and have what they need in their
//! manifests, manifests are what the API server would take, scripts and workflows parse.

#![expect(
    clippy::unwrap_used,
    reason = "a panic in a test's helper is the failure report, too"
)]

#[path = "manifests/image.rs"]
mod image;
#[path = "manifests/variants.rs"]
mod variants;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PodTemplateSpec, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use lastwatch::attribution::Cause;
use lastwatch::cluster::rights::{Kind, NODE_RIGHTS, Need, RIGHTS, Right};
use lastwatch::scenario::{self, LoadFrom, Plan, WorkloadKind};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}")) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if extension.is_empty() || path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn plan(path: &Path) -> Plan {
    scenario::read(path, &|_| None).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The documents of a YAML file.
fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| {
            serde::Deserialize::deserialize(document)
                .unwrap_or_else(|error| panic!("{path:?}: {error}"))
        })
        .filter(|document: &Value| !document.is_null())
        .collect()
}

/// The object as its type, which must know every key: an unknown one is lost on the way back.
fn typed<T: DeserializeOwned + serde::Serialize>(document: &Value, place: &str) -> T {
    let object: T =
        serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let back = serde_json::to_value(&object).unwrap();
    let lost = lost(document, &back, "");
    assert!(lost.is_empty(), "{place}: the API does not know {lost:?}");
    object
}

fn lost(written: &Value, read: &Value, path: &str) -> Vec<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written
            .iter()
            .flat_map(|(key, value)| match read.get(key) {
                Some(other) => lost(value, other, &format!("{path}.{key}")),
                None if *value == serde_json::json!({}) || *value == serde_json::json!([]) => {
                    Vec::new()
                }
                None => vec![format!("{path}.{key}")],
            })
            .collect(),
        (Value::Array(written), Value::Array(read)) => written
            .iter()
            .zip(read)
            .flat_map(|(a, b)| lost(a, b, &format!("{path}[]")))
            .collect(),
        _ => Vec::new(),
    }
}

/// What the manifests of one scenario bring.
#[derive(Default)]
struct Objects {
    workloads: BTreeMap<String, PodTemplateSpec>,
    services: BTreeMap<String, Service>,
}

impl Objects {
    fn add(&mut self, path: &Path) {
        for document in documents(path) {
            let place = format!("{}, {}", path.display(), document["kind"]);
            match document["kind"].as_str() {
                Some("Deployment") => {
                    let object: Deployment = typed(&document, &place);
                    let spec = object.spec.unwrap();
                    let selected = spec.selector.match_labels.clone().unwrap();
                    let labels = spec.template.metadata.clone().unwrap().labels.unwrap();
                    assert!(subset(&selected, &labels), "{place}: selects other pods");
                    let name = object.metadata.name.unwrap();
                    self.workloads
                        .insert(format!("deployment/{name}"), spec.template);
                }
                Some("Job") => {
                    let object: Job = typed(&document, &place);
                    let name = object.metadata.name.unwrap();
                    self.workloads
                        .insert(format!("job/{name}"), object.spec.unwrap().template);
                }
                Some("Service") => {
                    let object: Service = typed(&document, &place);
                    let name = object.metadata.name.clone().unwrap();
                    self.services.insert(name, object);
                }
                Some("PodDisruptionBudget") => {
                    let _: PodDisruptionBudget = typed(&document, &place);
                }
                Some("Namespace") => {
                    let _: Namespace = typed(&document, &place);
                }
                Some("ServiceAccount") => {
                    let _: ServiceAccount = typed(&document, &place);
                }
                Some("Role") => {
                    let _: Role = typed(&document, &place);
                }
                Some("RoleBinding") => {
                    let _: RoleBinding = typed(&document, &place);
                }
                Some("ClusterRole") => {
                    let _: ClusterRole = typed(&document, &place);
                }
                Some("ClusterRoleBinding") => {
                    let _: ClusterRoleBinding = typed(&document, &place);
                }
                Some("ConfigMap") => {
                    let _: ConfigMap = typed(&document, &place);
                }
                other => panic!("{place}: a kind that this test does not know: {other:?}"),
            }
        }
    }
}

fn subset(small: &BTreeMap<String, String>, large: &BTreeMap<String, String>) -> bool {
    small
        .iter()
        .all(|(key, value)| large.get(key) == Some(value))
}

#[test]
fn every_scenario_becomes_a_plan_and_says_how_it_must_end() {
    let scenarios = files("scenarios", "yaml");
    assert!(scenarios.len() >= 14, "{scenarios:?}");
    for path in scenarios {
        let plan = plan(&path);
        let stem = path.file_stem().unwrap().to_string_lossy();
        assert_eq!(plan.name, stem, "{path:?} is named after its file");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{path:?} says what it shows");
        let document = &documents(&path)[0];
        let annotation = |key: &str| {
            document["metadata"]["annotations"][format!("lastwatch.dev/{key}")]
                .as_str()
                .map(str::to_owned)
        };
        let verdict = annotation("expected-verdict").unwrap_or_default();
        assert!(
            ["PASS", "FAIL", "INCONCLUSIVE"].contains(&verdict.as_str()),
            "{path:?}: {verdict:?}"
        );
        assert!(
            text.contains(&format!("Ends {verdict}")),
            "{path:?}: the comment and the annotation disagree"
        );
        let causes = annotation("expected-cause").unwrap_or_default();
        for cause in causes.split(',').filter(|cause| *cause != "none") {
            assert!(Cause::from_id(cause).is_some(), "{path:?}: {cause:?}");
        }
    }
}

#[test]
fn every_scenario_finds_its_workload_and_its_service_in_its_manifests() {
    for path in files("scenarios", "yaml") {
        let plan = plan(&path);
        assert!(!plan.lab.manifests.is_empty(), "{path:?} runs in the lab");
        let mut objects = Objects::default();
        for manifest in &plan.lab.manifests {
            objects.add(manifest);
        }
        let workload = plan.target.workload.to_string();
        let template = objects
            .workloads
            .get(&workload)
            .unwrap_or_else(|| panic!("{path:?}: no {workload}"));
        let Some(service) = &plan.target.service else {
            continue;
        };
        let service = objects
            .services
            .get(service)
            .unwrap_or_else(|| panic!("{path:?}: no Service {service}"));
        let spec = service.spec.clone().unwrap();
        let labels = template.metadata.clone().unwrap().labels.unwrap();
        let selects = subset(&spec.selector.unwrap(), &labels);
        assert_eq!(
            selects,
            plan.target.workload.kind != WorkloadKind::Job,
            "{path:?}: the Service and the workload's pods"
        );
        let wanted = plan.target.port.unwrap();
        assert!(
            spec.ports.unwrap().iter().any(|port| {
                port.port.to_string() == wanted || port.name.as_deref() == Some(&wanted)
            }),
            "{path:?}: the Service has no port {wanted}"
        );
    }
}

#[test]
fn every_manifest_is_what_the_api_server_would_take_and_says_what_it_is_for() {
    let manifests = files("manifests", "yaml");
    assert!(manifests.len() >= 12, "{manifests:?}");
    for path in manifests {
        Objects::default().add(&path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{path:?} says what it is for");
    }
}

#[test]
fn every_demo_manifest_is_used_by_a_scenario() {
    let used: Vec<PathBuf> = files("scenarios", "yaml")
        .iter()
        .flat_map(|path| plan(path).lab.manifests)
        .map(|path| path.canonicalize().unwrap())
        .collect();
    for path in files("manifests/demo", "yaml") {
        let path = path.canonicalize().unwrap();
        assert!(used.contains(&path), "{path:?} is used by no scenario");
    }
}

#[test]
fn every_script_parses() {
    for path in files("scripts", "") {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("#!") || !text.lines().next().unwrap().contains("sh") {
            continue;
        }
        let checked = Command::new("bash").arg("-n").arg(&path).output().unwrap();
        let told = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{path:?}: {told}");
    }
}

#[test]
fn every_script_passes_shellcheck_where_it_is_installed() {
    if Command::new("shellcheck")
        .arg("--version")
        .output()
        .is_err()
    {
        return;
    }
    for path in files("scripts", "") {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("#!") || !text.lines().next().unwrap().contains("sh") {
            continue;
        }
        let checked = Command::new("shellcheck").arg(&path).output().unwrap();
        let told = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success(), "{path:?}: {told}");
    }
}

#[test]
fn every_workflow_has_jobs_with_steps_that_do_something() {
    for path in files(".github/workflows", "yml") {
        let document = &documents(&path)[0];
        let jobs = document["jobs"].as_object().unwrap();
        assert!(!jobs.is_empty(), "{path:?}");
        for (name, job) in jobs {
            assert!(job["runs-on"].is_string(), "{path:?}: {name}");
            for step in job["steps"].as_array().unwrap() {
                assert!(
                    step["run"].is_string() || step["uses"].is_string(),
                    "{path:?}: {name}: {step}"
                );
            }
        }
    }
}

/// The verbs that the roles of a file grant, as `group/resource verb`.
fn granted(path: &str) -> BTreeSet<String> {
    let rules = documents(Path::new(path)).into_iter().flat_map(|document| {
        let rules = document["rules"].clone();
        serde_json::from_value::<Option<Vec<PolicyRule>>>(rules)
            .unwrap()
            .unwrap_or_default()
    });
    let mut granted = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    granted.insert(format!("{group}/{resource} {verb}"));
                }
            }
        }
    }
    granted
}

fn named<'a>(rights: impl IntoIterator<Item = &'a Right>) -> BTreeSet<String> {
    rights
        .into_iter()
        .map(|right| format!("{}/{} {}", right.group, right.resource, right.verb))
        .collect()
}

#[test]
fn the_roles_grant_exactly_the_verbs_that_the_code_uses_on_a_deployment() {
    let used = RIGHTS.iter().filter(|right| match right.need {
        Need::Always | Need::Wish | Need::Step(_, None) => true,
        Need::Kind(kind) | Need::Step(_, Some(kind)) => kind == Kind::Deployment,
    });
    assert_eq!(granted("manifests/cluster/rbac.yaml"), named(used));
    assert_eq!(granted("manifests/cluster/nodes.yaml"), named(NODE_RIGHTS));
    let pods = ["list", "watch"].map(|verb| format!("/pods {verb}"));
    assert_eq!(
        granted("manifests/cluster/gateways.yaml"),
        BTreeSet::from(pods)
    );
}

#[test]
fn the_scenarios_of_the_cluster_jobs_become_plans_that_send_from_where_their_pod_is() {
    for (path, from, injected) in [
        ("manifests/cluster/job.yaml", LoadFrom::Local, "false"),
        (
            "manifests/cluster/job-meshed.yaml",
            LoadFrom::MeshedPod,
            "true",
        ),
    ] {
        let job = documents(Path::new(path));
        let text = job[0]["data"]["scenario.yaml"].as_str().unwrap();
        let plan = scenario::read_str("scenario.yaml", text, Path::new(""), &|_| None);
        let plan = plan.unwrap_or_else(|faults| panic!("{path}: {faults}"));
        assert_eq!(plan.load.from, from, "{path}");
        let pod = &job[1]["spec"]["template"]["metadata"];
        let asked = ["labels", "annotations"].map(|map| &pod[map]["sidecar.istio.io/inject"]);
        assert!(asked.contains(&&Value::from(injected)), "{path}: {pod}");
    }
    let job = &documents(Path::new("manifests/cluster/job-meshed.yaml"))[1];
    let annotations = &job["spec"]["template"]["metadata"]["annotations"];
    let config = annotations["proxy.istio.io/config"].as_str().unwrap();
    let config: Value = serde_yaml::from_str(config).unwrap();
    assert_eq!(config["holdApplicationUntilProxyStarts"], true);
    let kept = annotations["sidecar.istio.io/statsInclusionRegexps"].as_str();
    assert_eq!(kept, Some(".*upstream_rq_retry.*"), "retries are counted");
}

#[test]
fn the_documented_command_moves_the_harness_to_another_namespace() {
    let folder = Path::new("manifests/cluster");
    let text = fs::read_to_string(folder.join("namespace.yaml")).unwrap();
    let command = text.lines().find_map(|line| {
        let command = line
            .strip_prefix("#   ")?
            .strip_suffix(" | kubectl apply -f -")?;
        command.starts_with("sed ").then(|| command.to_owned())
    });
    let command = command.expect("it is documented");
    let readme = fs::read_to_string("README.md").unwrap();
    assert!(readme.contains(&command), "as the README has it: {command}");
    let mut shell = Command::new("sh");
    let moved = shell.args(["-c", &command]).current_dir(folder).output();
    let moved = String::from_utf8(moved.unwrap().stdout).unwrap();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("moved.yaml");
    fs::write(&path, &moved).unwrap();
    let (written, moved) = (cluster_files(&command), documents(&path));
    assert_eq!(
        moved.len(),
        written.len(),
        "an object is lost between two files"
    );
    for (before, after) in written.iter().zip(&moved) {
        assert_eq!(*after, in_shop(before), "{command}");
    }
    let told = serde_json::to_string(&moved).unwrap();
    assert!(
        !told.contains("--namespace"),
        "its own is the pod's: {told}"
    );
}

/// The objects of the files that a command names.
fn cluster_files(command: &str) -> Vec<Value> {
    let files = command.split(' ').filter(|word| word.ends_with(".yaml"));
    files
        .flat_map(|file| documents(&Path::new("manifests/cluster").join(file)))
        .collect()
}

/// An object whose namespace, and whose accounts' namespace, is another.
fn in_shop(object: &Value) -> Value {
    let mut object = object.clone();
    let subjects = object["subjects"].as_array().map_or(0, Vec::len);
    let subjects = (0..subjects).map(|index| format!("/subjects/{index}/namespace"));
    for pointer in subjects.chain(["/metadata/namespace".to_owned()]) {
        if let Some(space) = object.pointer_mut(&pointer)
            && *space == "lastwatch"
        {
            *space = "shop".into();
        }
    }
    object
}
