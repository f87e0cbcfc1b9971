//! How does a command start beside a container's first process?

use super::process;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use std::fs::File;
use std::io;
use std::process::{Command, ExitCode};

/// Enters the mounts, host name and process namespace of `pid` and runs `argv` there. The network
/// namespace was entered before this program was started.
pub(crate) fn main(pid: i32, argv: &[String]) -> io::Result<ExitCode> {
    let spaces = [
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ];
    let open = |(name, kind)| Ok((File::open(format!("/proc/{pid}/ns/{name}"))?, kind));
    // All are opened first: the last one takes this `/proc` away.
    let spaces: Vec<(File, CloneFlags)> =
        spaces.into_iter().map(open).collect::<io::Result<_>>()?;
    for (file, kind) in &spaces {
        setns(file, *kind)?;
    }
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| io::Error::other("no command specified"))?;
    let mut command = Command::new(program);
    command.args(arguments);
    process::end_with_parent(&mut command, Signal::SIGKILL);
    let status = command
        .status()
        .map_err(|error| io::Error::other(format!("\"{program}\": {error}")))?;
    Ok(ExitCode::from(
        u8::try_from(process::exit_code(status)).unwrap_or(255),
    ))
}
