//! Can the scenario that was named be used, also by what only the observers can tell of it?

use crate::observe::logs::parse::{FormatError, TextFormat};
use crate::scenario::{self, Fault, Faults, Plan};
use std::path::Path;

/// Reads a scenario with this process's environment.
pub(super) fn read(path: &Path) -> Result<Plan, Faults> {
    let plan = scenario::read(path, &|name| std::env::var(name).ok())?;
    match &plan.observe.access_log_format {
        Some(format) => match TextFormat::new(format) {
            Ok(_) => Ok(plan),
            Err(error) => Err(Faults::one(path, no_format(format, &error))),
        },
        None => Ok(plan),
    }
}

/// A format that no access line can be read by. The plan does not know its line any more; 0 leaves
/// it out.
fn no_format(format: &str, error: &FormatError) -> Fault {
    Fault {
        line: 0,
        path: "spec.observe.accessLogFormat".to_owned(),
        value: Some(format.to_owned()),
        problem: match error {
            FormatError::Unclosed { place } => {
                format!("has an operator that no `%` closes, at `{place}`")
            }
            FormatError::Empty { .. } => "names nothing of a request".to_owned(),
        },
        hint: "copy `meshConfig.accessLogFormat`, for instance `[%START_TIME%] %REQ(:METHOD)% \
               %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %REQ(X-REQUEST-ID)%`"
            .to_owned(),
    }
}
