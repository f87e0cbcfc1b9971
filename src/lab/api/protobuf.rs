//! What does a small object say that a client sends in protobuf?
//!
//! Typed Go clients (kubectl drain, auth can-i, create token) send protobuf to kinds that are built
//! in, without asking whether the server likes it. The few kinds that they send are read here by
//! tables of their fields; answers are JSON, which these clients accept.

use serde_json::{Map, Value, json};

/// How one field is read.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Texts,
    Number,
    Flag,
    /// A map of texts.
    Texted,
    Message(&'static [Field]),
}

/// Number, name and form of a field.
type Field = (u64, &'static str, Form);

use Form::{Flag, Message, Number, Text, Texted, Texts};

const META: &[Field] = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (11, "labels", Texted),
    (12, "annotations", Texted),
];

const PRECONDITIONS: &[Field] = &[(1, "uid", Text), (2, "resourceVersion", Text)];

const DELETE_OPTIONS: &[Field] = &[
    (1, "gracePeriodSeconds", Number),
    (2, "preconditions", Message(PRECONDITIONS)),
    (3, "orphanDependents", Flag),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Texts),
];

const ACCESS: &[Field] = &[
    (1, "namespace", Text),
    (2, "verb", Text),
    (3, "group", Text),
    (4, "version", Text),
    (5, "resource", Text),
    (6, "subresource", Text),
    (7, "name", Text),
];

/// The fields of a kind, as far as the lab reads them.
fn fields(kind: &str) -> Option<&'static [Field]> {
    Some(match kind {
        "DeleteOptions" => DELETE_OPTIONS,
        "Eviction" => &[
            (1, "metadata", Message(META)),
            (2, "deleteOptions", Message(DELETE_OPTIONS)),
        ],
        "SelfSubjectAccessReview" => &[
            (1, "metadata", Message(META)),
            (
                2,
                "spec",
                Message(&[
                    (1, "resourceAttributes", Message(ACCESS)),
                    (
                        2,
                        "nonResourceAttributes",
                        Message(&[(1, "path", Text), (2, "verb", Text)]),
                    ),
                ]),
            ),
        ],
        "SelfSubjectRulesReview" => &[
            (1, "metadata", Message(META)),
            (2, "spec", Message(&[(1, "namespace", Text)])),
        ],
        "SelfSubjectReview" | "Namespace" | "ServiceAccount" => &[(1, "metadata", Message(META))],
        "TokenRequest" => &[
            (1, "metadata", Message(META)),
            (
                2,
                "spec",
                Message(&[(1, "audiences", Texts), (4, "expirationSeconds", Number)]),
            ),
        ],
        "ConfigMap" => &[
            (1, "metadata", Message(META)),
            (2, "data", Texted),
            (4, "immutable", Flag),
        ],
        "Scale" => &[
            (1, "metadata", Message(META)),
            (2, "spec", Message(&[(1, "replicas", Number)])),
        ],
        _ => return None,
    })
}

/// Why a body is not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no protobuf object.
    Broken,
    /// Its kind is read as JSON only.
    Kind(String),
}

/// The object in a body: the mark of Kubernetes' envelope, the kind, the object's own bytes.
pub(super) fn decode(body: &[u8]) -> Result<Value, Fault> {
    const ENVELOPE: &[Field] = &[(
        1,
        "type",
        Message(&[(1, "apiVersion", Text), (2, "kind", Text)]),
    )];
    let body = body.strip_prefix(b"k8s\0").ok_or(Fault::Broken)?;
    let envelope = message(body, ENVELOPE).ok_or(Fault::Broken)?;
    let raw = raw(body).ok_or(Fault::Broken)?;
    let kind = envelope["type"]["kind"].as_str().unwrap_or_default();
    let fields = fields(kind).ok_or_else(|| Fault::Kind(kind.to_owned()))?;
    let mut object = message(raw, fields).ok_or(Fault::Broken)?;
    object["kind"] = json!(kind);
    object["apiVersion"] = envelope["type"]["apiVersion"].clone();
    Ok(object)
}

