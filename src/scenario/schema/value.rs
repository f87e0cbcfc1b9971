//! Which kinds of single values does a scenario have, and how does an editor check them?

use crate::scenario::fault::{Fault, Ledger, hint_known};
use crate::scenario::quantity::{
    parse_count, parse_duration, parse_number, parse_rate, parse_share, parse_skew,
};
use crate::scenario::read::{Read, Spot, parsed};
use crate::scenario::tree::{Kind, Node};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::Duration;

/// Declares a single value: its Rust type, how its text is parsed and its JSON Schema.
macro_rules! value {
    ($(#[doc = $doc:literal])+ $name:ident($type:ty) by $parse:expr, $example:literal, $schema:tt) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        pub(in crate::scenario) struct $name(pub(in crate::scenario) $type);

        impl Read for $name {
            const EXAMPLE: &'static str = $example;

            fn read(node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self> {
                parsed(node, spot, ledger, $parse).map(Self)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

value!(
    /// Any text.
    Text(String) by |text| Ok(text.to_owned()), "blue",
    {"type": ["string", "number", "boolean"]}
);
value!(
    /// A duration.
    Span(Duration) by parse_duration, "5s",
    {"type": "string", "pattern": r"^\s*([0-9.]+\s*(us|µs|ms|s|m|h)\s*)+$", "examples": ["1500ms", "5s", "2m"]}
);
value!(
    /// Seconds that may be negative.
    Skew(f64) by parse_skew, "3s",
    {"type": "string", "pattern": r"^\s*[+-]?([0-9.]+\s*(us|µs|ms|s|m|h)\s*)+$", "examples": ["3s", "-1500ms"]}
);
value!(
    /// Arrivals per second.
    Rate(f64) by parse_rate, "200/s",
    {"type": "string", "pattern": r"^\s*[0-9.]+\s*/\s*[a-z]+\s*$", "examples": ["200/s", "6000/m"]}
);
value!(
    /// A share from 0 to 1, written as a percentage.
    Share(f64) by parse_share, "50%",
    {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$", "examples": ["50%", "0.01 %"]}
);
value!(
    /// A whole number that is not negative.
    Count(u64) by parse_count, "1",
    {"type": "integer", "minimum": 0}
);
value!(
    /// A number that is not negative.
    Weight(f64) by |text| match parse_number(text) {
        Ok(number) if number < 0.0 => Err("is negative".to_owned()),
        other => other,
    }, "1",
    {"type": "number", "minimum": 0}
);
value!(
    /// Yes or no.
    Flag(bool) by |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is neither `true` nor `false`".to_owned()),
    }, "true",
    {"type": "boolean"}
);
value!(
    /// A regular expression that compiles.
    Pattern(String) by |text| match regex::Regex::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("is no regular expression: {}", regex_problem(&error))),
    }, "ok$",
    {"type": "string", "format": "regex"}
);

/// The last line of a regular expression's fault: the lines above it draw the place.
fn regex_problem(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// A value that reads as a `T` and is handed on as it was written.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Checked<T>(
    pub(in crate::scenario) serde_json::Value,
    PhantomData<T>,
);

impl<T: Read> Read for Checked<T> {
    const EXAMPLE: &'static str = T::EXAMPLE;

    fn read(node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self> {
        T::read(node, spot, ledger).map(|_| Self(json(node), PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Checked<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A node as JSON, by YAML's core schema.
fn json(node: &Node) -> serde_json::Value {
    match &node.kind {
        Kind::Null => serde_json::Value::Null,
        Kind::Scalar { text, plain: false } => text.as_str().into(),
        Kind::Scalar { text, plain: true } => match text.as_str() {
            "true" | "True" | "TRUE" => true.into(),
            "false" | "False" | "FALSE" => false.into(),
            other => match (other.parse::<i64>(), parse_number(other)) {
                (Ok(whole), _) => whole.into(),
                (_, Ok(number)) => number.into(),
                _ => other.into(),
            },
        },
        Kind::List(items) => items.iter().map(json).collect(),
        Kind::Map(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), json(&entry.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// Declares a closed set of words.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident($type:ty) { $($word:literal => $variant:expr,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        pub(in crate::scenario) struct $name(pub(in crate::scenario) $type);

        impl Read for $name {
            fn read(node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self> {
                match scalar(node, spot, ledger)? {
                    $($word => Some(Self($variant)),)+
                    other => {
                        unknown_word(node, spot, other, &[$($word),+], ledger);
                        None
                    }
                }
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"enum": [$($word),+]})
            }
        }
    };
}
pub(super) use words;

/// Adds that a word is not known here.
pub(super) fn unknown_word(
    node: &Node,
    spot: &Spot,
    word: &str,
    known: &[&str],
    ledger: &mut Ledger,
) {
    ledger.add(Fault {
        line: node.line,
        path: spot.path.clone(),
        value: Some(node.written()),
        problem: "is not known".to_owned(),
        hint: hint_known(word, known),
    });
}

/// A value, or `off`.
#[derive(Clone, Debug)]
pub(in crate::scenario) enum Switch<T> {
    /// It is on, with this value.
    On(T),
    /// It is switched off.
    Off,
}

impl<T: Read> Read for Switch<T> {
    fn read(node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self> {
        match &node.kind {
            Kind::Null => Some(Self::Off),
            Kind::Scalar { text, .. } if text == "off" => Some(Self::Off),
            _ => T::read(node, spot, ledger).map(Self::On),
        }
    }
}

impl<T: JsonSchema> JsonSchema for Switch<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("SwitchOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [generator.subschema_for::<T>(), {"enum": ["off", null]}]})
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct OneOrMany<T>(pub(in crate::scenario) Vec<T>);

impl<T: Read> Read for OneOrMany<T> {
    fn read(node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self> {
        match &node.kind {
            Kind::List(items) => Some(Self(
                items
                    .iter()
                    .enumerate()
                    .filter_map(|(index, item)| T::read(item, &spot.item(index), ledger))
                    .collect(),
            )),
            _ => T::read(node, spot, ledger).map(|one| Self(vec![one])),
        }
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({"anyOf": [one.clone(), {"type": "array", "items": one}]})
    }
}
