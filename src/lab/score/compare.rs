//! How do two answers to the same questions compare?

use super::derive::Truth;
use super::pods::PodScore;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Attribution against the truth.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Failed requests.
    pub failures: u64,
    /// Those whose true cause the lab knows: all below is about these.
    pub known: u64,
    /// Those that attribution named rightly.
    pub right: u64,
    /// What always answering with the most frequent cause would have got right.
    pub constant_right: u64,
    /// That cause.
    pub constant: Option<String>,
    /// Each cause.
    pub causes: BTreeMap<String, CauseScore>,
    /// How often which true cause (first) was called what (second).
    pub confusion: BTreeMap<String, BTreeMap<String, u64>>,
    /// The pods: hazards and lost calls.
    pub pods: Vec<PodScore>,
}

/// How well one cause was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CauseScore {
    /// Requests that truly had it.
    pub truly: u64,
    /// Requests that were said to have it.
    pub said: u64,
    /// Both.
    pub right: u64,
}

impl CauseScore {
    /// Of those said to have it, the share that has; `None`: nobody was.
    pub fn precision(&self) -> Option<f64> {
        (self.said > 0).then(|| self.right as f64 / self.said as f64)
    }

    /// Of those that have it, the share that was said to; `None`: nobody has.
    pub fn recall(&self) -> Option<f64> {
        (self.truly > 0).then(|| self.right as f64 / self.truly as f64)
    }
}

impl Score {
    /// Counts pairs of the truth and what was said. An answer that is as good as the true one
    /// within the truth's resolution is right.
    pub(super) fn new(judged: impl Iterator<Item = (Truth, Option<String>)>) -> Self {
        let mut score = Self::default();
        for (truth, said) in judged {
            score.failures += 1;
            let Some(cause) = truth.cause else {
                continue;
            };
            score.known += 1;
            let said = said.unwrap_or_else(|| "(nothing)".to_owned());
            let as_good = truth.also.iter().any(|also| *also == said);
            let truly = if as_good {
                said.clone()
            } else {
                cause.to_owned()
            };
            let right = truly == said;
            score.right += u64::from(right);
            let entry = score.causes.entry(truly.clone()).or_default();
            entry.truly += 1;
            entry.right += u64::from(right);
            score.causes.entry(said.clone()).or_default().said += 1;
            *score
                .confusion
                .entry(truly)
                .or_default()
                .entry(said)
                .or_default() += 1;
        }
        let most = score.causes.iter().max_by_key(|(_, counts)| counts.truly);
        if let Some((cause, counts)) = most {
            score.constant_right = counts.truly;
            score.constant = Some(cause.clone());
        }
        score
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} failed requests have a known true cause, {} of them were named rightly ({})",
            self.known,
            self.failures,
            self.right,
            share(ratio(self.right, self.known)),
        )?;
        if let Some(constant) = &self.constant {
            let right = share(ratio(self.constant_right, self.known));
            writeln!(
                f,
                "always answering `{constant}` would have been right for {right}"
            )?;
        }
        writeln!(
            f,
            "\n{:<28} {:>6} {:>6} {:>10} {:>7}",
            "cause", "truly", "said", "precision", "recall"
        )?;
        for (cause, counts) in &self.causes {
            writeln!(
                f,
                "{cause:<28} {:>6} {:>6} {:>10} {:>7}",
                counts.truly,
                counts.said,
                share(counts.precision()),
                share(counts.recall()),
            )?;
        }
        for (truly, said) in &self.confusion {
            for (said, count) in said.iter().filter(|(said, _)| *said != truly) {
                writeln!(f, "{count} with `{truly}` were called `{said}`")?;
            }
        }
        let right = self.pods.iter().filter(|pod| pod.is_right()).count();
        writeln!(f, "\n{right} of {} pods were told rightly", self.pods.len())?;
        for pod in self.pods.iter().filter(|pod| !pod.is_right()) {
            writeln!(f, "{}: said {}, truly {}", pod.pod, pod.said, pod.truly)?;
        }
        Ok(())
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(cause: Option<&'static str>, also: &[&'static str]) -> Truth {
        Truth {
            cause,
            also: also.to_vec(),
            pod: None,
        }
    }

    #[test]
    fn precision_recall_and_the_constant_answer_are_counted() {
        let said = |cause: &str| Some(cause.to_owned());
        let score = Score::new(
            [
                (truth(Some("a"), &[]), said("a")),
                (truth(Some("a"), &[]), said("b")),
                (truth(Some("b"), &["a"]), said("a")),
                (truth(Some("b"), &[]), None),
                (truth(None, &[]), said("a")),
            ]
            .into_iter(),
        );
        assert_eq!((score.failures, score.known, score.right), (5, 4, 2));
        assert_eq!(
            score.causes["a"],
            CauseScore {
                truly: 3,
                said: 2,
                right: 2
            }
        );
        assert_eq!(score.causes["b"].precision(), Some(0.0));
        assert_eq!(score.causes["b"].recall(), Some(0.0));
        assert_eq!(
            (score.constant.as_deref(), score.constant_right),
            (Some("a"), 3)
        );
        assert_eq!(score.confusion["a"]["b"], 1);
        assert!(score.to_string().contains("1 with `a` were called `b`"));
    }
}
