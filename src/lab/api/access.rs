//! Who asks, and may they?
//!
//! Users are told apart by bearer tokens. Rights are what Roles, ClusterRoles and their bindings in
//! the store give, as in a real cluster; the group `system:masters` may do everything.

use super::path::{Address, Verb};
use crate::lab::store::{Status, Store, object};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// One who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, for a service account `system:serviceaccount:<namespace>:<name>`.
    pub name: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl User {
    /// The cluster's administrator.
    pub fn admin() -> Self {
        Self {
            name: "kubernetes-admin".to_owned(),
            groups: vec!["system:masters".to_owned(), AUTHENTICATED.to_owned()],
        }
    }

    /// A person without any right of its own.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            groups: vec![AUTHENTICATED.to_owned()],
        }
    }

    /// The identity of pods that run under a service account.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED.to_owned(),
            ],
        }
    }

    fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }
}

const AUTHENTICATED: &str = "system:authenticated";

/// The tokens that are valid.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<String, User>>);

impl Tokens {
    fn map<T>(&self, act: impl FnOnce(&mut HashMap<String, User>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new token of a user.
    pub(super) fn issue(&self, user: User) -> String {
        let token = format!("lab-{}", uuid::Uuid::new_v4().simple());
        self.map(|map| map.insert(token.clone(), user));
        token
    }

    /// Makes a token invalid.
    pub(super) fn revoke(&self, token: &str) {
        self.map(|map| map.remove(token));
    }

    /// The user of an `Authorization` header.
    pub(super) fn user(&self, header: Option<&str>) -> Result<User, Status> {
        let Some(header) = header else {
            // kubectl sends no token over plain HTTP: whoever reaches the lab is its administrator.
            return Ok(User::admin());
        };
        let token = header
            .strip_prefix("Bearer ")
            .ok_or_else(Status::unauthorized)?;
        self.map(|map| map.get(token.trim()).cloned())
            .ok_or_else(Status::unauthorized)
    }
}

/// One thing that somebody wants to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish<'a> {
    pub(super) verb: &'a str,
    pub(super) group: &'a str,
    /// The resource, with its subresource behind a slash.
    pub(super) resource: String,
    pub(super) namespace: Option<&'a str>,
    pub(super) name: Option<&'a str>,
}

impl<'a> Wish<'a> {
    pub(super) fn of(address: &'a Address) -> Self {
        let plural = address.resource.plural;
        Self {
            verb: address.verb.word(),
            group: &address.group,
            resource: match &address.subresource {
                Some(sub) => format!("{plural}/{sub}"),
                None => plural.to_owned(),
            },
            namespace: match (plural, address.verb) {
                // A Namespace object counts as inside itself.
                ("namespaces", _) => address.name.as_deref(),
                _ => address.namespace.as_deref(),
            },
            name: address.name.as_deref(),
        }
    }
}

/// Refuses what the user may not do, in the words of the API server.
pub(super) fn authorize(store: &Store, user: &User, address: &Address) -> Result<(), Status> {
    let wish = Wish::of(address);
    if may(store, user, &wish) {
        return Ok(());
    }
    let place = match (&address.namespace, address.resource.namespaced) {
        (Some(namespace), _) => format!(" in the namespace \"{namespace}\""),
        (None, _) => " at the cluster scope".to_owned(),
    };
    let qualified = address.resource.qualified();
    let subject = match &address.name {
        Some(name) if address.verb != Verb::Create || address.subresource.is_some() => {
            format!("{qualified} \"{name}\"")
        }
        _ => qualified,
    };
    let message = format!(
        "{subject} is forbidden: User \"{}\" cannot {} resource \"{}\" in API group \"{}\"{place}",
        user.name, wish.verb, wish.resource, wish.group
    );
    Err(Status::forbidden(
        address.resource.plural,
        address.name.as_deref().unwrap_or_default(),
        message,
    ))
}

/// Whether the rights in the store, or the user's groups, permit it.
pub(super) fn may(store: &Store, user: &User, wish: &Wish<'_>) -> bool {
    user.is_master()
        || rules(store, user, wish.namespace)
            .iter()
            .any(|rule| permits(rule, wish))
}

/// The rules that are in force for a user in a namespace.
pub(super) fn rules(store: &Store, user: &User, namespace: Option<&str>) -> Vec<Value> {
    let mut bindings = store.list("clusterrolebindings", None).1;
    if let Some(namespace) = namespace {
        bindings.extend(store.list("rolebindings", Some(namespace)).1);
    }
    bindings
        .iter()
        .filter(|binding| {
            object::items(&binding["subjects"])
                .iter()
                .any(|subject| is_subject(user, subject, object::namespace(binding)))
        })
        .filter_map(|binding| role(store, binding))
        .flat_map(|role| object::items(&role["rules"]).to_vec())
        .collect()
}

fn role(store: &Store, binding: &Value) -> Option<std::sync::Arc<Value>> {
    let name = object::text(&binding["roleRef"]["name"]);
    if binding["roleRef"]["kind"] == "ClusterRole" {
        store.get("clusterroles", None, name)
    } else {
        store.get("roles", Some(object::namespace(binding)), name)
    }
}

fn is_subject(user: &User, subject: &Value, binding_namespace: &str) -> bool {
    let name = object::text(&subject["name"]);
    match object::text(&subject["kind"]) {
        "User" => user.name == name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let namespace = subject["namespace"].as_str().unwrap_or(binding_namespace);
            user.name == User::service_account(namespace, name).name
        }
        _ => false,
    }
}

