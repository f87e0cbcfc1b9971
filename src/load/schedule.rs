//! When does the next request leave, of which class, on which kind of connection?
//!
//! All of it is decided without looking at any answer. Arrivals are those of a process of rate one
//! (every whole number, or exponential gaps) carried back through the integral of the planned
//! rate, so stages need no special case and no arrival is lost or doubled where they meet. Classes
//! and connection kinds follow their shares as evenly as they can, each kind with a turn of its
//! own, so that every class meets both kinds of connection in its share.

use crate::scenario::{Arrival, LoadPlan, RequestClass, Stage};
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;

/// The arrivals of one lane of `lanes`, as offsets from the start of the load.
#[derive(Debug)]
pub(super) struct Schedule {
    stages: Vec<Stage>,
    /// Start of the current (first) stage in seconds, and the arrivals planned before it.
    begun: f64,
    before: f64,
    process: Process,
}

/// Arrivals at rate one.
#[derive(Debug)]
enum Process {
    Even {
        next: f64,
        step: f64,
    },
    Exponential {
        last: f64,
        mean: f64,
        rng: Box<StdRng>,
    },
}

impl Process {
    fn next(&mut self) -> f64 {
        match self {
            Self::Even { next, step } => {
                let at = *next;
                *next += *step;
                at
            }
            Self::Exponential { last, mean, rng } => {
                let uniform: f64 = rng.random();
                *last += -(1.0 - uniform).ln() * *mean;
                *last
            }
        }
    }
}

impl Schedule {
    /// Lane `lane` of `lanes` takes its share: together they are the plan's process.
    pub(super) fn new(plan: &LoadPlan, lane: usize, lanes: usize, seed: u64) -> Self {
        let process = match plan.arrival {
            Arrival::Constant => Process::Even {
                next: lane as f64,
                step: lanes as f64,
            },
            Arrival::Poisson => Process::Exponential {
                last: 0.0,
                mean: lanes as f64,
                rng: Box::new(StdRng::seed_from_u64(seed)),
            },
        };
        let mut stages: Vec<Stage> = plan.stages.iter().rev().cloned().collect();
        if let Some(last) = stages.first_mut() {
            last.duration = None;
        }
        Self {
            stages,
            begun: 0.0,
            before: 0.0,
            process,
        }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    /// `None` once the rate stays zero.
    fn next(&mut self) -> Option<Duration> {
        let arrival = self.process.next();
        loop {
            let stage = self.stages.last()?;
            let ahead = arrival - self.before;
            match stage.duration {
                Some(duration) if stage.rate * duration.as_secs_f64() <= ahead => {
                    self.before += stage.rate * duration.as_secs_f64();
                    self.begun += duration.as_secs_f64();
                    self.stages.pop();
                }
                _ if stage.rate > 0.0 => {
                    return Duration::try_from_secs_f64(self.begun + ahead / stage.rate).ok();
                }
                _ => return None,
            }
        }
    }
}

/// What an arrival asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A connection of its own, closed after it.
    Own,
    /// A kept connection.
    Kept,
}

/// Deals classes and connection kinds to arrivals by their shares.
#[derive(Debug)]
pub(super) struct Mix {
    new_share: f64,
    new_due: f64,
    own: Turns,
    kept: Turns,
}

impl Mix {
    pub(super) fn new(plan: &LoadPlan) -> Self {
        Self {
            new_share: plan.connections.new.clamp(0.0, 1.0),
            new_due: 0.0,
            own: Turns::new(&plan.requests),
            kept: Turns::new(&plan.requests),
        }
    }

    /// Kind and class index of the next arrival.
    pub(super) fn deal(&mut self) -> (Wish, usize) {
        self.new_due += self.new_share;
        // The slack keeps 0.1 * 10 from missing its turn by a rounding error.
        if self.new_due >= 1.0 - 1e-9 {
            self.new_due -= 1.0;
            (Wish::Own, self.own.next())
        } else {
            (Wish::Kept, self.kept.next())
        }
    }
}

/// Smooth weighted round robin.
#[derive(Debug)]
struct Turns {
    weights: Vec<f64>,
    credit: Vec<f64>,
}

impl Turns {
    fn new(classes: &[RequestClass]) -> Self {
        Self {
            weights: classes.iter().map(|class| class.weight.max(0.0)).collect(),
            credit: vec![0.0; classes.len()],
        }
    }

    fn next(&mut self) -> usize {
        let mut best = 0;
        for (index, weight) in self.weights.iter().enumerate() {
            self.credit[index] += weight;
            if self.credit[index] > self.credit[best] {
                best = index;
            }
        }
        self.credit[best] -= self.weights.iter().sum::<f64>();
        best
    }
}
