//! What does a scenario mean?
//!
//! The second step of reading: what was written gets its defaults and is checked for sense. Like
//! the first step this one never stops at a fault; a part that has one is left out of the plan,
//! which then is never handed on.

mod load;
mod request;
mod settings;
mod steps;
mod target;

pub use target::Misnamed;

use super::fault::{Fault, Ledger};
use super::plan::{MAX_BASELINE_FAILED, Plan};
use super::read::At;
use super::schema::{Metadata, Scenario, Switch};
use std::path::Path;

/// What a scenario is resolved against.
pub(super) struct Surroundings<'a> {
    /// The folder of the scenario, from which files are named.
    pub(super) folder: &'a Path,
    /// Looks up an environment variable.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

/// Makes the plan, or adds why there is none.
pub(super) fn plan(
    scenario: Scenario,
    around: &Surroundings<'_>,
    ledger: &mut Ledger,
) -> Option<Plan> {
    let name = scenario
        .metadata
        .and_then(|metadata| name(metadata.value, ledger));
    let spec = scenario.spec?.value;
    let target = spec
        .target
        .and_then(|target| target::target(target, ledger));
    let load = spec.load.and_then(|load| load::load(load, around, ledger));
    let kind = target.as_ref().map(|target| target.workload.kind);
    let steps = spec
        .steps
        .and_then(|steps| steps::steps(steps, kind, ledger));
    Some(Plan {
        name: name?,
        observe: settings::observe(spec.observe.map(|at| at.value), ledger),
        gates: settings::gates(spec.gates.map(|at| at.value).unwrap_or_default()),
        abort_after_failed: settings::abort_after(spec.abort_after_failed, ledger),
        max_baseline_failed: spec
            .max_baseline_failed
            .map_or(MAX_BASELINE_FAILED, |at| at.value.0),
        repeat: settings::repeat(spec.repeat, ledger),
        lab: settings::lab(
            spec.lab.map(|at| at.value).unwrap_or_default(),
            around,
            ledger,
        ),
        target: target?,
        load: load?,
        steps: steps?,
    })
}

fn name(metadata: Metadata, ledger: &mut Ledger) -> Option<String> {
    let name = metadata.name?;
    if !is_object_name(&name.value.0) {
        ledger.add(
            name.fault(
                "is no name: only lower case letters, digits, `-` and `.`, at most 63 of them",
            ),
        );
        return None;
    }
    Some(name.value.0)
}

/// The text can name an object of the API.
fn is_object_name(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(|c| edge(c) || c == '-' || c == '.')
        && text.starts_with(edge)
        && text.ends_with(edge)
}

/// What to write instead of a text that names no object, where only its case is wrong.
fn object_name_hint(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    is_object_name(&lower)
        .then(|| format!("names of objects are in lower case, for instance `{lower}`"))
}

/// A number that must be at least 1 and fit its type.
fn positive<T: TryFrom<u64>>(at: &At<super::schema::Count>, ledger: &mut Ledger) -> Option<T> {
    if at.value.0 == 0 {
        ledger.add(at.fault("is too few: it must be at least 1"));
        return None;
    }
    fitting(at, ledger)
}

/// A number that must fit its type.
fn fitting<T: TryFrom<u64>>(at: &At<super::schema::Count>, ledger: &mut Ledger) -> Option<T> {
    let number = T::try_from(at.value.0).ok();
    if number.is_none() {
        ledger.add(at.fault("is too large"));
    }
    number
}

/// The value of a gate or limit: the default where nothing was written.
fn switched<T, U>(
    at: Option<At<Switch<T>>>,
    default: Option<U>,
    value: impl Fn(T) -> U,
) -> Option<U> {
    match at.map(|at| at.value) {
        None => default,
        Some(Switch::Off) => None,
        Some(Switch::On(on)) => Some(value(on)),
    }
}

/// A fault about a whole map, which has no value to show.
fn fault_at<T>(at: &At<T>, problem: impl Into<String>, hint: impl Into<String>) -> Fault {
    Fault {
        value: None,
        ..at.fault_with(problem, hint)
    }
}
