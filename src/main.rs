//! The `lastwatch` program: parse, run, and map the outcome to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    lastwatch::cli::main()
}