/// The second field of the envelope.
fn raw(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(body);
    let mut raw: &[u8] = &[];
    while !reader.0.is_empty() {
        if let (2, Wire::Bytes(bytes)) = reader.field()? {
            raw = bytes;
        }
    }
    Some(raw)
}

fn message(bytes: &[u8], fields: &[Field]) -> Option<Value> {
    let mut reader = Reader(bytes);
    let mut map = Map::new();
    while !reader.0.is_empty() {
        let (number, wire) = reader.field()?;
        let Some((_, name, form)) = fields.iter().find(|(own, _, _)| *own == number) else {
            continue;
        };
        match (form, wire) {
            // An empty text is an absent one.
            (Text, Wire::Bytes(b"")) => {}
            (Text, Wire::Bytes(bytes)) => {
                map.insert((*name).to_owned(), json!(text(bytes)?));
            }
            (Texts, Wire::Bytes(bytes)) => {
                let list = map.entry(*name).or_insert_with(|| json!([]));
                list.as_array_mut()?.push(json!(text(bytes)?));
            }
            (Number, Wire::Varint(value)) => {
                map.insert((*name).to_owned(), json!(value.cast_signed()));
            }
            (Flag, Wire::Varint(value)) => {
                map.insert((*name).to_owned(), json!(value != 0));
            }
            (Texted, Wire::Bytes(bytes)) => {
                let entry = message(bytes, &[(1, "key", Text), (2, "value", Text)])?;
                let key = entry["key"].as_str().unwrap_or_default();
                let value = entry["value"].as_str().unwrap_or_default();
                let own = map.entry(*name).or_insert_with(|| json!({}));
                own[key] = json!(value);
            }
            (Message(fields), Wire::Bytes(bytes)) => {
                map.insert((*name).to_owned(), message(bytes, fields)?);
            }
            _ => return None,
        }
    }
    Some(Value::Object(map))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

enum Wire<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Of a fixed length, which nothing here has.
    Fixed,
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => self.take(8).map(|_| Wire::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Wire::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, wire))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(length)?;
        self.0 = left;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        field.extend(content);
        field
    }

    fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
        let kind = [bytes(1, b"v1"), bytes(2, kind.as_bytes())].concat();
        [
            b"k8s\0".to_vec(),
            bytes(1, &kind),
            bytes(2, raw),
            bytes(3, b""),
            bytes(4, b""),
        ]
        .concat()
    }

    #[test]
    fn an_eviction_is_read_with_its_options() {
        let meta = [bytes(1, b"p"), bytes(2, b""), bytes(3, b"shop")].concat();
        let options = [
            vec![1 << 3, 0x90, 0x03],
            bytes(2, &bytes(1, b"uid")),
            bytes(5, b"All"),
        ]
        .concat();
        let body = envelope("Eviction", &[bytes(1, &meta), bytes(2, &options)].concat());
        assert_eq!(
            decode(&body).unwrap(),
            json!({
                "kind": "Eviction", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "shop"},
                "deleteOptions": {"gracePeriodSeconds": 400, "preconditions": {"uid": "uid"}, "dryRun": ["All"]}
            })
        );
    }

    #[test]
    fn maps_are_read_and_other_kinds_refused() {
        let entry = [bytes(1, b"a"), bytes(2, b"1")].concat();
        let body = envelope("ConfigMap", &bytes(2, &entry));
        assert_eq!(decode(&body).unwrap()["data"], json!({"a": "1"}));
        assert_eq!(
            decode(&envelope("Pod", b"")),
            Err(Fault::Kind("Pod".into()))
        );
    }

    #[test]
    fn a_cut_or_foreign_body_is_broken_and_not_a_panic() {
        let meta = bytes(1, &bytes(1, b"a-name"));
        let whole = envelope("Namespace", &meta);
        for length in 0..whole.len() {
            let _ = decode(&whole[..length]);
        }
        assert_eq!(decode(b"{}"), Err(Fault::Broken));
        assert_eq!(decode(&whole[..whole.len() - 5]), Err(Fault::Broken));
        assert_eq!(
            decode(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            Err(Fault::Broken)
        );
    }
}
