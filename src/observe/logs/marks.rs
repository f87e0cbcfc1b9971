//! Are requests that we sent found again in the logs (design 6, self-proof)?

use super::parse::{IstioLine, Reader, TextFormat};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

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
    /// By pod and container.
    read: Arc<Mutex<BTreeMap<(String, String), Read>>>,
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
    /// Of these, the ones that an access line gives as the request's id, not only in its path.
    kept: BTreeSet<String>,
}

/// How requests were found in the lines of containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Lines that came.
    pub lines: usize,
    /// Requests that some line named.
    pub named: usize,
    /// Of these, the ones named by an access line whose format is known.
    pub understood: usize,
    /// Of these, the ones that kept their id on the way.
    pub kept: usize,
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
    pub(super) fn look(&self, pod: &str, container: &str, text: &str) {
        if !self.looking.load(Ordering::Relaxed) {
            return;
        }
        let tails: Vec<&str> = TAIL.find_iter(text).map(|tail| tail.as_str()).collect();
        let id = (!tails.is_empty())
            .then(|| self.access_line(text))
            .flatten();
        let mut read = self.lock();
        let read = read
            .entry((pod.to_owned(), container.to_owned()))
            .or_default();
        read.lines += 1;
        for tail in tails {
            if read.named.len() < MOST {
                read.named.insert(tail.to_owned());
            }
            if id.is_some() && read.understood.len() < MOST {
                read.understood.insert(tail.to_owned());
            }
        }
        if let Some(own) = id.flatten().filter(|_| read.kept.len() < MOST) {
            read.kept.insert(own);
        }
    }

    /// The unaltered part of the id that an access line gives; `None`: it is none that is known.
    fn access_line(&self, text: &str) -> Option<Option<String>> {
        let format = self.format.lock().expect("nothing panics in between");
        match Reader::new(format.clone()).read(text).line {
            IstioLine::Access(line) => {
                let id = line.request_id.as_deref();
                Some(id.and_then(|id| id.get(UNALTERED..).map(str::to_owned)))
            }
            _ => None,
        }
    }

    /// How many of these ids the lines of a container have named, in any of these pods.
    pub(in crate::observe) fn found(
        &self,
        pods: &[String],
        container: &str,
        ids: &[String],
    ) -> Found {
        let all = self.lock();
        let reads: Vec<&Read> = all
            .iter()
            .filter(|((pod, own), _)| pods.contains(pod) && own == container)
            .map(|(_, read)| read)
            .collect();
        let count = |of: fn(&Read) -> &BTreeSet<String>| {
            let tails = ids.iter().filter_map(|id| id.get(UNALTERED..));
            let named = |tail: &&str| reads.iter().any(|read| of(read).contains(*tail));
            tails.filter(named).count()
        };
        Found {
            lines: reads.iter().map(|read| read.lines).sum(),
            named: count(|read| &read.named),
            understood: count(|read| &read.understood),
            kept: count(|read| &read.kept),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Read>> {
        self.read.lock().expect("nothing panics in between")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "125a4afb-6f55-44ba-ad80-413f09f48a28";
    const FORMAT: &str = "%REQ(:METHOD)% %REQ(:PATH)% %REQ(X-REQUEST-ID)% %RESPONSE_CODE%";

    fn found(marks: &Marks, pods: &[&str]) -> Found {
        let pods: Vec<String> = pods.iter().map(|pod| (*pod).to_owned()).collect();
        marks.found(&pods, "istio-proxy", &[ID.to_owned()])
    }

    #[test]
    fn an_id_is_found_though_envoy_altered_it_and_only_while_somebody_looks() {
        let line = "GET / 125a4afb-6f55-94ba-ad80-413f09f48a28 200";
        let marks = Marks::default();
        let look = |line| marks.look("a", "istio-proxy", line);
        look(line);
        marks.begin(None);
        assert_eq!(found(&marks, &["a"]).named, 0);
        look("GET / 00000000-6f55-94ba-ad80-000000000000 200");
        assert_eq!(found(&marks, &["a"]).named, 0);
        look(line);
        look(line);
        let seen = found(&marks, &["a"]);
        assert_eq!((seen.lines, seen.named, seen.understood), (3, 1, 0));
        assert_eq!(
            marks.found(&["a".to_owned()], "app", &[ID.to_owned()]),
            Found::default()
        );
        marks.end();
        marks.begin(Some(FORMAT));
        look(line);
        assert_eq!(found(&marks, &["a"]).understood, 1);
        marks.end();
        assert_eq!(found(&marks, &["a"]).named, 0);
    }

    #[test]
    fn the_log_of_one_pod_does_not_vouch_for_that_of_another() {
        let marks = Marks::default();
        marks.begin(Some(FORMAT));
        marks.look("a", "istio-proxy", &format!("GET / {ID} 200"));
        marks.look("b", "istio-proxy", "GET / - 200");
        assert_eq!(found(&marks, &["a"]).named, 1);
        assert_eq!(
            (found(&marks, &["b"]).lines, found(&marks, &["b"]).named),
            (1, 0)
        );
        let both = found(&marks, &["a", "b"]);
        assert_eq!((both.lines, both.named, both.kept), (2, 1, 1));
    }

    #[test]
    fn an_id_in_the_path_is_found_where_the_requests_own_was_replaced() {
        let marks = Marks::default();
        marks.begin(Some(FORMAT));
        let line = format!("GET /?lastwatch-id={ID} 00000000-6f55-94ba-ad80-000000000000 200");
        marks.look("a", "istio-proxy", &line);
        let seen = found(&marks, &["a"]);
        assert_eq!((seen.named, seen.understood, seen.kept), (1, 1, 0));
    }
}
