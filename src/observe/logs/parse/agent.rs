//! What do pilot-agent and Envoy's own log say (facts 3.1, 3.2)?

use super::{IstioLine, time};
use std::borrow::Cow;

mod kind;

pub use kind::AgentKind;

/// A line of pilot-agent or of Envoy's own log, text or JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentLine<'a> {
    /// When it was written, epoch nanoseconds by the node's clock.
    pub at: Option<i64>,
    /// The same as it was written.
    pub time: Option<Cow<'a, str>>,
    /// `info`, `warn`, `warning`, ... as written.
    pub level: Cow<'a, str>,
    /// `xdsproxy`, `envoy config`, ...; `None`: the default scope.
    pub scope: Option<Cow<'a, str>>,
    /// The text, without the labels behind it.
    pub message: Cow<'a, str>,
    /// What it tells about the life of the proxy.
    pub kind: AgentKind,
}

/// Scopes of pilot-agent, for lines whose tabs have become blanks.
const SCOPES: &[&str] = &[
    "ads",
    "adsc",
    "authn",
    "ca",
    "cache",
    "citadelclient",
    "cni",
    "delta",
    "dns",
    "file",
    "gcecred",
    "googleca",
    "googlecas",
    "grpc",
    "grpcgen",
    "healthcheck",
    "iptables",
    "klog",
    "krt",
    "model",
    "monitoring",
    "nametable",
    "nodeagent",
    "pkica",
    "probes",
    "rootcertrotator",
    "sds",
    "secretfetcher",
    "security",
    "spiffe",
    "status",
    "stsclient",
    "stsserver",
    "token",
    "trustBundle",
    "validation",
    "wasm",
    "xdsproxy",
];

/// Labels that stand behind messages, for lines whose tabs have become blanks.
const LABELS: &[&str] = &[
    "domain",
    "id",
    "ips",
    "latency",
    "node",
    "resourceName",
    "thread",
    "ttl",
    "type",
];

impl AgentLine<'_> {
    pub(super) fn into_owned(self) -> AgentLine<'static> {
        AgentLine {
            at: self.at,
            time: self.time.map(|time| Cow::Owned(time.into_owned())),
            level: Cow::Owned(self.level.into_owned()),
            scope: self.scope.map(|scope| Cow::Owned(scope.into_owned())),
            message: Cow::Owned(self.message.into_owned()),
            kind: self.kind,
        }
    }
}

/// `<time> <level> [<scope>] <message> [<label>=<value> ...]`, parted by tabs or by blanks.
pub(super) fn stamped(line: &str) -> Option<IstioLine<'_>> {
    let (at, used) = time::scan(line)?;
    let (stamp, rest) = line.split_at(used);
    let (level, rest) = level(rest)?;
    let (scope, rest) = scope(rest);
    let is_envoy = scope.as_deref().is_some_and(is_envoy_scope);
    let message = without_labels(rest.trim_ascii_start()).trim_ascii_end();
    let found = AgentLine {
        at: Some(at),
        time: Some(Cow::Borrowed(stamp)),
        level: Cow::Borrowed(level),
        scope,
        message: Cow::Borrowed(message),
        kind: AgentKind::of(message),
    };
    Some(if is_envoy {
        IstioLine::Envoy(found)
    } else {
        IstioLine::Agent(found)
    })
}

/// Whether a scope is one of Envoy's loggers as its log names them: `envoy config`.
pub(super) fn is_envoy_scope(scope: &str) -> bool {
    scope == "envoy" || scope.starts_with("envoy ")
}

/// The level behind a stamp. Between them stands a tab, or what became of it (blanks, an arrow).
fn level(text: &str) -> Option<(&str, &str)> {
    let start = text.trim_start_matches(is_separator);
    if start.len() == text.len() {
        return None;
    }
    let end = start
        .find(|letter: char| !letter.is_ascii_alphabetic())
        .unwrap_or(start.len());
    let (level, rest) = start.split_at(end);
    let parted = rest.is_empty() || rest.starts_with(is_separator);
    (parted && is_level(level)).then(|| (level, rest.trim_start_matches(is_separator)))
}

const fn is_separator(letter: char) -> bool {
    matches!(letter, '\t' | ' ' | '\u{25b8}' | '\u{2192}')
}

