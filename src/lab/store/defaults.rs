//! What does an API server fill in where a manifest is silent?
//!
//! Filling is idempotent, since it is done on every write: what it sets once it never changes.

use super::object;
use serde_json::{Map, Value, json};

/// Fills the defaults of an object in.
pub(super) fn fill(resource: &str, object: &mut Value) {
    match resource {
        "namespaces" => namespace(object),
        "pods" => pod(object),
        "services" => service(object),
        "deployments" => deployment(object),
        "replicasets" => replica_set(object),
        "jobs" => job(object),
        "endpointslices" => set(object, "addressType", json!("IPv4")),
        "events" => set(object, "type", json!("Normal")),
        "poddisruptionbudgets" => set(
            object,
            "status",
            json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}),
        ),
        "nodes" => set(object, "spec", json!({})),
        "rolebindings" | "clusterrolebindings" => binding(object),
        _ => {}
    }
}

/// Sets a key that is absent or null.
fn set(value: &mut Value, key: &str, default: Value) {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if value[key].is_null() {
        value[key] = default;
    }
}

fn each(value: &mut Value, mut visit: impl FnMut(&mut Value)) {
    if let Some(items) = value.as_array_mut() {
        items.iter_mut().for_each(&mut visit);
    }
}

fn namespace(object: &mut Value) {
    let name = object::name(object).to_owned();
    set(&mut object["metadata"], "labels", json!({}));
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
    if !object::is_terminating(object) {
        set(object, "spec", json!({"finalizers": ["kubernetes"]}));
        set(object, "status", json!({"phase": "Active"}));
    }
}

fn pod(object: &mut Value) {
    pod_spec(&mut object["spec"]);
    let spec = &mut object["spec"];
    set(spec, "priority", json!(0));
    set(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    set(spec, "enableServiceLinks", json!(true));
    set(spec, "serviceAccountName", json!("default"));
    spec["serviceAccount"] = spec["serviceAccountName"].clone();
    set(
        spec,
        "tolerations",
        json!([
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        ]),
    );
    prune(spec);
    set(object, "status", json!({"phase": "Pending"}));
    let class = quality(&object["spec"]);
    set(&mut object["status"], "qosClass", json!(class));
}

/// The quality-of-service class: best effort without any requests or limits, guaranteed when the
/// limits of all containers equal their requests, burstable between.
fn quality(spec: &Value) -> &'static str {
    let containers = object::items(&spec["containers"]);
    let part =
        |container: &Value, part: &str, name: &str| container["resources"][part][name].clone();
    let wants = |container: &Value| {
        ["cpu", "memory"].iter().any(|name| {
            !part(container, "requests", name).is_null()
                || !part(container, "limits", name).is_null()
        })
    };
    let full = |container: &Value| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = part(container, "limits", name);
            let request = part(container, "requests", name);
            !limit.is_null() && (request.is_null() || request == limit)
        })
    };
    if containers.iter().all(full) && !containers.is_empty() {
        "Guaranteed"
    } else if containers.iter().any(wants) {
        "Burstable"
    } else {
        "BestEffort"
    }
}

/// The defaults of a pod's spec, in a pod and in a template alike.
fn pod_spec(spec: &mut Value) {
    set(spec, "restartPolicy", json!("Always"));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", json!("default-scheduler"));
    if !object::text(&spec["serviceAccountName"]).is_empty() {
        spec["serviceAccount"] = spec["serviceAccountName"].clone();
    }
    each(&mut spec["containers"], container);
    if spec["initContainers"].is_array() {
        each(&mut spec["initContainers"], container);
    }
}

fn container(container: &mut Value) {
    let image = object::text(&container["image"]).to_owned();
    let latest =
        !image.rsplit('/').next().unwrap_or_default().contains(':') || image.ends_with(":latest");
    set(container, "resources", json!({}));
    set(
        container,
        "terminationMessagePath",
        json!("/dev/termination-log"),
    );
    set(container, "terminationMessagePolicy", json!("File"));
    let policy = if latest && !image.contains('@') {
        "Always"
    } else {
        "IfNotPresent"
    };
    set(container, "imagePullPolicy", json!(policy));
    if container["ports"].is_array() {
        each(&mut container["ports"], |port| {
            set(port, "protocol", json!("TCP"))
        });
    }
    for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
        if container[probe].is_object() {
            probe_defaults(&mut container[probe]);
        }
    }
    if container["lifecycle"].is_object() {
        for hook in ["postStart", "preStop"] {
            if container["lifecycle"][hook]["httpGet"].is_object() {
                http_get(&mut container["lifecycle"][hook]["httpGet"]);
            }
        }
    }
    // Indexing above may have put nulls in; they are no part of the object.
    prune(container);
}

