//! How far is a run, for those who look on?

use crate::evidence::RunPhase;
use crate::load;
use crate::observe::PodSummary;
use std::time::Duration;

/// A run as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Since the run began.
    pub elapsed: Duration,
    /// The phase.
    pub phase: RunPhase,
    /// The step that is being carried out.
    pub step: Option<StepNow>,
    /// The load.
    pub load: load::Progress,
    /// The pods.
    pub pods: PodSummary,
    /// Which repetition, from 1, and how many at most.
    pub round: (u32, u32),
    /// What the self-proof is at, or something else worth telling.
    pub note: String,
}

/// A step that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepNow {
    /// Its number, from 1.
    pub number: usize,
    /// Of how many.
    pub of: usize,
    /// Its name.
    pub name: &'static str,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            elapsed: Duration::ZERO,
            phase: RunPhase::SelfProof,
            step: None,
            load: load::Progress::default(),
            pods: PodSummary::default(),
            round: (1, 1),
            note: String::new(),
        }
    }
}
