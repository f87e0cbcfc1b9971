//! What does a JSON line say: an access line, or one of the agent's or Envoy's own log?
//!
//! The line is read in one pass into the fields, without a tree. What was read before an error
//! (a cut line) counts.

use super::access::{AccessLine, Field};
use super::agent::{self, AgentKind, AgentLine};
use super::flags::ResponseFlags;
use super::key::{self, Key};
use super::{IstioLine, classify, time};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Fields that a line must name before it is taken for an access line.
const MIN_ACCESS_FIELDS: u32 = 2;

/// The same where it also has a level and a message, as lines of the agent have.
const MIN_FIELDS_BESIDE_MESSAGE: u32 = 4;

/// Tells what a JSON line means.
pub(super) fn line(text: &str) -> IstioLine<'_> {
    let mut found = Found::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    // An error is the end of a cut line, or of what was JSON.
    let _ = reader.deserialize_map(Object {
        found: &mut found,
        parents: None,
    });
    found.finish()
}

/// What the keys of a line gave so far.
#[derive(Default)]
struct Found<'a> {
    access: AccessLine<'a>,
    fields: u32,
    time: Option<Cow<'a, str>>,
    level: Option<Cow<'a, str>>,
    scope: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
    log: Option<Cow<'a, str>>,
}

impl<'a> Found<'a> {
    fn finish(mut self) -> IstioLine<'a> {
        let speaks = self.level.as_deref().is_some_and(agent::is_level) && self.message.is_some();
        let enough = if speaks {
            MIN_FIELDS_BESIDE_MESSAGE
        } else {
            MIN_ACCESS_FIELDS
        };
        if self.fields >= enough {
            if let Some(time) = self.time {
                self.access.set(Field::StartTime, time);
            }
            return IstioLine::Access(Box::new(self.access));
        }
        if let (true, Some(level), Some(message)) = (speaks, self.level, self.message) {
            let is_envoy = self.scope.as_deref().is_some_and(agent::is_envoy_scope);
            let line = AgentLine {
                at: self.time.as_deref().and_then(time::epoch_nanos),
                time: self.time,
                level,
                scope: self.scope,
                kind: AgentKind::of(message.trim_ascii()),
                message,
            };
            return if is_envoy {
                IstioLine::Envoy(line)
            } else {
                IstioLine::Agent(line)
            };
        }
        match self.log {
            Some(log) => classify::istio_proxy(&log).into_owned(),
            None => IstioLine::Other,
        }
    }

    fn seen(&mut self, field: Field) {
        if field != Field::StartTime {
            self.fields += 1;
        }
    }

    fn set_text(&mut self, key: Key, value: Cow<'a, str>) {
        let slot = match key {
            Key::Access(field) => return self.access.set(field, value),
            Key::Time => &mut self.time,
            Key::Level => &mut self.level,
            Key::Scope => &mut self.scope,
            Key::Message => &mut self.message,
            Key::Log => &mut self.log,
        };
        if slot.is_none() {
            *slot = Some(value);
        }
    }

    fn set_number(&mut self, key: Key, value: u64) {
        let access = &mut self.access;
        match key {
            Key::Access(Field::ResponseCode) => access.response_code = u16::try_from(value).ok(),
            Key::Access(Field::BytesReceived) => access.bytes_received = Some(value),
            Key::Access(Field::BytesSent) => access.bytes_sent = Some(value),
            Key::Access(Field::Duration) => access.duration_ms = Some(value),
            Key::Access(Field::UpstreamServiceTime) => {
                access.upstream_service_time_ms = Some(value);
            }
            Key::Access(Field::Attempts) => access.attempts = Some(value),
            other => self.set_text(other, Cow::Owned(value.to_string())),
        }
    }
}

/// The keys above a nested map, normalised.
struct Parents<'p> {
    name: String,
    above: Option<&'p Parents<'p>>,
}

impl Parents<'_> {
    /// What a nested key means: by its whole path first, then by less and less of it.
    fn resolve(&self, key: &str) -> Option<Key> {
        let mut names = Vec::new();
        let mut level = Some(self);
        while let Some(parents) = level {
            names.push(parents.name.as_str());
            level = parents.above;
        }
        let mut leaf = String::new();
        key::normalise(key, &mut leaf);
        (0..=names.len())
            .rev()
            .find_map(|depth| {
                let mut path: String = names[..depth].iter().rev().copied().collect();
                path.push_str(&leaf);
                key::alias(&path)
            })
            .filter(|key| matches!(key, Key::Access(_)))
    }
}

/// Reads one map.
struct Object<'f, 'a, 'p> {
    found: &'f mut Found<'a>,
    parents: Option<&'p Parents<'p>>,
}

impl<'a> Visitor<'a> for Object<'_, 'a, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            let key = match self.parents {
                None => key::exact(&name).or_else(|| {
                    let mut plain = String::new();
                    key::normalise(&name, &mut plain);
                    key::alias(&plain)
                }),
                Some(parents) => parents.resolve(&name),
            };
            if let Some(Key::Access(field)) = key {
                self.found.seen(field);
            }
            map.next_value_seed(Slot {
                found: self.found,
                key,
                name: &name,
                parents: self.parents,
            })?;
        }
        Ok(())
    }
}

/// A key, borrowed where it holds no escape.
struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Where a value goes.
struct Slot<'f, 'a, 'p, 'n> {
    found: &'f mut Found<'a>,
    key: Option<Key>,
    name: &'n str,
    parents: Option<&'p Parents<'p>>,
}

impl<'a> DeserializeSeed<'a> for Slot<'_, 'a, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Slot<'_, 'a, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        // Envoy has no negative numbers; whole ones come as `u64`.
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        if let Some(key) = self.key {
            self.found.set_number(key, value);
        }
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        if let Some(key) = self.key {
            self.found.set_text(key, Cow::Owned(value.to_string()));
        }
        Ok(())
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<(), E> {
        if let Some(key) = self.key {
            self.found.set_text(key, Cow::Borrowed(value));
        }
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        if let Some(key) = self.key {
            self.found.set_text(key, Cow::Owned(value.to_owned()));
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
        if self.key != Some(Key::Access(Field::ResponseFlags)) {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let mut flags: Vec<String> = Vec::new();
        while let Some(flag) = seq.next_element()? {
            flags.push(flag);
        }
        self.found.access.response_flags = ResponseFlags::new(Cow::Owned(flags.join(",")));
        Ok(())
    }

    fn visit_map<M: MapAccess<'a>>(self, map: M) -> Result<(), M::Error> {
        let mut name = String::new();
        key::normalise(self.name, &mut name);
        let parents = Parents {
            name,
            above: self.parents,
        };
        Object {
            found: self.found,
            parents: Some(&parents),
        }
        .visit_map(map)
    }
}
