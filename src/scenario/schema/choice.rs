//! Which values can be written in more than one form: delays, texts from elsewhere, steps?

use super::value::{Span, Text};
use super::{DeletePodStep, EvictStep, RollingRestartStep, ScaleStep, SetImageStep};
use crate::scenario::fault::{Fault, Ledger};
use crate::scenario::read::{At, Read, Spot, document, entries, unknown_key, wrong_form};
use crate::scenario::tree::{Entry, Kind, Node};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

document! {
    /// A delay between two bounds.
    DelayBounds {
        /// At least this long.
        min "min": Span = "200ms" required;
        /// At most this long.
        max "max": Span = "2s" required;
    }
}

/// How long something takes: always the same, or evenly between two bounds.
#[derive(Clone, Debug)]
pub(in crate::scenario) enum DelaySpec {
    /// Always the same.
    Fixed(Span),
    /// Evenly between two bounds.
    Between(DelayBounds),
}

impl Read for DelaySpec {
    fn read(node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => DelayBounds::read(node, spot, ledger).map(Self::Between),
            _ => Span::read(node, spot, ledger).map(Self::Fixed),
        }
    }
}

impl JsonSchema for DelaySpec {
    fn schema_name() -> Cow<'static, str> {
        "Delay".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            generator.subschema_for::<Span>(),
            generator.subschema_for::<DelayBounds>(),
        ]})
    }
}

/// A text: written here, or taken from the environment or a file when the scenario is read.
#[derive(Clone, Debug)]
pub(in crate::scenario) enum TextFrom {
    /// Written here.
    Here(String),
    /// The value of an environment variable.
    Environment(At<Text>),
    /// The content of a file, named from the scenario's folder.
    File(At<Text>),
}

impl Read for TextFrom {
    const EXAMPLE: &'static str = "{fromEnv: TOKEN}";

    fn read(node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self> {
        if !matches!(node.kind, Kind::Map(_)) {
            return Text::read(node, spot, ledger).map(|text| Self::Here(text.0));
        }
        let entry = only_entry(node, spot, &["fromEnv", "fromFile"], ledger)?;
        match entry.key.as_str() {
            "fromEnv" => {
                At::read(&entry.value, spot.key("fromEnv", "TOKEN"), ledger).map(Self::Environment)
            }
            "fromFile" => {
                At::read(&entry.value, spot.key("fromFile", "token.txt"), ledger).map(Self::File)
            }
            _ => {
                unknown_key(entry, spot, &["fromEnv", "fromFile"], ledger);
                None
            }
        }
    }
}

impl JsonSchema for TextFrom {
    fn schema_name() -> Cow<'static, str> {
        "TextFrom".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let text = generator.subschema_for::<Text>();
        let from = |key: &str| {
            json_schema!({
                "type": "object",
                "properties": {key: {"type": "string"}},
                "required": [key],
                "additionalProperties": false,
            })
        };
        json_schema!({"anyOf": [text, from("fromEnv"), from("fromFile")]})
    }
}

/// One disruption, as it was written.
#[derive(Clone, Debug)]
pub(in crate::scenario) enum StepSpec {
    /// `rollingRestart`.
    RollingRestart(RollingRestartStep),
    /// `scale`.
    Scale(ScaleStep),
    /// `deletePod`.
    DeletePod(DeletePodStep),
    /// `evict`.
    Evict(EvictStep),
    /// `setImage`.
    SetImage(SetImageStep),
    /// `wait`.
    Wait(At<Span>),
}

impl StepSpec {
    const NAMES: [&str; 6] = [
        "rollingRestart",
        "scale",
        "deletePod",
        "evict",
        "setImage",
        "wait",
    ];

    fn named(name: &str, node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self> {
        match name {
            "rollingRestart" => Read::read(node, spot, ledger).map(Self::RollingRestart),
            "scale" => Read::read(node, spot, ledger).map(Self::Scale),
            "deletePod" => Read::read(node, spot, ledger).map(Self::DeletePod),
            "evict" => Read::read(node, spot, ledger).map(Self::Evict),
            "setImage" => Read::read(node, spot, ledger).map(Self::SetImage),
            "wait" => At::read(node, spot.clone(), ledger).map(Self::Wait),
            _ => None,
        }
    }

    const fn example(name: &str) -> &'static str {
        match name.as_bytes() {
            b"scale" => "{to: 1}",
            b"deletePod" | b"evict" => "{pods: 1}",
            b"setImage" => "{container: app, image: \"demo:2\"}",
            b"wait" => "3s",
            _ => "{}",
        }
    }
}

impl Read for StepSpec {
    fn read(node: &Node, spot: &Spot, ledger: &mut Ledger) -> Option<Self> {
        if let Kind::Scalar { text, .. } = &node.kind {
            // `- rollingRestart` without a colon is what people write first.
            if Self::NAMES.contains(&text.as_str()) {
                let nothing = Node {
                    line: node.line,
                    kind: Kind::Null,
                };
                let spot = spot.key(text, Self::example(text));
                return Self::named(text, &nothing, &spot, ledger);
            }
        }
        let entry = only_entry(node, spot, &Self::NAMES, ledger)?;
        if !Self::NAMES.contains(&entry.key.as_str()) {
            unknown_key(entry, spot, &Self::NAMES, ledger);
            return None;
        }
        let below = spot.key(&entry.key, Self::example(&entry.key));
        Self::named(&entry.key, &entry.value, &below, ledger)
    }
}

impl JsonSchema for StepSpec {
    fn schema_name() -> Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = |name: &str, schema: Schema| {
            json_schema!({
                "type": "object",
                "properties": {name: schema},
                "required": [name],
                "additionalProperties": false,
            })
        };
        json_schema!({"oneOf": [
            one("rollingRestart", generator.subschema_for::<RollingRestartStep>()),
            one("scale", generator.subschema_for::<ScaleStep>()),
            one("deletePod", generator.subschema_for::<DeletePodStep>()),
            one("evict", generator.subschema_for::<EvictStep>()),
            one("setImage", generator.subschema_for::<SetImageStep>()),
            one("wait", generator.subschema_for::<Span>()),
        ]})
    }
}

/// The entry of a map that may have only one.
fn only_entry<'a>(
    node: &'a Node,
    spot: &Spot,
    known: &[&str],
    ledger: &mut Ledger,
) -> Option<&'a Entry> {
    let found = match &node.kind {
        Kind::Map(_) => entries(node, spot, false, ledger)?,
        _ => {
            wrong_form(node, spot, &format!("one of {}", known.join(", ")), ledger);
            return None;
        }
    };
    match found.as_slice() {
        [one] => Some(one),
        _ => {
            let keys: Vec<_> = found.iter().map(|entry| entry.key.as_str()).collect();
            ledger.add(Fault {
                line: node.line,
                path: spot.path.clone(),
                value: None,
                problem: format!("has {} keys ({})", keys.len(), keys.join(", ")),
                hint: format!(
                    "exactly one of {} belongs here; settings such as `timeout` go inside it",
                    known.join(", ")
                ),
            });
            None
        }
    }
}
