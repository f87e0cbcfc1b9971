//! Holds the commands that only print: what editors and shells are given.

use std::process::{Command, Output};

fn lastwatch(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lastwatch"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

#[test]
fn the_schema_is_json_and_the_only_thing_on_stdout() {
    let output = lastwatch(&["schema"]);
    assert!(output.status.success());
    assert!(output.stderr.is_empty());
    let schema: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("stdout is one JSON document");
    assert_eq!(schema["title"], "Scenario");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn each_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = lastwatch(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8_lossy(&output.stdout);
        assert!(script.contains("replay"), "{shell}: {script}");
    }
}

#[test]
fn a_shell_that_nobody_knows_is_wrong_usage() {
    let output = lastwatch(&["completions", "dos"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("bash"));
}
