//! How is a scenario run against a lab?

use super::outer::{Error, Session, Settings};
use crate::lab::node::program;
use crate::scenario::{LoadFrom, Plan};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitStatus};

/// Starts a lab as `plan` wants it and runs this program in it once more, as a process of its own
/// that knows nothing but a kubeconfig. `arguments` are those it was started with (without its
/// name); `record` is where the run's record goes, and where the lab's truth is put beside it in
/// the end. `say` tells the user what goes on.
pub async fn practise(
    plan: &Plan,
    settings: Settings,
    arguments: &[OsString],
    record: &Path,
    say: impl Fn(&str),
) -> Result<ExitStatus, Error> {
    let settings = Settings {
        client: plan.load.from != LoadFrom::Local,
        ..settings
    };
    say("starting the lab");
    let session = Session::start(&plan.lab, &settings).await?;
    if let Some(warning) = session.mode().warning() {
        say(&warning);
    }
    let mut command = Command::new(program());
    command.args(inside(arguments, &session.kubeconfig_inside(), record));
    let status = session.run_inside(command).await;
    if record.is_dir()
        && let Err(error) = std::fs::copy(session.truth(), record.join("truth.jsonl"))
    {
        say(&format!("warning: the lab's truth was not kept: {error}"));
    }
    session.stop().await;
    status
}

/// The arguments of the run inside: on the lab's cluster, and with consent, since nobody but the
/// lab is disturbed.
fn inside(arguments: &[OsString], kubeconfig: &Path, record: &Path) -> Vec<OsString> {
    let mut inside: Vec<_> = arguments
        .iter()
        .filter(|argument| *argument != "--lab")
        .cloned()
        .collect();
    let given = |name: &str| {
        let long = format!("--{name}");
        arguments.iter().any(|argument| {
            let text = argument.to_string_lossy();
            text == long || text.starts_with(&format!("{long}="))
        })
    };
    inside.extend(["--kubeconfig".into(), kubeconfig.into()]);
    if !given("out") {
        inside.extend(["--out".into(), record.into()]);
    }
    if !given("yes") && !arguments.iter().any(|argument| argument == "-y") {
        inside.push("--yes".into());
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_inside_knows_a_kubeconfig_and_nothing_of_the_lab() {
        let run = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
            let inside = inside(
                &arguments,
                Path::new("/lab/kubeconfig"),
                Path::new("runs/x"),
            );
            let inside: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
            inside.join(" ")
        };
        assert_eq!(
            run(&["run", "demo.yaml", "--lab", "--report", "json=-"]),
            "run demo.yaml --report json=- --kubeconfig /lab/kubeconfig --out runs/x --yes"
        );
        assert_eq!(
            run(&["run", "--lab", "demo.yaml", "--out=y", "-y"]),
            "run demo.yaml --out=y -y --kubeconfig /lab/kubeconfig"
        );
    }
}
