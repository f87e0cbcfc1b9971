//! What may be written in a scenario, for an editor?

use super::{Exit, Printer};
use crate::scenario;

/// `lastwatch schema`: prints the JSON Schema of a scenario.
pub(super) fn run(printer: Printer) -> Exit {
    printer.data(&format!("{:#}\n", scenario::json_schema()));
    Exit::Pass
}
