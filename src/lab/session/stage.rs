//! How does the inside of a lab get its namespaces?

use super::News;
use crate::lab::net;
use crate::lab::node::{end_with_parent, program};
use nix::sys::signal::Signal;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Enters new namespaces, for which it must be a process of one thread, and starts the inside as
/// the first process of them. Ends when the inside ends, and the inside ends with it.
pub(crate) fn main(folder: &Path, isolated: bool) -> ExitCode {
    if isolated && let Err(error) = net::isolate() {
        let text = crate::error::Chain(&error).to_string();
        tell(&News::Forbidden { text });
        return ExitCode::FAILURE;
    }
    let mut command = Command::new(program());
    command.args(["lab", "inner"]).arg(folder);
    end_with_parent(&mut command, Signal::SIGKILL);
    let child = command.spawn().and_then(|mut child| {
        let pid = i32::try_from(child.id()).map_err(std::io::Error::other)?;
        std::fs::write(folder.join("inner.pid"), pid.to_string())?;
        tell(&News::Inner { pid });
        child.wait()
    });
    match child {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let text = format!("start the lab's inside: {error}");
            tell(&News::Failed { text });
            ExitCode::FAILURE
        }
    }
}

/// Tells the outside. When it is gone, there is nobody to tell.
pub(super) fn tell(news: &News) {
    let mut line = serde_json::to_vec(news).expect("news are plain data");
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
}
