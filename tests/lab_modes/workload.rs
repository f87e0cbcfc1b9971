//! The recorded workloads as the lab runs them: as they were applied, but with its own test app.

use serde_json::{Value, json};

/// How often the recorded app called its peer.
const NOTIFY_EVERY: &str = "NOTIFY_EVERY_MS";

/// The Service that apps notify in their shutdown, its Deployment, and one Service for the pods of
/// all modes: each Service costs each Envoy an inotify instance, of which a user has few.
pub(super) fn services() -> Vec<Value> {
    let pod = json!({
        "metadata": {"labels": {"app": "peer", "part-of": "peer"}},
        "spec": {"containers": [{"name": "app", "image": "lastwatch/lab-app"}]},
    });
    vec![
        service("peer"),
        service("modes"),
        deployment_of("peer", pod),
    ]
}

/// One replica of a recorded Deployment.
pub(super) fn deployment(mode: &str, recorded: &Value) -> Value {
    deployment_of(mode, template(mode, recorded))
}

/// A recorded Job.
pub(super) fn job(mode: &str, recorded: &Value) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": mode, "namespace": "default"},
        "spec": {"backoffLimit": 0, "template": template(mode, recorded)},
    })
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"part-of": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    })
}

fn deployment_of(name: &str, template: Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    })
}

/// The recorded pod template; the recorded app wrote its truth to a folder of the machine, and
/// found others by aliases.
fn template(mode: &str, recorded: &Value) -> Value {
    let recorded = &recorded["spec"]["template"];
    let mut spec = recorded["spec"].clone();
    let own = spec.as_object_mut().expect("a pod's spec");
    for field in ["volumes", "hostAliases"] {
        own.remove(field);
    }
    for container in own["containers"].as_array_mut().expect("containers") {
        *container = as_lab_app(container);
    }
    let annotations = recorded["metadata"]["annotations"].clone();
    let labels = json!({"app": mode, "part-of": "modes", "sidecar.istio.io/inject": "true"});
    json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})
}

/// The recorded test app in the words of the lab's.
fn as_lab_app(recorded: &Value) -> Value {
    let mut container = recorded.clone();
    let own = container.as_object_mut().expect("a container");
    own.remove("volumeMounts");
    own.insert("image".to_owned(), json!("lastwatch/lab-app"));
    if let Some(command) = own.get_mut("command").and_then(Value::as_array_mut) {
        for word in command {
            let text = word
                .as_str()
                .expect("a word")
                .replace("app;", "lastwatch lab app;");
            *word = json!(text);
        }
    }
    let recorded = Environment(recorded);
    if let Some(seconds) = recorded.get("RUN_S") {
        own.insert(
            "command".to_owned(),
            work(seconds, recorded.get("QUIT_URL")),
        );
        own.remove("env");
        return container;
    }
    let mut env = Vec::new();
    let mut set = |name: &str, value: String| env.push(json!({"name": name, "value": value}));
    let cleanup = recorded.get("CLEANUP_S");
    match (recorded.get("ON_TERM"), cleanup) {
        (Some("serve"), Some(seconds)) => set("SERVE_ON", format!("{seconds}s")),
        (way, seconds) => {
            if let Some(way) = way {
                set("ON_TERM", way.to_owned());
            }
            if let Some(seconds) = seconds {
                set("CLEANUP", format!("{seconds}s"));
            }
        }
    }
    if let (Some(url), Some(seconds)) = (recorded.get("NOTIFY_URL"), cleanup) {
        let every: u32 = recorded
            .get(NOTIFY_EVERY)
            .expect("a pace")
            .parse()
            .expect("a number");
        let seconds: u32 = seconds.parse().expect("a number");
        set("NOTIFY_URL", url.to_owned());
        set("NOTIFY_COUNT", (seconds * 1000 / every).to_string());
        set("NOTIFY_OVER", format!("{seconds}s"));
    }
    own.insert("env".to_owned(), json!(env));
    container
}

/// The work of a Job, which asks its sidecar to quit when it is done.
fn work(seconds: &str, quit: Option<&str>) -> Value {
    let Some(url) = quit else {
        return json!(["sleep", seconds]);
    };
    assert_eq!(url, "http://127.0.0.1:15020/quitquitquit");
    let script = format!(
        "sleep {seconds}
         exec 3<>/dev/tcp/127.0.0.1/15020
         printf 'POST /quitquitquit HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 0\\r\\n\\r\\n' >&3
         read -r answer <&3"
    );
    json!(["bash", "-c", script])
}

/// The environment of a recorded container.
struct Environment<'a>(&'a Value);

impl<'a> Environment<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let entries = self.0["env"].as_array()?;
        let found = entries.iter().find(|entry| entry["name"] == name)?;
        found["value"].as_str()
    }
}
