//! Which groups, kinds and versions does the API name, and what does its description say?

use super::path::{EVENTS_GROUP, QUESTIONS};
use crate::lab::store::{RESOURCES, Resource};
use serde_json::{Map, Value, json};

/// The release whose behaviour the lab follows.
const VERSION: (&str, &str, &str) = ("1", "33", "v1.33.0");

/// The page behind a path, if there is one.
pub(super) fn page(path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["version"] => Some(version()),
        ["api"] => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        })),
        ["apis"] => Some(json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": groups().into_iter().map(group).collect::<Vec<_>>(),
        })),
        ["apis", name] => groups().contains(name).then(|| {
            let mut group = group(name);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            group
        }),
        ["api", "v1"] => Some(resources("")),
        ["apis", name, "v1"] => groups().contains(name).then(|| resources(name)),
        ["openapi", "v3"] => Some(descriptions()),
        ["openapi", "v3", "api", "v1"] => Some(description("")),
        ["openapi", "v3", "apis", name, "v1"] => groups().contains(name).then(|| description(name)),
        _ => None,
    }
}

fn version() -> Value {
    let (major, minor, full) = VERSION;
    json!({
        "major": major, "minor": minor, "gitVersion": full, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
    })
}

/// All named groups, in order of appearance.
fn groups() -> Vec<&'static str> {
    let stored = RESOURCES.iter().map(|resource| resource.group);
    let asked = QUESTIONS.iter().map(|(group, _, _)| *group);
    let mut groups = Vec::new();
    for group in stored.chain(asked).chain([EVENTS_GROUP]) {
        if !group.is_empty() && !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn in_group(group: &str) -> impl Iterator<Item = &'static Resource> {
    RESOURCES.iter().filter(move |resource| {
        resource.group == group || (group == EVENTS_GROUP && resource.plural == "events")
    })
}

fn group_version(group: &str) -> String {
    if group.is_empty() {
        "v1".to_owned()
    } else {
        format!("{group}/v1")
    }
}

fn resources(group: &str) -> Value {
    let mut list = Vec::new();
    for resource in in_group(group) {
        let mut own = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        });
        if !resource.short.is_empty() {
            own["shortNames"] = json!(resource.short);
        }
        if matches!(
            resource.plural,
            "pods" | "services" | "deployments" | "replicasets" | "jobs"
        ) {
            own["categories"] = json!(["all"]);
        }
        list.push(own);
        for sub in resource.subresources {
            list.push(subresource(resource, sub));
        }
    }
    for (_, plural, kind) in QUESTIONS.iter().filter(|(own, _, _)| *own == group) {
        list.push(json!({"name": plural, "singularName": "", "namespaced": false, "kind": kind, "verbs": ["create"]}));
    }
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version(group),
        "resources": list,
    })
}

fn subresource(resource: &Resource, sub: &str) -> Value {
    let mut own = json!({
        "name": format!("{}/{sub}", resource.plural),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": ["get", "patch", "update"],
    });
    let foreign = match sub {
        "scale" => Some(("autoscaling", "Scale")),
        "eviction" => Some(("policy", "Eviction")),
        "token" => Some(("authentication.k8s.io", "TokenRequest")),
        _ => None,
    };
    if let Some((group, kind)) = foreign {
        own["kind"] = json!(kind);
        own["version"] = json!("v1");
        own["group"] = json!(group);
    }
    match sub {
        "log" => own["verbs"] = json!(["get"]),
        "eviction" | "token" => own["verbs"] = json!(["create"]),
        _ => {}
    }
    own
}

fn descriptions() -> Value {
    let mut paths = Map::new();
    let mut add = |path: String| {
        let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
        paths.insert(path, url);
    };
    add("api/v1".to_owned());
    for group in groups() {
        add(format!("apis/{group}/v1"));
    }
    json!({"paths": paths})
}

/// An OpenAPI document that says what kubectl looks for: which kinds can be patched, and that the
/// server checks fields itself and knows dry runs.
fn description(group: &str) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let parameters = json!([
        parameter("dryRun"),
        parameter("fieldManager"),
        parameter("fieldValidation")
    ]);
    let root = if group.is_empty() {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{group}/v1")
    };
    let mut paths = Map::new();
    for resource in in_group(group) {
        let kind = json!({"group": group, "version": "v1", "kind": resource.kind});
        let act = |action: &str| {
            json!({
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": kind,
                "parameters": parameters,
                "responses": {"200": {"description": "OK"}},
            })
        };
        let collection = if resource.namespaced {
            format!("{root}/namespaces/{{namespace}}/{}", resource.plural)
        } else {
            format!("{root}/{}", resource.plural)
        };
        paths.insert(
            format!("{collection}/{{name}}"),
            json!({"patch": act("patch"), "put": act("put")}),
        );
        paths.insert(collection, json!({"post": act("post")}));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION.2},
        "paths": paths,
        "components": {"schemas": {}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_named_by_its_group() {
        for resource in RESOURCES {
            let path = if resource.group.is_empty() {
                "/api/v1".to_owned()
            } else {
                format!("/apis/{}/v1", resource.group)
            };
            let list = page(&path).unwrap();
            let names: Vec<_> = list["resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r["name"].clone())
                .collect();
            assert!(names.contains(&json!(resource.plural)), "{path}");
        }
        assert!(page("/apis/apps/v2").is_none());
        assert!(page("/apis/unheard/v1").is_none());
    }
}
