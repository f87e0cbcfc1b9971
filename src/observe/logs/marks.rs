//! Are requests that we sent found again in the logs (design 6, self-proof)?

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
    named: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
}

impl Marks {
    /// Reads every line from now on.
    pub(in crate::observe) fn begin(&self) {
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
        let mut named = self.lock();
        let ids = named.entry(container.to_owned()).or_default();
        for tail in TAIL.find_iter(text) {
            if ids.len() < MOST {
                ids.insert(tail.as_str().to_owned());
            }
        }
    }

    /// How many of these ids the lines of a container have named.
    pub(in crate::observe) fn found(&self, container: &str, ids: &[String]) -> usize {
        let named = self.lock();
        let Some(named) = named.get(container) else {
            return 0;
        };
        let tails = ids.iter().filter_map(|id| id.get(UNALTERED..));
        tails.filter(|tail| named.contains(*tail)).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        self.named.lock().expect("nothing panics in between")
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
        marks.begin();
        assert_eq!(marks.found("istio-proxy", &ids), 0);
        marks.look(
            "istio-proxy",
            "GET / 00000000-6f55-94ba-ad80-000000000000 200",
        );
        assert_eq!(marks.found("istio-proxy", &ids), 0);
        marks.look("istio-proxy", line);
        marks.look("istio-proxy", line);
        assert_eq!(marks.found("istio-proxy", &ids), 1);
        assert_eq!(marks.found("app", &ids), 0);
        marks.end();
        assert_eq!(marks.found("istio-proxy", &ids), 0);
    }
}