fn http_get(get: &mut Value) {
    set(get, "path", json!("/"));
    set(get, "scheme", json!("HTTP"));
}

fn probe_defaults(probe: &mut Value) {
    set(probe, "timeoutSeconds", json!(1));
    set(probe, "periodSeconds", json!(10));
    set(probe, "successThreshold", json!(1));
    set(probe, "failureThreshold", json!(3));
    if probe["httpGet"].is_object() {
        http_get(&mut probe["httpGet"]);
    }
    prune(probe);
}

/// Drops the null members of an object.
fn prune(value: &mut Value) {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, member| !member.is_null());
    }
}

fn service(object: &mut Value) {
    let spec = &mut object["spec"];
    set(spec, "type", json!("ClusterIP"));
    set(spec, "sessionAffinity", json!("None"));
    if spec["type"] != "ExternalName" {
        set(spec, "ipFamilies", json!(["IPv4"]));
        set(spec, "ipFamilyPolicy", json!("SingleStack"));
        set(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    each(&mut spec["ports"], |port| {
        set(port, "protocol", json!("TCP"));
        let own = port["port"].clone();
        set(port, "targetPort", own);
    });
    prune(spec);
    set(object, "status", json!({"loadBalancer": {}}));
}

fn template(spec: &mut Value) {
    pod_spec(&mut spec["template"]["spec"]);
    prune(&mut spec["template"]["spec"]);
}

fn deployment(object: &mut Value) {
    let spec = &mut object["spec"];
    set(spec, "replicas", json!(1));
    set(spec, "strategy", json!({"type": "RollingUpdate"}));
    let strategy = &mut spec["strategy"];
    set(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        set(strategy, "rollingUpdate", json!({}));
        let rolling = &mut strategy["rollingUpdate"];
        set(rolling, "maxUnavailable", json!("25%"));
        set(rolling, "maxSurge", json!("25%"));
    }
    set(spec, "revisionHistoryLimit", json!(10));
    set(spec, "progressDeadlineSeconds", json!(600));
    template(spec);
    set(object, "status", json!({}));
}

fn replica_set(object: &mut Value) {
    let spec = &mut object["spec"];
    set(spec, "replicas", json!(1));
    template(spec);
    set(object, "status", json!({"replicas": 0}));
}

fn job(object: &mut Value) {
    let uid = object::uid(object).to_owned();
    let name = object::name(object).to_owned();
    let spec = &mut object["spec"];
    set(spec, "completions", json!(1));
    set(spec, "parallelism", json!(1));
    set(spec, "backoffLimit", json!(6));
    set(spec, "completionMode", json!("NonIndexed"));
    set(spec, "suspend", json!(false));
    set(spec, "manualSelector", json!(false));
    set(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
    set(
        spec,
        "selector",
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
    );
    set(&mut spec["template"], "metadata", json!({}));
    set(&mut spec["template"]["metadata"], "labels", json!({}));
    let labels = &mut spec["template"]["metadata"]["labels"];
    for prefix in ["", "batch.kubernetes.io/"] {
        set(labels, &format!("{prefix}controller-uid"), json!(uid));
        set(labels, &format!("{prefix}job-name"), json!(name));
    }
    template(spec);
    set(object, "status", json!({}));
}

fn binding(object: &mut Value) {
    set(
        &mut object["roleRef"],
        "apiGroup",
        json!("rbac.authorization.k8s.io"),
    );
    each(&mut object["subjects"], |subject| {
        if subject["kind"] != "ServiceAccount" {
            set(subject, "apiGroup", json!("rbac.authorization.k8s.io"));
        }
        prune(subject);
    });
    prune(object);
}
