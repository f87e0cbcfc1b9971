//! With which program, arguments and environment does a container start?

use crate::lab::store::object::{items, text};
use crate::lab::truth::VARIABLES;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;

/// The images that are this program: its test app, and the program itself.
const LAB_APP: &str = "lastwatch/lab-app";
const PROGRAM: &str = "lastwatch/lastwatch";

/// What a container's environment can refer to.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) pod: &'a Value,
    pub(crate) pod_ip: &'a str,
    pub(crate) host_ip: &'a str,
    /// The folder in which `lastwatch` is.
    pub(crate) bin: &'a Path,
    /// Nanoseconds by which the node's clock is ahead.
    pub(crate) skew: i128,
    /// Where the API server is.
    pub(crate) api: SocketAddr,
    /// Where the lab's truth is.
    pub(crate) truth: &'a Path,
    /// Pods share a network: each listens on its own address only.
    pub(crate) own_address_only: bool,
}

/// What an image of this program's own starts.
fn entry(image: &str) -> Option<&'static [&'static str]> {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let name = image.split_once(':').map_or(image, |(name, _)| name);
    match name {
        LAB_APP => Some(&["lastwatch", "lab", "app"]),
        PROGRAM => Some(&["lastwatch"]),
        _ => None,
    }
}

/// Program and arguments, or why there are none.
pub(crate) fn argv(container: &Value, env: &[(String, String)]) -> Result<Vec<String>, String> {
    let strings = |field: &str| -> Vec<String> {
        items(&container[field])
            .iter()
            .map(|item| expand(text(item), env))
            .collect()
    };
    let mut argv = strings("command");
    if argv.is_empty() {
        let image = text(&container["image"]);
        let entry = entry(image).ok_or_else(|| {
            format!(
                "the lab has no image `{image}`: set `command` to a program of this machine, or use `{LAB_APP}`"
            )
        })?;
        argv = entry.iter().map(|word| (*word).to_owned()).collect();
    }
    argv.extend(strings("args"));
    Ok(argv)
}

/// The environment, or what it refers to in vain. `config_map` gives a key of a ConfigMap.
pub(crate) fn environment(
    container: &Value,
    facts: &Facts<'_>,
    config_map: impl Fn(&str, &str) -> Option<String>,
) -> Result<Vec<(String, String)>, String> {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
    let meta = &facts.pod["metadata"];
    let (pod, uid) = (
        text(&meta["name"]).to_owned(),
        text(&meta["uid"]).to_owned(),
    );
    let [lab_truth, lab_pod, lab_uid] = VARIABLES;
    let api_port = facts.api.port().to_string();
    let mut own = vec![
        ("PATH", format!("{}:{path}", facts.bin.display())),
        ("HOSTNAME", pod.clone()),
        ("LAB_CLOCK_OFFSET_NS", facts.skew.to_string()),
        (lab_truth, facts.truth.display().to_string()),
        (lab_pod, pod),
        (lab_uid, uid),
        ("KUBERNETES_SERVICE_HOST", facts.api.ip().to_string()),
        ("KUBERNETES_SERVICE_PORT", api_port.clone()),
        ("KUBERNETES_SERVICE_PORT_HTTPS", api_port),
    ];
    if facts.own_address_only {
        own.push(("LAB_BIND", facts.pod_ip.to_owned()));
    }
    let own = own.into_iter();
    let mut env: Vec<_> = own.map(|(name, value)| (name.to_owned(), value)).collect();
    for entry in items(&container["env"]) {
        let name = text(&entry["name"]).to_owned();
        let from = &entry["valueFrom"];
        let value = if from.is_null() {
            Some(expand(text(&entry["value"]), &env))
        } else if from["fieldRef"].is_object() {
            field(text(&from["fieldRef"]["fieldPath"]), facts)
        } else {
            let key = &from["configMapKeyRef"];
            config_map(text(&key["name"]), text(&key["key"]))
        };
        match value {
            Some(value) => env.push((name, value)),
            None => return Err(format!("`env` {name}: the lab cannot resolve {from}")),
        }
    }
    Ok(env)
}

