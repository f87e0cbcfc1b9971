//! From where is a log stream taken up again, and which of its lines were seen before?
//!
//! `sinceTime` counts whole seconds, and stdout and stderr may be a little out of order: so a
//! stream is resumed two seconds before its last stamp, and what is seen again is recognised by
//! stamp and text.

use crate::evidence::LogLine;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A stream is taken up so long before its last stamp.
const OVERLAP: i64 = 2_000_000_000;

/// Lines are remembered for so long; more than the overlap and the second that `sinceTime` floors.
const MEMORY: i64 = 4_000_000_000;

/// What is remembered of a stream.
#[derive(Debug, Default)]
pub(super) struct Resume {
    last: Option<i64>,
    /// How often each line was seen, by stamp.
    seen: BTreeMap<i64, HashMap<u64, u32>>,
    /// The same for the stream that is open now: equal lines of one stamp are told apart by count.
    again: HashMap<(i64, u64), u32>,
    /// Lines of the open stream that were seen before.
    overlap: u64,
    taken_up: bool,
}

/// What a line of a resumed stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Not seen before.
    New,
    /// Not seen before, and neither was anything before it: lines may be missing in between.
    NewAfterHole,
    /// Seen before.
    Before,
}

impl Resume {
    /// A stream is opened: gives the instant to open it from, in epoch seconds.
    pub(super) fn open(&mut self) -> Option<i64> {
        self.again.clear();
        self.overlap = 0;
        self.taken_up = self.last.is_some();
        self.last
            .map(|last| (last - OVERLAP).div_euclid(1_000_000_000))
    }

    /// A new instance of the container begins its log anew.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Judges a line of the open stream and remembers it. Lines without a stamp are new.
    pub(super) fn take(&mut self, line: &LogLine) -> Seen {
        let Some(stamp) = line.stamp else {
            return Seen::New;
        };
        let mut hasher = DefaultHasher::new();
        line.text.hash(&mut hasher);
        let text = hasher.finish();
        let again = self.again.entry((stamp, text)).or_default();
        *again += 1;
        let known = self.seen.entry(stamp).or_default().entry(text).or_default();
        if *again <= *known {
            self.overlap += 1;
            return Seen::Before;
        }
        *known += 1;
        self.last = self.last.max(Some(stamp));
        let forget = self.last.unwrap_or(stamp) - MEMORY;
        self.seen = self.seen.split_off(&forget);
        if self.again.len() > 2 * self.seen.values().map(HashMap::len).sum::<usize>() + 64 {
            self.again.retain(|(stamp, _), _| *stamp >= forget);
        }
        if self.taken_up && self.overlap == 0 {
            self.taken_up = false;
            return Seen::NewAfterHole;
        }
        Seen::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(stamp: i64, text: &str) -> LogLine {
        LogLine {
            stamp: Some(stamp),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_resumed_stream_doubles_nothing_and_equal_lines_of_one_stamp_are_all_kept() {
        let second = 1_000_000_000;
        let mut resume = Resume::default();
        assert_eq!(resume.open(), None);
        let first = [
            line(10 * second, "a"),
            line(10 * second, "a"),
            line(11 * second, "b"),
        ];
        for line in &first {
            assert_eq!(resume.take(line), Seen::New);
        }
        assert_eq!(resume.open(), Some(9));
        for line in &first {
            assert_eq!(resume.take(line), Seen::Before);
        }
        assert_eq!(resume.take(&line(11 * second, "b")), Seen::New);
    }

    #[test]
    fn a_resumed_stream_without_overlap_has_a_hole() {
        let mut resume = Resume::default();
        resume.open();
        resume.take(&line(5_000_000_000, "a"));
        resume.open();
        assert_eq!(resume.take(&line(9_000_000_000, "z")), Seen::NewAfterHole);
        assert_eq!(resume.take(&line(9_000_000_001, "y")), Seen::New);
    }

    proptest! {
        /// Whatever is cut wherever: the lines that are new, in all openings together, are exactly
        /// the lines of the log.
        #[test]
        fn cut_anywhere_each_line_is_taken_once(
            steps in prop::collection::vec((0_i64..1_500_000_000, 0_u8..3), 1..60),
            cuts in prop::collection::vec(0_usize..60, 0..6),
        ) {
            let mut stamp = 1_000_000_000_000_000_000;
            let log: Vec<LogLine> = steps
                .iter()
                .map(|(step, text)| {
                    stamp += step;
                    line(stamp, &text.to_string())
                })
                .collect();
            let mut resume = Resume::default();
            let mut taken = Vec::new();
            for cut in cuts.into_iter().chain([log.len()]) {
                let since = resume.open().unwrap_or(0) * 1_000_000_000;
                let served = log.iter().filter(|line| line.stamp >= Some(since));
                let upto = cut.max(taken.len());
                let reach = log.get(upto).and_then(|line| line.stamp).unwrap_or(i64::MAX);
                for line in served.take_while(|line| line.stamp < Some(reach)) {
                    match resume.take(line) {
                        Seen::New => taken.push(line.clone()),
                        Seen::Before => {}
                        Seen::NewAfterHole => prop_assert!(false, "there is no hole"),
                    }
                }
            }
            prop_assert_eq!(taken, log);
        }
    }
}
