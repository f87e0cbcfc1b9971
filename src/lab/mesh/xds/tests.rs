use super::*;
use crate::lab::mesh::settings::{AccessLog, Retries, Settings};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn service() -> Arc<Value> {
    Arc::new(json!({
        "metadata": {"name": "demo", "namespace": "default"},
        "spec": {
            "clusterIP": "10.96.0.10",
            "selector": {"app": "demo"},
            "ports": [
                {"name": "http", "port": 80, "targetPort": "web"},
                {"name": "tcp-db", "port": 5432},
            ],
        },
    }))
}

fn pod() -> Value {
    json!({
        "metadata": {"namespace": "default", "labels": {"app": "demo"}},
        "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]},
    })
}

fn slice() -> Arc<Value> {
    let endpoint =
        |ip: &str, ready: bool| json!({"addresses": [ip], "conditions": {"ready": ready}});
    Arc::new(json!({
        "metadata": {
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "demo"},
        },
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [endpoint("10.244.0.3", true), endpoint("10.244.1.4", false)],
    }))
}

#[test]
fn only_ready_endpoints_are_pushed() {
    let services = mesh_services(&[service()], &[slice()]);
    let ports: Vec<_> = services.iter().map(|one| (one.port, one.http)).collect();
    assert_eq!(ports, [(80, true), (5432, false)]);
    let pushed = endpoints(&services[0]);
    let listed = &pushed["resources"][0]["endpoints"][0]["lb_endpoints"];
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(
        listed[0]["endpoint"]["address"]["socket_address"],
        json!({"address": "10.244.0.3", "port_value": 8080})
    );
    assert_eq!(
        services[0].cluster(),
        "outbound|80||demo.default.svc.cluster.local"
    );
}

#[test]
fn the_addresses_of_a_service_are_those_of_its_pushed_endpoints() {
    let services = mesh_services(&[service()], &[slice()]);
    assert_eq!(services[0].addresses(), ["10.244.0.3:8080"]);
    assert!(services[1].addresses().is_empty());
}

#[test]
fn a_pod_is_reached_on_the_ports_that_its_services_target() {
    let own: Vec<_> = inbound(&pod(), &[service()]).into_iter().collect();
    let ports: Vec<_> = own.iter().map(|one| (one.port, one.http)).collect();
    assert_eq!(ports, [(5432, false), (8080, true)]);
}

/// What an Envoy of this machine says of every kind of configuration. Without one there is nothing
/// to ask; `scripts/test` fetches it.
#[test]
fn envoy_accepts_what_istiod_writes() {
    let Ok(envoy) = crate::lab::mesh::find_envoy(None) else {
        return;
    };
    let variants = [
        Settings::default(),
        Settings {
            access_log: AccessLog::Json,
            retries: Retries::Before124,
            idle_timeout: Some(std::time::Duration::from_millis(1_500)),
            consecutive_5xx: Some(5),
            ..Settings::default()
        },
        Settings {
            access_log: AccessLog::Custom(
                "%START_TIME% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n".to_owned(),
            ),
            retries: Retries::None,
            inbound_retry: false,
            ..Settings::default()
        },
    ];
    for settings in variants {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let services = mesh_services(&[service()], &[slice()]);
        let own = inbound(&pod(), &[service()]);
        let write = |name: &str, value: &Value| {
            std::fs::write(path.join(name), value.to_string()).unwrap();
        };
        for one in &services {
            write(&one.file(), &endpoints(one));
        }
        let cds = clusters(&services, &own, &settings, path);
        let truth = TruthLog {
            path: path.join("truth.jsonl"),
            pod: "demo-1".to_owned(),
            uid: "u".to_owned(),
        };
        let lds = listeners(&services, &own, &settings, &truth);
        // `--mode validate` does not read the files of discovery: they are checked as static ones.
        let mut whole = bootstrap(
            "sidecar~10.244.0.3~demo-1.default~x",
            "demo.default",
            path,
            "",
        );
        write("cds.json", &cds);
        write("lds.json", &lds);
        write("envoy-rev.json", &whole);
        check(&envoy, &path.join("envoy-rev.json"));
        whole["static_resources"]["clusters"] = plain(&cds);
        whole["static_resources"]["listeners"] = plain(&lds);
        whole["dynamic_resources"] = json!({});
        write("whole.json", &whole);
        check(&envoy, &path.join("whole.json"));
    }
}

fn plain(resources: &Value) -> Value {
    let mut list = resources["resources"].clone();
    for resource in list.as_array_mut().unwrap() {
        resource.as_object_mut().unwrap().remove("@type");
    }
    list
}

fn check(envoy: &Path, config: &Path) {
    let output = Command::new(envoy)
        .args(["--mode", "validate", "-l", "error", "-c"])
        .arg(config)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
