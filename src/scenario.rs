//! What did the user ask for?
//!
//! A scenario is read in two steps: what was written becomes a checked [`Plan`] in which every
//! quantity has a meaning, or a list of faults, all at once, each with its place, value and an
//! example of a good one.

mod gates;
mod plan;

pub use gates::Gates;
pub use plan::{
    Action, Arrival, Connections, DEFAULT_OUTBOUND_PATTERNS, Delay, LabPlan, LoadFrom, LoadPlan,
    ObservePlan, Plan, Repeat, RequestClass, Stage, Step, Target, Workload, WorkloadKind,
};
