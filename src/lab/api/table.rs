//! How are objects shown as the rows that kubectl prints?

mod age;
mod cells;
mod columns;
mod pod;

use super::query::Query;
use crate::lab::store::{Resource, object};
use columns::{Column, columns};
use serde_json::{Value, json};

/// A `Table` of some objects; the list gives its resourceVersion.
pub(super) fn table(kind: &Resource, query: &Query, objects: &[&Value], list: &Value) -> Value {
    let now = jiff::Timestamp::now();
    let columns: Vec<Value> = columns(kind.plural).iter().map(definition).collect();
    let whole = query.text("includeObject") == Some("Object");
    let bare = query.text("includeObject") == Some("None");
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": cells::cells(kind.plural, object, now)});
            if whole {
                row["object"] = (*object).clone();
            } else if !bare {
                row["object"] = partial(object);
            }
            row
        })
        .collect();
    let mut meta = json!({});
    for key in ["resourceVersion", "continue", "remainingItemCount"] {
        if let Some(value) = list["metadata"].get(key) {
            meta[key] = value.clone();
        }
    }
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": columns,
        "rows": rows,
    })
}

/// An object's metadata alone.
pub(super) fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

fn definition(column: &Column) -> Value {
    let format = if column.name == "Name" { "name" } else { "" };
    json!({
        "name": column.name,
        "type": column.kind,
        "format": format,
        "description": column.name,
        "priority": i32::from(column.wide),
    })
}

/// Joins the names, or another text, of the items of a list.
fn joined(items: &Value, field: &str) -> String {
    let texts: Vec<&str> = object::items(items)
        .iter()
        .map(|item| object::text(&item[field]))
        .collect();
    texts.join(",")
}

#[cfg(test)]
mod tests;
