//! How are one object and many read?

use super::events;
use super::respond::{self, Answer, Form};
use super::{Call, table};
use crate::lab::selector::Selector;
use crate::lab::store::{Status, object};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn get(call: &Call<'_>) -> Result<Answer, Status> {
    Ok(call.show(200, &*call.object()?))
}

/// The selector of a request for many; the name of a single one counts as a field.
pub(super) fn selector(call: &Call<'_>) -> Result<Selector, Status> {
    let mut fields = call
        .query
        .text("fieldSelector")
        .unwrap_or_default()
        .to_owned();
    if let Some(name) = &call.address.name {
        fields = format!("metadata.name={name},{fields}");
    }
    let labels = call.query.text("labelSelector");
    Selector::parse(call.address.resource.plural, labels, Some(&fields))
}

pub(super) fn list(call: &Call<'_>) -> Result<Answer, Status> {
    let page = page(call)?;
    let resource = call.address.resource;
    let mut meta = json!({"resourceVersion": page.version.to_string()});
    if let Some(next) = page.next {
        meta["continue"] = json!(next);
        if let Some(left) = page.left {
            meta["remainingItemCount"] = json!(left);
        }
    }
    if call.form == Form::Table {
        let objects: Vec<&Value> = page.objects.iter().map(AsRef::as_ref).collect();
        let list = json!({"metadata": meta});
        let table = table::table(resource, call.query, &objects, &list);
        return Ok(respond::json(200, &table));
    }
    let (kind, version) = match call.form {
        Form::Metadata => (
            "PartialObjectMetadataList".to_owned(),
            "meta.k8s.io/v1".to_owned(),
        ),
        _ if call.address.group == super::path::EVENTS_GROUP => {
            ("EventList".to_owned(), "events.k8s.io/v1".to_owned())
        }
        _ => (format!("{}List", resource.kind), resource.api_version()),
    };
    let items: Vec<Value> = page.objects.iter().map(|item| shown(call, item)).collect();
    let list = json!({"kind": kind, "apiVersion": version, "metadata": meta, "items": items});
    Ok(respond::json(200, &list))
}

/// An item of a list: without the kind, which the list has.
fn shown(call: &Call<'_>, item: &Value) -> Value {
    if call.form == Form::Metadata {
        return table::partial(item);
    }
    let mut item = events::outward(&call.address.group, item.clone());
    for key in ["kind", "apiVersion"] {
        object::remove(&mut item, key);
    }
    item
}

struct Page {
    version: u64,
    objects: Vec<Arc<Value>>,
    next: Option<String>,
    left: Option<usize>,
}

/// One page: all objects as they were at one version, from where the page before ended.
fn page(call: &Call<'_>) -> Result<Page, Status> {
    let query = call.query;
    let limit = query
        .number("limit")?
        .and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit > 0);
    let selector = selector(call)?;
    let (plural, namespace) = (
        call.address.resource.plural,
        call.address.namespace.as_deref(),
    );
    let after = query.text("continue").map(Mark::parse).transpose()?;
    let exact = match query.text("resourceVersionMatch") {
        Some("Exact") => Some(version(query.text("resourceVersion"))?.unwrap_or(0)),
        Some("NotOlderThan") | None => None,
        Some(other) => {
            let text =
                format!("`resourceVersionMatch` must be `Exact` or `NotOlderThan`, not {other:?}");
            return Err(Status::bad_request(&text));
        }
    };
    let (version, objects) = match after.as_ref().map(|mark| mark.version).or(exact) {
        Some(version) => (version, call.store.list_at(plural, namespace, version)?),
        None => call.store.list(plural, namespace),
    };
    let mut objects: Vec<Arc<Value>> = objects
        .into_iter()
        .filter(|object| after.as_ref().is_none_or(|mark| mark.is_before(object)))
        .filter(|object| selector.matches(object))
        .collect();
    let mut page = Page {
        version,
        objects: Vec::new(),
        next: None,
        left: None,
    };
    if let Some(limit) = limit
        && objects.len() > limit
    {
        let left = objects.len() - limit;
        objects.truncate(limit);
        page.left = selector.is_empty().then_some(left);
        page.next = objects
            .last()
            .map(|last| Mark::after(version, last).to_string());
    }
    page.objects = objects;
    Ok(page)
}

/// A resourceVersion parameter; absent and 0 mean any.
pub(super) fn version(text: Option<&str>) -> Result<Option<u64>, Status> {
    let Some(text) = text else { return Ok(None) };
    let version: u64 = text
        .parse()
        .map_err(|_| Status::bad_request(&format!("resourceVersion: Invalid value: {text:?}")))?;
    Ok(Some(version).filter(|version| *version > 0))
}

/// Where a page ended: the version of the whole list, and the last object.
struct Mark {
    version: u64,
    namespace: String,
    name: String,
}

impl Mark {
    fn after(version: u64, last: &Value) -> Self {
        Self {
            version,
            namespace: object::namespace(last).to_owned(),
            name: object::name(last).to_owned(),
        }
    }

    fn parse(text: &str) -> Result<Self, Status> {
        let read = || {
            let mut parts = text.splitn(3, '~');
            let version = parts.next()?.parse().ok()?;
            let namespace = parts.next()?.to_owned();
            let name = parts.next()?.to_owned();
            Some(Self {
                version,
                namespace,
                name,
            })
        };
        read().ok_or_else(|| Status::bad_request("continue key is not valid"))
    }

    fn is_before(&self, object: &Value) -> bool {
        (self.namespace.as_str(), self.name.as_str())
            < (object::namespace(object), object::name(object))
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}~{}~{}", self.version, self.namespace, self.name)
    }
}