fn permits(rule: &Value, wish: &Wish<'_>) -> bool {
    let has = |field: &str, wanted: &str| {
        object::items(&rule[field])
            .iter()
            .any(|own| own == "*" || own == wanted)
    };
    let sub = wish
        .resource
        .split_once('/')
        .map(|(_, sub)| format!("*/{sub}"));
    let names = object::items(&rule["resourceNames"]);
    has("verbs", wish.verb)
        && has("apiGroups", wish.group)
        && (has("resources", &wish.resource) || sub.is_some_and(|sub| has("resources", &sub)))
        && (names.is_empty()
            || wish
                .name
                .is_some_and(|name| names.iter().any(|own| own == name)))
}

/// Answers a question about the asker's own rights or identity.
pub(super) fn answer(store: &Store, user: &User, plural: &str, mut question: Value) -> Value {
    match plural {
        "selfsubjectaccessreviews" => {
            let wanted = &question["spec"]["resourceAttributes"];
            let resource = object::text(&wanted["resource"]);
            let sub = object::text(&wanted["subresource"]);
            let some = |field: &'static str| wanted[field].as_str().filter(|text| !text.is_empty());
            let wish = Wish {
                verb: object::text(&wanted["verb"]),
                group: object::text(&wanted["group"]),
                resource: if sub.is_empty() {
                    resource.to_owned()
                } else {
                    format!("{resource}/{sub}")
                },
                namespace: some("namespace"),
                name: some("name"),
            };
            // What is no resource (discovery, health) is open to everybody.
            let allowed = wanted.is_null() || may(store, user, &wish);
            question["status"] = json!({"allowed": allowed});
        }
        "selfsubjectrulesreviews" => {
            let namespace = object::text(&question["spec"]["namespace"]).to_owned();
            let mut own = rules(store, user, Some(&namespace));
            if user.is_master() {
                own.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
            }
            question["status"] =
                json!({"resourceRules": own, "nonResourceRules": [], "incomplete": false});
        }
        _ => {
            question["status"] =
                json!({"userInfo": {"username": user.name, "groups": user.groups}});
        }
    }
    question
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish<'a>(verb: &'a str, resource: &str, name: Option<&'a str>) -> Wish<'a> {
        let (resource, group) = match resource.split_once('.') {
            Some((resource, group)) => (
                resource.to_owned(),
                if group == "apps" { "apps" } else { "" },
            ),
            None => (resource.to_owned(), ""),
        };
        Wish {
            verb,
            group,
            resource,
            namespace: Some("shop"),
            name,
        }
    }

    #[test]
    fn a_role_gives_its_verbs_to_its_subjects_in_its_namespace_and_nothing_else() {
        let store = Store::new();
        let role = json!({"metadata": {"name": "watcher", "namespace": "shop"}, "rules": [
            {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
            {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["demo"], "verbs": ["patch"]}
        ]});
        store.create("roles", role).unwrap();
        let binding = json!({"metadata": {"name": "watcher", "namespace": "shop"},
            "roleRef": {"kind": "Role", "name": "watcher"},
            "subjects": [{"kind": "ServiceAccount", "name": "harness"}, {"kind": "User", "name": "ann"}]});
        store.create("rolebindings", binding).unwrap();
        let account = User::service_account("shop", "harness");
        for (user, verb, resource, name, allowed) in [
            (&account, "list", "pods", None, true),
            (&account, "get", "pods/log", Some("p"), true),
            (&account, "delete", "pods", Some("p"), false),
            (&account, "get", "pods/eviction", Some("p"), false),
            (&account, "patch", "deployments.apps", Some("demo"), true),
            (&account, "patch", "deployments.apps", Some("other"), false),
            (&User::named("ann"), "list", "pods", None, true),
            (&User::named("bob"), "list", "pods", None, false),
            (&User::admin(), "delete", "nodes", None, true),
        ] {
            let wish = wish(verb, resource, name);
            assert_eq!(
                may(&store, user, &wish),
                allowed,
                "{} {verb} {resource}",
                user.name
            );
        }
        let elsewhere = Wish {
            namespace: Some("other"),
            ..wish("list", "pods", None)
        };
        assert!(!may(&store, &account, &elsewhere));
    }

    #[test]
    fn a_revoked_token_is_nobody() {
        let tokens = Tokens::default();
        let token = tokens.issue(User::named("ann"));
        let header = format!("Bearer {token}");
        assert_eq!(tokens.user(Some(&header)).unwrap().name, "ann");
        tokens.revoke(&token);
        for header in [header.as_str(), "Basic x"] {
            assert_eq!(tokens.user(Some(header)).unwrap_err().code, 401);
        }
        assert_eq!(tokens.user(None).unwrap(), User::admin());
    }
}
