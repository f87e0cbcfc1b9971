//! How is a tree of YAML read into what was written, without stopping at a fault?
//!
//! [`Read`] turns a node into a value or into faults; [`At`] keeps where the value stood, so that
//! later checks can still point there. [`document!`] declares a map: its keys, types, examples and
//! sentences stand in one place, from which the reader, the unknown-key check and the JSON Schema
//! are made.

use super::fault::{Fault, Ledger, hint_known};
use super::tree::{Entry, Kind, Node};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// How to begin, for a document that is something else.
pub(super) const BEGINS: &str = "a scenario begins with `apiVersion: lastwatch.dev/v1alpha1`";

/// Where a value stands and what it should look like.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// The path of its key.
    pub(super) path: String,
    /// A good value, as it would be written.
    pub(super) example: &'static str,
}

impl Spot {
    /// The document itself.
    pub(super) const fn root() -> Self {
        Self {
            path: String::new(),
            example: "",
        }
    }

    /// The spot of a key below this one.
    pub(super) fn key(&self, key: &str, example: &'static str) -> Self {
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        Self { path, example }
    }

    /// The spot of an item of the list that stands here.
    pub(super) fn item(&self, index: usize) -> Self {
        Self {
            path: format!("{}[{index}]", self.path),
            example: self.example,
        }
    }

    /// The hint that shows a good value.
    pub(super) fn hint(&self) -> String {
        if self.path.is_empty() {
            return BEGINS.to_owned();
        }
        let key = self.path.rsplit('.').next().unwrap_or_default();
        let key = key.split('[').next().unwrap_or_default();
        format!("for instance `{key}: {}`", self.example)
    }
}

/// A value and where it stood.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// Its line.
    pub(super) line: usize,
    /// Its place.
    pub(super) spot: Spot,
    /// The text that was read.
    pub(super) written: String,
}

impl<T> At<T> {
    /// Reads a node, keeping where it stands.
    pub(super) fn read(node: &Node, spot: Spot, ledger: &mut Ledger) -> Option<Self>
    where
        T: Read,
    {
        Some(Self {
            value: T::read(node, &spot, ledger)?,
            line: node.line,
            written: node.written(),
            spot,
        })
    }

    /// A fault about this value.
    pub(super) fn fault(&self, problem: impl Into<String>) -> Fault {
        self.fault_with(problem, self.spot.hint())
    }

    /// A fault about this value, with a hint of its own.
    pub(super) fn fault_with(&self, problem: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault {
            line: self.line,
            path: self.spot.path.clone(),
            value: Some(self.written.clone()),
            problem: problem.into(),
            hint: hint.into(),
        }
    }
}

/// What can be read from a node, and described to an editor.
pub(super) trait Read: JsonSchema + Sized {
    /// A good value, where the key that it belongs to is the user's own.
    const EXAMPLE: &'static str = "..";

    /// Reads the node; `None` when a fault was added.
    fn read(node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self>;
}

/// Adds that a node has the wrong form.
pub(super) fn wrong_form(node: &Node, spot: &Spot, expected: &str, ledger: &mut Ledger) {
    ledger.add(Fault {
        line: node.line,
        path: spot.path.clone(),
        value: None,
        problem: format!("expected {expected}, found {}", node.noun()),
        hint: spot.hint(),
    });
}

/// The text of a scalar.
pub(super) fn scalar<'a>(node: &'a Node, spot: &Spot, ledger: &mut Ledger) -> Option<&'a str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        _ => {
            wrong_form(node, spot, "a value", ledger);
            None
        }
    }
}

/// Reads a scalar by `parse`, whose error follows the text in the fault.
pub(super) fn parsed<T>(
    node: &Node,
    spot: &Spot,
    ledger: &mut Ledger,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    match parse(scalar(node, spot, ledger)?) {
        Ok(value) => Some(value),
        Err(problem) => {
            ledger.add(Fault {
                line: node.line,
                path: spot.path.clone(),
                value: Some(node.written()),
                problem,
                hint: spot.hint(),
            });
            None
        }
    }
}

/// The entries of a map, each key once; nothing at all reads as an empty map where `or_nothing`.
pub(super) fn entries<'a>(
    node: &'a Node,
    spot: &Spot,
    or_nothing: bool,
    ledger: &mut Ledger,
) -> Option<Vec<&'a Entry>> {
    let entries = match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Null if or_nothing => return Some(Vec::new()),
        _ => {
            wrong_form(node, spot, "a map", ledger);
            return None;
        }
    };
    let mut found: Vec<&Entry> = Vec::new();
    for entry in entries {
        match found.iter().find(|other| other.key == entry.key) {
            Some(first) => ledger.add(Fault {
                line: entry.line,
                path: spot.key(&entry.key, "").path,
                value: None,
                problem: format!("written twice, first on line {}", first.line),
                hint: "leave one of them out".to_owned(),
            }),
            None => found.push(entry),
        }
    }
    Some(found)
}

