//! Which object of which kind does a request mean, and what does it want to do with it?

use super::query::{Query, decode};
use crate::lab::store::{RESOURCES, Resource, Status};
use http::Method;

/// The verbs that rights are given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verb {
    /// One object.
    Get,
    /// Many objects.
    List,
    /// Their changes.
    Watch,
    /// A new object.
    Create,
    /// An object replaced.
    Update,
    /// An object changed in part.
    Patch,
    /// An object removed.
    Delete,
    /// Many objects removed.
    DeleteCollection,
}

impl Verb {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// What a request is about.
#[derive(Debug)]
pub(super) enum Target {
    /// Discovery, the version, the lab's own pages.
    Page,
    /// Objects.
    Objects(Address),
    /// A question that is answered and not stored, by its kind (`selfsubjectaccessreviews`, ...).
    Question {
        /// The plural name of the question.
        plural: &'static str,
    },
}

/// Objects of one kind, and a verb.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) verb: Verb,
    pub(super) resource: &'static Resource,
    /// The group of the path, which for events may be the newer one.
    pub(super) group: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl Address {
    /// Namespace and name of the one object that is meant.
    pub(super) fn of_object(&self) -> Result<(Option<&str>, &str), Status> {
        let name = self
            .name
            .as_deref()
            .ok_or_else(Status::method_not_allowed)?;
        Ok((self.namespace.as_deref(), name))
    }
}

/// Questions that the API answers without storing them: group and plural name.
pub(super) const QUESTIONS: &[(&str, &str, &str)] = &[
    (
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
    ),
    (
        "authorization.k8s.io",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
    ),
    (
        "authentication.k8s.io",
        "selfsubjectreviews",
        "SelfSubjectReview",
    ),
];

/// The newer group of events, served from the same objects.
pub(super) const EVENTS_GROUP: &str = "events.k8s.io";

/// Reads a path and a method.
pub(super) fn target(method: &Method, path: &str, query: &Query) -> Result<Target, Status> {
    let parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(decode)
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Ok(Target::Page),
    };
    if version != "v1" {
        return Err(Status::unknown_resource());
    }
    if let [plural] = rest
        && let Some((_, plural, _)) = QUESTIONS
            .iter()
            .find(|(g, p, _)| *g == group && p == plural)
    {
        if method != Method::POST {
            return Err(Status::method_not_allowed());
        }
        return Ok(Target::Question { plural });
    }
    objects(method, group, rest, query).map(Target::Objects)
}

fn objects(method: &Method, group: &str, rest: &[&str], query: &Query) -> Result<Address, Status> {
    let find = |plural: &str| {
        RESOURCES.iter().find(|resource| {
            resource.plural == plural
                && (resource.group == group || (group == EVENTS_GROUP && plural == "events"))
        })
    };
    // `namespaces/x` and its own subresources are a Namespace; anything longer is inside it.
    let (namespace, rest) = match rest {
        ["namespaces", _, "status"] => (None, rest),
        ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (Some(*namespace), inner),
        _ => (None, rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (plural, None, None),
        [plural, name] => (plural, Some(*name), None),
        [plural, name, sub] => (plural, Some(*name), Some(*sub)),
        _ => return Err(Status::unknown_resource()),
    };
    let resource = find(plural).ok_or_else(Status::unknown_resource)?;
    let known = subresource.is_none_or(|sub| resource.subresources.contains(&sub));
    let placed = resource.namespaced || namespace.is_none();
    if !known || !placed || (resource.namespaced && name.is_some() && namespace.is_none()) {
        return Err(Status::unknown_resource());
    }
    Ok(Address {
        verb: verb(method, name.is_some(), query)?,
        resource,
        group: group.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        subresource: subresource.map(str::to_owned),
    })
}

fn verb(method: &Method, named: bool, query: &Query) -> Result<Verb, Status> {
    Ok(match (method.as_str(), named) {
        ("GET" | "HEAD", true) if query.flag("watch")? => Verb::Watch,
        ("GET" | "HEAD", true) => Verb::Get,
        ("GET" | "HEAD", false) if query.flag("watch")? => Verb::Watch,
        ("GET" | "HEAD", false) => Verb::List,
        // A subresource (eviction, binding) is created on an object that has a name.
        ("POST", _) => Verb::Create,
        ("PUT", true) => Verb::Update,
        ("PATCH", true) => Verb::Patch,
        ("DELETE", true) => Verb::Delete,
        ("DELETE", false) => Verb::DeleteCollection,
        _ => return Err(Status::method_not_allowed()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str) -> String {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        match target(&method, path, &Query::parse(query)) {
            Err(status) => status.code.to_string(),
            Ok(Target::Page) => "page".to_owned(),
            Ok(Target::Question { plural }) => format!("ask {plural}"),
            Ok(Target::Objects(address)) => format!(
                "{} {} ns={} name={} sub={}",
                address.verb.word(),
                address.resource.qualified(),
                address.namespace.unwrap_or_default(),
                address.name.unwrap_or_default(),
                address.subresource.unwrap_or_default(),
            ),
        }
    }

    #[test]
    fn a_path_and_a_method_name_a_verb_and_its_objects() {
        for (method, path, meant) in [
            ("GET", "/api", "page"),
            ("GET", "/apis/apps/v1", "page"),
            ("GET", "/api/v1/pods", "list pods ns= name= sub="),
            (
                "GET",
                "/api/v1/namespaces/shop/pods?watch=true",
                "watch pods ns=shop name= sub=",
            ),
            (
                "GET",
                "/api/v1/namespaces/shop/pods/p/log",
                "get pods ns=shop name=p sub=log",
            ),
            (
                "POST",
                "/api/v1/namespaces/shop/pods/p/eviction",
                "create pods ns=shop name=p sub=eviction",
            ),
            (
                "GET",
                "/api/v1/namespaces/shop",
                "get namespaces ns= name=shop sub=",
            ),
            (
                "PUT",
                "/api/v1/namespaces/shop/status",
                "update namespaces ns= name=shop sub=status",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/shop/deployments/d/scale",
                "patch deployments.apps ns=shop name=d sub=scale",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/shop/pods",
                "deletecollection pods ns=shop name= sub=",
            ),
            (
                "GET",
                "/apis/events.k8s.io/v1/namespaces/shop/events",
                "list events ns=shop name= sub=",
            ),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                "ask selfsubjectaccessreviews",
            ),
            (
                "GET",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                "405",
            ),
            ("GET", "/api/v1/namespaces/shop/pods/p/exec", "404"),
            ("GET", "/api/v1/namespaces/shop/nodes/n", "404"),
            ("GET", "/api/v1/pods/p", "404"),
            ("GET", "/apis/apps/v1beta1/deployments", "404"),
            ("GET", "/api/v1/namespaces/a/pods/b/c/d", "404"),
            ("PUT", "/api/v1/namespaces/shop/pods", "405"),
            ("GET", "/api/v1/pods?watch=perhaps", "400"),
        ] {
            assert_eq!(read(method, path), meant, "{method} {path}");
        }
    }
}
