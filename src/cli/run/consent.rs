//! Has somebody agreed to what the run will do to the target?

use crate::cli::Printer;
use crate::run::live::LiveRun;
use crate::scenario::Plan;
use std::io::{BufRead, IsTerminal};

/// What the plan needs consent for, one phrase each.
fn needs(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().map(|step| &step.action);
    let names: Vec<&str> = steps
        .filter(|action| action.disrupts())
        .map(crate::scenario::Action::name)
        .collect();
    let mut needs = Vec::new();
    if !names.is_empty() {
        needs.push(format!(
            "disturb `{}` ({})",
            plan.target.workload,
            names.join(", ")
        ));
    }
    for class in plan
        .load
        .requests
        .iter()
        .filter(|class| class.changes_state())
    {
        needs.push(format!(
            "send {} requests of class `{}` to `{}`",
            class.method, class.name, class.path
        ));
    }
    needs
}

/// `true`: agreed by `--yes`, by the terminal's answer, or there is nothing to agree to.
pub(super) fn given(run: &LiveRun, yes: bool, printer: Printer) -> bool {
    let needs = needs(&run.plan);
    if yes || needs.is_empty() {
        return true;
    }
    let place = format!(
        "namespace `{}` of `{}` ({})",
        run.target.namespace,
        run.cluster.context(),
        run.cluster.server()
    );
    let will = format!("this run will {} in {place}", needs.join(" and "));
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        printer.say(&format!(
            "error: {will}, and nobody has agreed to it\n\
             hint: agree with `--yes`, or see with `--dry-run` what would be done"
        ));
        return false;
    }
    printer.say(&format!("{will}.\nType `yes` to go on:"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    let agreed = read.is_ok() && answer.trim() == "yes";
    if !agreed {
        printer.say("nothing was changed");
    }
    agreed
}