/// Adds that a key is not known here.
pub(super) fn unknown_key(entry: &Entry, spot: &Spot, known: &[&str], ledger: &mut Ledger) {
    ledger.add(Fault {
        line: entry.line,
        path: spot.key(&entry.key, "").path,
        value: None,
        problem: "unknown key".to_owned(),
        hint: hint_known(&entry.key, known),
    });
}

/// Adds that a key is missing from the map that stands on `line`.
pub(super) fn missing(line: usize, spot: &Spot, ledger: &mut Ledger) {
    ledger.add(Fault {
        line,
        path: spot.path.clone(),
        value: None,
        problem: "missing".to_owned(),
        hint: spot.hint(),
    });
}

/// A list of values that each keep their place.
#[derive(Clone, Debug)]
pub(super) struct List<T>(pub(super) Vec<At<T>>);

impl<T: Read> Read for List<T> {
    fn read(node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            wrong_form(node, spot, "a list", ledger);
            return None;
        };
        let read: Vec<_> = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| At::read(item, spot.item(index), ledger))
            .collect();
        // What is written and cannot be read has been told; it must not pass for an empty list.
        (items.is_empty() || !read.is_empty()).then_some(Self(read))
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "items": generator.subschema_for::<T>()})
    }
}

/// A map from names of the user's own choice.
#[derive(Clone, Debug)]
pub(super) struct Named<T>(pub(super) Vec<(String, At<T>)>);

impl<T: Read> Read for Named<T> {
    fn read(node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self> {
        let read = entries(node, spot, false, ledger)?
            .into_iter()
            .filter_map(|entry| {
                let below = spot.key(&entry.key, T::EXAMPLE);
                let value = At::read(&entry.value, below, ledger)?;
                Some((entry.key.clone(), value))
            })
            .collect();
        Some(Self(read))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "additionalProperties": generator.subschema_for::<T>()})
    }
}

/// Declares a map of the scenario: `field "key": Type = "example"`, then `, default VALUE` where
/// something stands for a key that is left out, or `required` where nothing does.
macro_rules! document {
    ($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $doc:literal])+ $field:ident $key:literal: $type:ty = $example:literal
            $(, default $default:literal)? $($required:ident)?;)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default)]
        pub(in crate::scenario) struct $name {
            $($(#[doc = $doc])+ pub(in crate::scenario) $field: Option<$crate::scenario::read::At<$type>>,)+
        }

        impl $crate::scenario::read::Read for $name {
            fn read(
                node: &$crate::scenario::tree::Node,
                spot: &$crate::scenario::read::Spot,
                ledger: &mut $crate::scenario::fault::Ledger,
            ) -> Option<Self> {
                use $crate::scenario::read;
                let required: &[(&str, &'static str, &str)] =
                    &[$($(($key, $example, stringify!($required)),)?)+];
                let entries = read::entries(node, spot, required.is_empty(), ledger)?;
                for (key, example, _) in required {
                    if !entries.iter().any(|entry| entry.key == *key) {
                        read::missing(node.line, &spot.key(key, example), ledger);
                    }
                }
                let mut found = Self::default();
                for entry in entries {
                    match entry.key.as_str() {
                        $($key => {
                            let below = spot.key($key, $example);
                            found.$field = read::At::read(&entry.value, below, ledger);
                        })+
                        _ => read::unknown_key(entry, spot, &[$($key),+], ledger),
                    }
                }
                Some(found)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut properties = serde_json::Map::new();
                $({
                    let mut schema = generator.subschema_for::<$type>();
                    schema.insert("description".to_owned(), concat!($($doc),+).trim().into());
                    $(schema.insert("default".to_owned(), serde_json::json!($default));)?
                    properties.insert($key.to_owned(), schema.to_value());
                })+
                let required: &[(&str, &str)] = &[$($(($key, stringify!($required)),)?)+];
                let required: Vec<_> = required.iter().map(|(key, _)| *key).collect();
                schemars::json_schema!({
                    "type": "object",
                    "description": concat!($($about),+).trim(),
                    "properties": properties,
                    "required": required,
                    "additionalProperties": false,
                })
            }
        }
    };
}
pub(super) use document;
