//! What did the user ask for?
//!
//! A scenario is read in two steps: what was written (`schema`) becomes a checked [`Plan`]
//! (`resolve`) in which every quantity has a meaning, or [`Faults`], all at once, each with its
//! place, value and an example of a good one. Start at [`read()`].

mod fault;
mod gates;
mod plan;
mod quantity;
mod read;
mod resolve;
mod schema;
#[cfg(test)]
mod tests;
mod tree;

pub use fault::{Fault, Faults};
pub use gates::Gates;
pub use plan::{
    Action, Arrival, Connections, DEFAULT_OUTBOUND_PATTERNS, Delay, LabPlan, LoadFrom, LoadPlan,
    MAX_BASELINE_FAILED, ObservePlan, Plan, Repeat, RequestClass, Stage, Step, Target, Workload,
    WorkloadKind,
};

pub use resolve::Misnamed;

use fault::Ledger;
use read::{Read, Spot};
use std::path::Path;

/// Reads the scenario at `path`; `env` looks up environment variables (`fromEnv`).
///
/// # Errors
/// Everything that is wrong with it; the program then ends with exit code 64.
pub fn read(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Plan, Faults> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let folder = path.parent().unwrap_or(Path::new(""));
            read_str(&name, &text, folder, env)
        }
        Err(error) => {
            let mut ledger = Ledger::default();
            ledger.add(Fault {
                line: 0,
                path: String::new(),
                value: None,
                problem: format!("cannot be read: {error}"),
                hint:
                    "name the file of a scenario, as in `scenarios/rolling-restart-graceful.yaml`"
                        .to_owned(),
            });
            ledger.into_result(&name, None)
        }
    }
}

/// Reads a scenario from its text; `name` is its file's in faults, and files that it names are
/// looked for from `folder`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_str(
    name: &str,
    text: &str,
    folder: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Plan, Faults> {
    let mut ledger = Ledger::default();
    let plan = match tree::parse(text) {
        Ok(node) => schema::Scenario::read(&node, &Spot::root(), &mut ledger).and_then(|written| {
            let around = resolve::Surroundings { folder, env };
            resolve::plan(written, &around, &mut ledger)
        }),
        Err(syntax) => {
            ledger.add(Fault {
                line: syntax.line,
                path: String::new(),
                value: None,
                problem: syntax.problem,
                hint: syntax.hint.to_owned(),
            });
            None
        }
    };
    ledger.into_result(name, plan)
}

/// The JSON Schema of a scenario, for editors.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(schema::Scenario).to_value()
}
