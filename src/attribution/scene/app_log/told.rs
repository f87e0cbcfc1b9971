//! Does a line that reads like a shutdown tell of one, or does the app write such lines every day?
//!
//! Words of a shutdown are words of daily work too: connections close, workers stop, paths are
//! called `draining`. A line tells of the pod's deletion where no line alike came before it.

use crate::evidence::{PodLife, STAMP_WIDTH};
use regex::Regex;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A word with a digit: a stamp, an address, a counter, an id.
static VARIES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"[^\s"'=,;()\[\]{}]*\d[^\s"'=,;()\[\]{}]*"#).expect("the pattern is a constant")
});

/// A stamped line that reads like a shutdown.
#[derive(Clone, Debug)]
pub(in crate::attribution) struct Told {
    /// Its index.
    pub(in crate::attribution) line: usize,
    /// Epoch nanoseconds of the node's clock.
    pub(in crate::attribution) stamp: i64,
    /// It has the words of a signal that came.
    pub(super) signalled: bool,
    /// What it says, but for numbers.
    shape: String,
    /// The first line alike, itself if no other is earlier.
    first: i64,
    /// The first line alike that can have been of no earlier end of the container.
    everyday: Option<i64>,
    /// No other line is alike.
    pub(super) single: bool,
}

/// What a line that follows the deletion says of the app's reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::attribution) enum Says {
    /// The app has begun to end.
    Ending,
    /// Nothing: the app wrote such lines before.
    Nothing,
    /// One or the other.
    Either,
}

impl Told {
    pub(super) fn new(line: usize, stamp: i64, text: &str, signalled: bool) -> Self {
        Self {
            line,
            stamp,
            signalled,
            shape: shape(text).into_owned(),
            first: stamp,
            everyday: None,
            single: true,
        }
    }

    /// What it says, where `before` tells of a stamp whether it was before the deletion.
    pub(in crate::attribution) fn says(&self, before: impl Fn(i64) -> bool) -> Says {
        match (
            self.everyday.is_some_and(&before),
            before(self.first),
            self.signalled,
        ) {
            (true, _, false) => Says::Nothing,
            // Another process's signal, or another signal than SIGTERM, can have come before.
            (true, _, true) | (false, true, false) => Says::Either,
            (false, true, true) | (false, false, _) => Says::Ending,
        }
    }
}

/// Finds for each line the first one that is alike. One that came before the container ended and was
/// started again, within its grace period, may tell of that end.
pub(super) fn compare(lines: &mut [Told], life: &PodLife, container: &str) {
    let ends = life.ends.iter().filter(|end| end.container == container);
    let restarts: Vec<i64> = ends
        .filter(|end| life.start_after(end).is_some())
        .filter_map(|end| end.finished)
        .collect();
    let of_earlier_end = |stamp: i64| {
        restarts
            .iter()
            .any(|finished| (finished - life.spec_grace..finished + STAMP_WIDTH).contains(&stamp))
    };
    let mut alike: HashMap<String, Vec<i64>> = HashMap::new();
    for told in &*lines {
        let stamps = alike.entry(told.shape.clone()).or_default();
        stamps.push(told.stamp);
    }
    let found: HashMap<String, (i64, Option<i64>, bool)> = alike
        .into_iter()
        .filter_map(|(shape, stamps)| {
            let everyday = stamps.iter().copied().filter(|at| !of_earlier_end(*at));
            let first = *stamps.iter().min()?;
            Some((shape, (first, everyday.min(), stamps.len() == 1)))
        })
        .collect();
    for told in lines {
        if let Some(known) = found.get(&told.shape) {
            (told.first, told.everyday, told.single) = *known;
        }
    }
}

fn shape(text: &str) -> Cow<'_, str> {
    VARIES.replace_all(text, "#")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_by_their_numbers_are_alike() {
        for (one, other, alike) in [
            (
                "2026/11/24 15:21:05 [info] 29#29: *7 client 10.244.0.1 closed keepalive connection",
                "2026/11/24 15:22:06 [info] 29#29: *81 client 10.244.0.77 closed keepalive connection",
                true,
            ),
            (
                "worker 3 stopped job 118",
                "worker 12 stopped job 119",
                true,
            ),
            (
                r#"{"ts":1.5,"msg":"drained"}"#,
                r#"{"ts":2,"msg":"drained"}"#,
                true,
            ),
            ("worker 3 stopped", "server stopped", false),
            ("GET /orders/draining 200", "draining", false),
        ] {
            assert_eq!(shape(one) == shape(other), alike, "{one} | {other}");
        }
    }
}
