use super::*;

fn injector() -> Injector {
    Injector {
        settings: Settings::default(),
        envoy: "/opt/envoy".into(),
        dir: "/lab/mesh".into(),
    }
}

fn pod() -> Value {
    json!({
        "metadata": {"labels": {"app": "demo", "sidecar.istio.io/inject": "true"}},
        "spec": {"containers": [{
            "name": "app",
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1},
        }]},
    })
}

fn injected(mut pod: Value, space: Option<Value>) -> Value {
    injector().inject(&mut pod, space.as_ref());
    pod
}

#[test]
fn a_labelled_pod_gets_a_redirect_and_a_classic_sidecar_behind_its_app() {
    let pod = injected(pod(), None);
    assert!(is_injected(&pod));
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "istio-init");
    assert_eq!(pod["spec"]["containers"][0]["name"], "app");
    assert_eq!(pod["spec"]["containers"][1]["name"], "istio-proxy");
    let probe = &pod["spec"]["containers"][0]["readinessProbe"];
    assert_eq!(
        probe["httpGet"],
        json!({"path": "/app-health/app/readyz", "port": 15020, "scheme": "HTTP"})
    );
    let env = items(&pod["spec"]["containers"][1]["env"]);
    let of = |name: &str| {
        let found = env.iter().find(|entry| entry["name"] == name).unwrap();
        text(&found["value"]).to_owned()
    };
    assert_eq!(
        of("ISTIO_KUBE_APP_PROBERS"),
        r#"{"/app-health/app/readyz":{"httpGet":{"path":"/healthz","port":8080},"timeoutSeconds":1}}"#
    );
    assert_eq!(of("LAB_ENVOY"), "/opt/envoy");
    let again = injected(pod.clone(), None);
    assert_eq!(again, pod, "once is enough");
}

#[test]
fn a_native_sidecar_is_an_init_container_that_drains_before_it_stops() {
    let mut wanted = pod();
    wanted["metadata"]["annotations"] = json!({
        "sidecar.istio.io/nativeSidecar": "true",
        "proxy.istio.io/config": "proxyMetadata:\n  MINIMUM_DRAIN_DURATION: 25s\n",
    });
    let pod = injected(wanted, None);
    let sidecar = &pod["spec"]["initContainers"][1];
    assert_eq!(sidecar["name"], "istio-proxy");
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(
        sidecar["lifecycle"]["preStop"]["exec"]["command"],
        json!(["lastwatch", "lab", "agent", "request", "POST", "drain"])
    );
    assert_eq!(items(&pod["spec"]["containers"]).len(), 1);
    let env = items(&sidecar["env"]);
    assert!(env.contains(&json!({"name": "MINIMUM_DRAIN_DURATION", "value": "25s"})));
}

#[test]
fn the_pod_decides_before_its_namespace_does() {
    let space = || Some(json!({"metadata": {"labels": {"istio-injection": "enabled"}}}));
    let mut plain = pod();
    plain["metadata"]["labels"] = json!({"app": "demo"});
    assert!(!is_injected(&injected(plain.clone(), None)));
    assert!(is_injected(&injected(plain.clone(), space())));
    plain["metadata"]["labels"]["sidecar.istio.io/inject"] = json!("false");
    assert!(!is_injected(&injected(plain, space())));
}

#[test]
fn a_sidecar_for_which_the_app_waits_is_the_first_container() {
    let mut wanted = pod();
    wanted["spec"]["initContainers"] = json!([{"name": "migrate"}]);
    wanted["metadata"]["annotations"] =
        json!({"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"});
    let names = |pod: &Value, field: &str| -> Vec<String> {
        let containers = items(&pod["spec"][field]).iter();
        containers
            .map(|own| text(&own["name"]).to_owned())
            .collect()
    };
    let held = injected(wanted.clone(), None);
    assert_eq!(names(&held, "containers"), ["istio-proxy", "app"]);
    assert_eq!(names(&held, "initContainers"), ["migrate", "istio-init"]);
    let first = &held["spec"]["containers"][0];
    assert_eq!(
        first["lifecycle"]["postStart"]["exec"]["command"],
        json!(["lastwatch", "lab", "agent", "wait"])
    );
    let default = "kubectl.kubernetes.io/default-container";
    assert_eq!(held["metadata"]["annotations"][default], "app");

    wanted["metadata"]["annotations"]["sidecar.istio.io/nativeSidecar"] = json!("true");
    let native = injected(wanted, None);
    let order = ["istio-init", "istio-proxy", "migrate"];
    assert_eq!(names(&native, "initContainers"), order);
    let hooks = &native["spec"]["initContainers"][1]["lifecycle"];
    assert!(
        hooks["postStart"].is_null(),
        "a native one is waited for anyway"
    );
}

#[test]
fn hooks_over_http_go_to_the_agent_as_probes_do() {
    let mut wanted = pod();
    wanted["spec"]["containers"][0]["lifecycle"] = json!({
        "preStop": {"httpGet": {"path": "/drain", "port": "http"}},
        "postStart": {"exec": {"command": ["true"]}},
    });
    let pod = injected(wanted, None);
    let hooks = &pod["spec"]["containers"][0]["lifecycle"];
    assert_eq!(
        hooks["preStop"]["httpGet"],
        json!({"path": "/app-lifecycle/app/prestopz", "port": 15020, "scheme": "HTTP"})
    );
    assert_eq!(hooks["postStart"]["exec"]["command"], json!(["true"]));
    let env = items(&pod["spec"]["containers"][1]["env"]);
    let probers = env
        .iter()
        .find(|own| own["name"] == "ISTIO_KUBE_APP_PROBERS");
    let asked = text(&probers.unwrap()["value"]);
    assert!(
        asked.contains(r#""/app-lifecycle/app/prestopz":{"httpGet":{"path":"/drain","port":8080}"#)
    );
}

#[test]
fn manifests_that_want_sidecars_are_found_however_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = |text: &str| {
        let path = dir.path().join("demo.yaml");
        std::fs::write(&path, text).unwrap();
        is_wanted(&[path])
    };
    assert!(wanted(
        "kind: Namespace\nmetadata: {labels: {istio-injection: enabled}}\n"
    ));
    assert!(wanted(
        "a: 1\n---\nspec: {template: {metadata: {labels: {sidecar.istio.io/inject: 'true'}}}}\n"
    ));
    assert!(wanted(
        r#"{"metadata": {"labels": {"sidecar.istio.io/inject": "true"}}}"#
    ));
    assert!(!wanted(
        "# sidecar.istio.io/inject: \"true\"\nspec: {x: [y, 'sidecar.istio.io/inject: true']}\n"
    ));
    assert!(!wanted(
        "metadata: {labels: {sidecar.istio.io/inject: 'false'}}"
    ));
}
