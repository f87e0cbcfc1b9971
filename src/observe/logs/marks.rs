//! Are requests that we sent found again in the logs (design 6, self-proof)?

use super::parse::{IstioLine, Reader, TextFormat};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

/// The part of a request id that nobody alters: Envoy rewrites index 14 of the ids that it samples
/// for tracing (facts 4.7).
const UNALTERED: usize = 15;

/// That part of anything that looks like a request id.
static TAIL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}").expect("the pattern is well formed")
});

/// Ids that are remembered at most: 20 bytes each, many more than a self-proof takes to pass.
const MOST: usize = 100_000;

/// The request ids that lines named while somebody was looking.
#[derive(Clone, Debug, Default)]
pub(in crate::observe) struct Marks {
    looking: Arc<AtomicBool>,
    /// By container.
    read: Arc<Mutex<BTreeMap<String, Read>>>,
    /// A TEXT format of the mesh's own.
    format: Arc<Mutex<Option<TextFormat>>>,
}

/// What the lines of a container have told.
#[derive(Debug, Default)]
struct Read {
    lines: usize,
    named: BTreeSet<String>,
    /// Of these, the ones in access lines whose format is known.
    understood: BTreeSet<String>,
}

/// How requests were found in the lines of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Lines that came.
    pub lines: usize,
    /// Requests that some line named.
    pub named: usize,
    /// Of these, the ones named by an access line whose format is known.
    pub understood: usize,
}

impl Marks {
    /// Reads every line from now on, access lines also in this format.
    pub(in crate::observe) fn begin(&self, format: Option<&str>) {
        let format = format.and_then(|format| TextFormat::new(format).ok());
        *self.format.lock().expect("nothing panics in between") = format;
        self.looking.store(true, Ordering::Relaxed);
    }

    /// Stops reading and forgets.
    pub(in crate::observe) fn end(&self) {
        self.looking.store(false, Ordering::Relaxed);
        self.lock().clear();
    }

    /// Looks at a line.
    pub(super) fn look(&self, container: &str, text: &str) {
        if !self.looking.load(Ordering::Relaxed) {
            return;
        }
        let tails: Vec<&str> = TAIL.find_iter(text).map(|tail| tail.as_str()).collect();
        let known = !tails.is_empty() && self.is_access_line(text);
        let mut read = self.lock();
        let read = read.entry(container.to_owned()).or_default();
        read.lines += 1;
        for tail in tails {
            if read.named.len() < MOST {
                read.named.insert(tail.to_owned());
            }
            if known && read.understood.len() < MOST {
                read.understood.insert(tail.to_owned());
            }
        }
    }

    fn is_access_line(&self, text: &str) -> bool {
        let format = self.format.lock().expect("nothing panics in between");
        let mut reader = Reader::new(format.clone());
        matches!(reader.read(text).line, IstioLine::Access(_))
    }

    /// How many of these ids the lines of a container have named.
    pub(in crate::observe) fn found(&self, container: &str, ids: &[String]) -> Found {
        let read = self.lock();
        let Some(read) = read.get(container) else {
            return Found::default();
        };
        let tails = || ids.iter().filter_map(|id| id.get(UNALTERED..));
        Found {
            lines: read.lines,
            named: tails().filter(|tail| read.named.contains(*tail)).count(),
            understood: tails()
                .filter(|tail| read.understood.contains(*tail))
                .count(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Read>> {
        self.read.lock().expect("nothing panics in between")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_though_envoy_altered_it_and_only_while_somebody_looks() {
        let ids = ["125a4afb-6f55-44ba-ad80-413f09f48a28".to_owned()];
        let line = "GET / 125a4afb-6f55-94ba-ad80-413f09f48a28 200";
        let marks = Marks::default();
        marks.look("istio-proxy", line);
        marks.begin(None);
        assert_eq!(marks.found("istio-proxy", &ids).named, 0);
        marks.look(
            "istio-proxy",
            "GET / 00000000-6f55-94ba-ad80-000000000000 200",
        );
        assert_eq!(marks.found("istio-proxy", &ids).named, 0);
        marks.look("istio-proxy", line);
        marks.look("istio-proxy", line);
        let found = marks.found("istio-proxy", &ids);
        assert_eq!((found.lines, found.named, found.understood), (3, 1, 0));
        assert_eq!(marks.found("app", &ids), Found::default());
        marks.end();
        marks.begin(Some(
            "%REQ(:METHOD)% %REQ(:PATH)% %REQ(X-REQUEST-ID)% %RESPONSE_CODE%",
        ));
        marks.look("istio-proxy", line);
        assert_eq!(marks.found("istio-proxy", &ids).understood, 1);
        marks.end();
        assert_eq!(marks.found("istio-proxy", &ids).named, 0);
    }
}