/// The next word and the text behind it, blanks and tabs trimmed.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii_start();
    match text.find(['\t', ' ']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

pub(super) fn is_level(word: &str) -> bool {
    const LEVELS: &[&str] = &[
        "info", "warn", "error", "debug", "warning", "fatal", "trace", "critical", "none", "off",
    ];
    word.len() <= 8 && LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level))
}

/// The scope at the beginning, if there is one, and the rest.
fn scope(text: &str) -> (Option<Cow<'_, str>>, &str) {
    let text = text.trim_ascii_start();
    if let Some(rest) = text.strip_prefix("envoy ") {
        let (logger, rest) = word(rest);
        let head = text[..text.len() - rest.len()].trim_ascii_end();
        let plain = head.len() == "envoy ".len() + logger.len();
        let scope = if plain {
            Cow::Borrowed(head)
        } else {
            Cow::Owned(["envoy", logger].join(" "))
        };
        return (Some(scope), without_source(rest));
    }
    let (first, rest) = field(text);
    if is_scope_name(first) && !rest.is_empty() && !is_label(field(rest).0) {
        return (Some(Cow::Borrowed(first)), rest);
    }
    let (first, rest) = word(text);
    if SCOPES.contains(&first) && !rest.is_empty() {
        return (Some(Cow::Borrowed(first)), rest);
    }
    (None, text)
}

/// The text before a tab, or before the blanks that a tab became, and the text behind.
fn field(text: &str) -> (&str, &str) {
    match (text.find('\t'), text.find("  ")) {
        (Some(at), _) | (None, Some(at)) => (&text[..at], text[at..].trim_ascii_start()),
        (None, None) => (text, ""),
    }
}

fn is_scope_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 40
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'.'))
}

/// Envoy 1.18 and later write `<file>:<line>` before the message.
fn without_source(text: &str) -> &str {
    let (first, rest) = word(text);
    let is_source = first.rsplit_once(':').is_some_and(|(file, line)| {
        file.contains('.') && !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())
    });
    if is_source {
        rest
    } else {
        without_bracketed_source(text)
    }
}

/// `name=value`, the name as Istio writes them.
fn is_label(field: &str) -> bool {
    field.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// The message without the labels behind it: fields after a tab or after the blanks that a tab
/// became; or, after a single blank, those that are known.
fn without_labels(text: &str) -> &str {
    let mut message = text.trim_ascii_end();
    while let Some((before, last)) = last_field(message) {
        if !is_label(last) {
            return message;
        }
        message = before.trim_ascii_end();
    }
    loop {
        let start = match message.strip_suffix(']') {
            Some(list) => list.rfind(" ips=["),
            None => message.rfind(' '),
        };
        let known = start.filter(|at| {
            let name = message[at + 1..].split('=').next().unwrap_or_default();
            name.len() < message.len() - at - 1 && LABELS.contains(&name)
        });
        let Some(at) = known else {
            return message;
        };
        message = message[..at].trim_ascii_end();
    }
}

fn last_field(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once('\t').or_else(|| text.rsplit_once("  "))
}

/// Envoy before Istio 1.12: `[time][thread][level][logger] [file:line] message`.
pub(super) fn bracketed(line: &str) -> Option<AgentLine<'_>> {
    let (stamp, rest) = bracket(line)?;
    let (at, used) = time::scan(stamp)?;
    if used != stamp.len() {
        return None;
    }
    let (first, rest) = bracket(rest)?;
    // The thread is missing in some formats.
    let (level, rest) = if is_level(first) {
        (first, rest)
    } else {
        bracket(rest)?
    };
    if !is_level(level) {
        return None;
    }
    let (scope, rest) = match bracket(rest) {
        Some((logger, rest)) => (Some(Cow::Owned(["envoy", logger].join(" "))), rest),
        None => (None, rest),
    };
    let message = without_bracketed_source(rest.trim_ascii_start());
    Some(AgentLine {
        at: Some(at),
        time: Some(Cow::Borrowed(stamp)),
        level: Cow::Borrowed(level),
        scope,
        message: Cow::Borrowed(message),
        kind: AgentKind::of(message),
    })
}

fn bracket(text: &str) -> Option<(&str, &str)> {
    text.trim_ascii_start().strip_prefix('[')?.split_once(']')
}

/// `[file:line] message`, or without the opening bracket as the oldest builds write it.
fn without_bracketed_source(text: &str) -> &str {
    let inner = text.strip_prefix('[').unwrap_or(text);
    match inner.split_once("] ") {
        Some((source, rest)) if source.contains(':') && !source.contains(' ') => rest,
        _ => text,
    }
}
