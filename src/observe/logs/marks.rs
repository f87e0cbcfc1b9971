//! Are requests that we sent found again in the logs (design 6, self-proof)?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The part of a request id that nobody alters: Envoy rewrites index 14 of the ids that it samples
/// for tracing (facts 4.7).
const UNALTERED: usize = 15;

/// Request ids that are looked for in every line that comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    looking: Arc<AtomicBool>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    wanted: Vec<String>,
    /// By container: the ids that its lines named.
    found: BTreeMap<String, BTreeSet<String>>,
}

impl Marks {
    /// Looks for these ids from now on, in addition to earlier ones.
    pub(super) fn expect(&self, ids: impl IntoIterator<Item = String>) {
        let mut inner = self.inner.lock().expect("nothing panics in between");
        let tails = ids
            .into_iter()
            .map(|id| id.chars().skip(UNALTERED).collect());
        inner.wanted.extend(tails);
        self.looking.store(true, Ordering::Relaxed);
    }

    /// Stops looking: lines are not read any more.
    pub(super) fn rest(&self) {
        self.looking.store(false, Ordering::Relaxed);
    }

    /// Looks at a line.
    pub(super) fn look(&self, container: &str, text: &str) {
        if !self.looking.load(Ordering::Relaxed) {
            return;
        }
        let mut inner = self.inner.lock().expect("nothing panics in between");
        let named = inner.wanted.iter().find(|id| text.contains(id.as_str()));
        if let Some(id) = named.cloned() {
            let found = inner.found.entry(container.to_owned()).or_default();
            found.insert(id);
        }
    }

    /// How many of the ids each container's lines have named.
    pub(super) fn found(&self) -> BTreeMap<String, usize> {
        let inner = self.inner.lock().expect("nothing panics in between");
        let counts = inner.found.iter();
        counts
            .map(|(name, ids)| (name.clone(), ids.len()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_though_envoy_altered_it_and_counts_once() {
        let marks = Marks::default();
        marks.look("app", "125a4afb-6f55-44ba-ad80-413f09f48a28");
        marks.expect(["125a4afb-6f55-44ba-ad80-413f09f48a28".to_owned()]);
        marks.look(
            "istio-proxy",
            "GET / 125a4afb-6f55-94ba-ad80-413f09f48a28 200",
        );
        marks.look(
            "istio-proxy",
            "GET / 125a4afb-6f55-94ba-ad80-413f09f48a28 200",
        );
        marks.look(
            "istio-proxy",
            "GET / 00000000-6f55-94ba-ad80-000000000000 200",
        );
        let found = BTreeMap::from([("istio-proxy".to_owned(), 1)]);
        assert_eq!(
            marks.found(),
            found,
            "lines before the request do not count"
        );
    }
}
