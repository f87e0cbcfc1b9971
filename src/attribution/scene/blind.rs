//! Of what does the record say that it was not seen, and when?

use crate::evidence::{EventKind, Interval, RunOffset, Timeline};

/// The spans in which a source of evidence was not seen.
#[derive(Debug, Default)]
pub(in crate::attribution) struct Blind {
    gaps: Vec<(String, Interval)>,
}

impl Blind {
    pub(super) fn of(timeline: &Timeline) -> Self {
        let (first, last) = (RunOffset(i64::MIN), RunOffset(i64::MAX));
        let gaps = timeline
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::Blind(gap) => {
                    let span = Interval {
                        lo: gap.from.unwrap_or(first),
                        hi: gap.to.unwrap_or(last),
                    };
                    Some((gap.what.clone(), span))
                }
                _ => None,
            });
        Self {
            gaps: gaps.collect(),
        }
    }

    /// Nothing of `what` was seen at some time within `span`.
    pub(in crate::attribution) fn to(&self, what: &str, span: Interval) -> bool {
        self.gaps
            .iter()
            .any(|(name, gap)| name == what && gap.intersect(span).is_some())
    }

    /// Lines that this container wrote within `span` may be missing from its log.
    pub(in crate::attribution) fn to_log(
        &self,
        pod: &str,
        container: &str,
        span: Interval,
    ) -> bool {
        self.to("logs", span) || self.to(&format!("logs/{pod}/{container}"), span)
    }
}
