//! Which of the lines about a start tell that the app's own port is open?
//!
//! Apps tell of much before that: of metrics on a port of their own, of pools that are ready, of
//! migrations that run. A line that names the port is its listener's; one that names another port is
//! not; one that names none comes before the first connection or after it, as the app pleases.

use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Lines about a start belong to one start while they follow the first one within this time.
const ONE_START: i64 = 30_000_000_000;

/// A port after the word or after a colon, which a clock's time and a JSON key have as well.
static PORT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)\bport(?:\(s\))?["']?\s*[:=]?\s*["']?(\d{2,5})\b|(?:^|[^"\d]|[:=\s(]"|\.\d{1,3}):(\d{2,5})\b"#,
    )
    .expect("the pattern is a constant")
});

/// Where in its source a program logs.
static SOURCE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\.(go|rs|py|js|ts|java|kt|cc|cpp|c|rb|cs|php):\d+")
        .expect("the pattern is a constant")
});

/// A stamped line that reads as if something listened.
#[derive(Clone, Debug)]
pub(in crate::attribution) struct Listens {
    /// Epoch nanoseconds of the node's clock.
    pub(in crate::attribution) stamp: i64,
    /// The ports that it names.
    ports: BTreeSet<u16>,
}

/// When an app opened its port, by its own lines: stamps of the node's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::attribution) struct Opening {
    /// Not before this line.
    pub(in crate::attribution) first: i64,
    /// The last line of the start.
    pub(in crate::attribution) last: i64,
    /// The lines name each port: by the last one all are open.
    pub(in crate::attribution) named: bool,
}

impl Listens {
    pub(super) fn new(stamp: i64, text: &str) -> Self {
        Self {
            stamp,
            ports: ports(text),
        }
    }
}

/// The opening of the ports `own` that these lines, in their order, tell of; where no port is known,
/// of the only one that they name.
pub(super) fn opening<'a>(
    lines: impl Iterator<Item = &'a Listens> + Clone,
    own: &BTreeSet<u16>,
) -> Option<Opening> {
    let named: BTreeSet<u16> = lines.clone().flat_map(|line| line.ports.clone()).collect();
    let own = if own.is_empty() && named.len() == 1 {
        &named
    } else {
        own
    };
    let stamps = |wanted: &dyn Fn(&Listens) -> bool| {
        let chosen = lines.clone().filter(|line| wanted(line));
        let stamps: Vec<i64> = chosen.map(|line| line.stamp).collect();
        let first = *stamps.first()?;
        let start = stamps
            .iter()
            .take_while(|stamp| **stamp - first < ONE_START);
        Some((first, *start.last()?))
    };
    let first_of = |port| lines.clone().find(|line| line.ports.contains(port));
    let each: Option<Vec<i64>> = own
        .iter()
        .map(|port| first_of(port).map(|line| line.stamp))
        .collect();
    // While one of several ports goes unnamed it may be any of them that clients ask for.
    if let Some(each) = each.and_then(|each| each.into_iter().max()) {
        let (first, last) = stamps(&|line| !line.ports.is_disjoint(own))?;
        return Some(Opening {
            first,
            last: last.max(each),
            named: true,
        });
    }
    let may_be = |line: &Listens| line.ports.is_empty() || !line.ports.is_disjoint(own);
    let (first, last) = stamps(&|line| own.is_empty() || may_be(line))?;
    Some(Opening {
        first,
        last,
        named: false,
    })
}

fn ports(text: &str) -> BTreeSet<u16> {
    let text = SOURCE.replace_all(text, "");
    let found = PORT.captures_iter(&text);
    found
        .filter_map(|found| found.get(1).or(found.get(2))?.as_str().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_told_from_a_time_a_key_and_a_place_in_the_source() {
        for (text, named) in [
            ("2026/11/24 15:38:15.797308 listening on :8080", Some(8080)),
            (
                "2026-11-24T15:38:15+01:00 listening on 0.0.0.0:8080",
                Some(8080),
            ),
            ("Tomcat started on port(s): 8080 (http)", Some(8080)),
            ("Tomcat started on port 8080 (http)", Some(8080)),
            ("Listening at: http://0.0.0.0:8000 (1)", Some(8000)),
            (
                "I1124 15:20:31.123456 1 server.go:142] Serving on [::]:8443",
                Some(8443),
            ),
            (
                r#"{"time":1795533600,"pid":1234,"port":8080,"msg":"listening"}"#,
                Some(8080),
            ),
            (
                r#"{"level":"info","msg":"listening","addr":":8080"}"#,
                Some(8080),
            ),
            (r#"{"level":30,"pid":1234,"msg":"server ready"}"#, None),
            ("INFO 15:20:31 main.py:77 server ready", None),
            (
                "running migrations on the orders database at db:5432",
                Some(5432),
            ),
            ("connection pool ready, 8 connections", None),
        ] {
            assert_eq!(ports(text), named.into_iter().collect(), "{text}");
        }
    }

    #[test]
    fn a_line_that_names_the_port_tells_more_than_one_that_names_none_or_another() {
        let (metrics, pool, own, also) = (
            "metrics server listening on :9113",
            "connection pool ready, 8 connections",
            "listening on :8080",
            "now serving on [::]:8080",
        );
        let known = BTreeSet::from([8080]);
        let both = BTreeSet::from([8080, 9113]);
        for (ports, texts, opening) in [
            (&known, vec![metrics, pool, own], Some((2, 2, true))),
            (&known, vec![metrics, own, also, pool], Some((1, 2, true))),
            (&known, vec![metrics, pool], Some((1, 1, false))),
            (&known, vec![metrics], None),
            (&both, vec![metrics, pool], Some((0, 1, false))),
            (&both, vec![metrics, pool, own], Some((0, 2, true))),
            (&BTreeSet::new(), vec![pool, own], Some((1, 1, true))),
            (
                &BTreeSet::new(),
                vec![metrics, pool, own],
                Some((0, 2, false)),
            ),
            (&BTreeSet::new(), vec![pool, pool], Some((0, 1, false))),
        ] {
            let lines = texts.iter().enumerate();
            let lines: Vec<_> = lines
                .map(|(at, text)| Listens::new(at as i64, text))
                .collect();
            let found = super::opening(lines.iter(), ports);
            let found = found.map(|found| (found.first, found.last, found.named));
            assert_eq!(found, opening, "{ports:?} {texts:?}");
        }
    }
}