/// The downward API.
fn field(path: &str, facts: &Facts<'_>) -> Option<String> {
    let (meta, spec) = (&facts.pod["metadata"], &facts.pod["spec"]);
    let found = match path {
        "metadata.name" => text(&meta["name"]),
        "metadata.namespace" => text(&meta["namespace"]),
        "metadata.uid" => text(&meta["uid"]),
        "spec.nodeName" => text(&spec["nodeName"]),
        "spec.serviceAccountName" => text(&spec["serviceAccountName"]),
        "status.podIP" | "status.podIPs" => facts.pod_ip,
        "status.hostIP" | "status.hostIPs" => facts.host_ip,
        _ => {
            let (map, key) = path.strip_suffix("']")?.split_once("['")?;
            let map = map.strip_prefix("metadata.")?;
            text(&meta[map][key])
        }
    };
    Some(found.to_owned())
}

/// `$(NAME)` of what is set before, `$$` for a dollar sign; others stay as they are.
fn expand(value: &str, env: &[(String, String)]) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')'))
            && let Some((_, value)) = env.iter().rev().find(|(known, _)| known == name)
        {
            expanded.push_str(value);
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(container: &Value) -> Result<Vec<(String, String)>, String> {
        let pod = json!({"metadata": {"name": "demo-1", "namespace": "default", "labels": {"app": "demo"}}, "spec": {"nodeName": "n1"}});
        let facts = Facts {
            pod: &pod,
            pod_ip: "10.244.0.3",
            host_ip: "172.18.0.2",
            bin: Path::new("/lab/bin"),
            skew: 5,
            truth: Path::new("/lab/truth.jsonl"),
            api: "172.18.0.2:6443".parse().unwrap(),
            own_address_only: false,
        };
        environment(container, &facts, |name, key| {
            (name == "settings" && key == "mode").then(|| "fast".to_owned())
        })
    }

    #[test]
    fn the_downward_api_config_maps_and_earlier_variables_are_resolved() {
        let container = json!({"env": [
            {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "B", "value": "$(A)-$$(A)-$(UNKNOWN)"},
            {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}}
        ]});
        let env = read(&container).unwrap();
        let of = |name: &str| {
            let found = env.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).unwrap()
        };
        assert_eq!(of("A"), "demo-1");
        assert_eq!(of("B"), "demo-1-$(A)-$(UNKNOWN)");
        assert_eq!(of("C"), "demo");
        assert_eq!(of("D"), "fast");
        assert!(of("PATH").starts_with("/lab/bin:"));
        assert_eq!(of("KUBERNETES_SERVICE_HOST"), "172.18.0.2");
        assert_eq!(of("KUBERNETES_SERVICE_PORT"), "6443");
    }

    #[test]
    fn what_cannot_be_resolved_is_named() {
        let container = json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]});
        assert!(read(&container).unwrap_err().contains("`env` X"));
    }

    #[test]
    fn only_images_of_this_program_need_no_command() {
        let argv =
            |image: &str, command: &[&str]| argv(&json!({"image": image, "command": command}), &[]);
        let app = ["lastwatch", "lab", "app"].map(str::to_owned);
        for image in ["lastwatch/lab-app", "docker.io/lastwatch/lab-app:v2"] {
            assert_eq!(argv(image, &[]).unwrap(), app);
        }
        assert_eq!(
            argv("lastwatch/lastwatch:0.1.0", &[]).unwrap(),
            ["lastwatch"]
        );
        assert_eq!(argv("nginx", &["sleep", "9"]).unwrap(), ["sleep", "9"]);
        assert!(
            argv("lastwatch/lab-application", &[])
                .unwrap_err()
                .contains("no image")
        );
    }
}
