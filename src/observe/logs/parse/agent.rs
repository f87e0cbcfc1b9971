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
    let (level, rest) = word(rest.strip_prefix(['\t', ' '])?);
    if !is_level(level) {
        return None;
    }
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
        let (head, _) = text.split_at(text.len() - rest.len());
        let scope = format_args!("envoy {logger}").to_string();
        let scope = if head.trim_ascii_end() == scope {
            Cow::Borrowed(head.trim_ascii_end())
        } else {
            Cow::Owned(scope)
        };
        return (Some(scope), without_source(rest));
    }
    match text.split_once('\t') {
        Some((first, rest)) if is_scope_name(first) && !is_label(first_field(rest)) => {
            (Some(Cow::Borrowed(first)), rest)
        }
        Some(_) => (None, text),
        None => {
            let (first, rest) = word(text);
            if SCOPES.contains(&first) && !rest.is_empty() {
                (Some(Cow::Borrowed(first)), rest)
            } else {
                (None, text)
            }
        }
    }
}

fn first_field(text: &str) -> &str {
    text.split('\t').next().unwrap_or_default()
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
    if is_source { rest } else { text }
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

/// The message without the labels behind it: fields after a tab, or known ones after a blank.
fn without_labels(text: &str) -> &str {
    let mut message = text;
    while let Some((before, last)) = message.rsplit_once('\t') {
        if !last.split(' ').all(is_label) {
            return message;
        }
        message = before;
    }
    while let Some((before, last)) = message.rsplit_once(' ') {
        let known = last
            .split_once('=')
            .is_some_and(|(name, _)| LABELS.contains(&name));
        if !known {
            break;
        }
        message = before.trim_ascii_end();
    }
    message
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
