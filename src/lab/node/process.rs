//! How does the node start, signal and enter containers? (The lab's side of the shim.)

use super::shim::{ShimOrder, ShimReport};
use crate::lab::net;
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::sync::watch;

/// How long a shim may take to come up on a busy machine.
const SHIM_PATIENCE: Duration = Duration::from_secs(20);

/// A container that could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The lab's own machinery failed.
    #[error("failed to run the container's shim")]
    Shim(#[source] io::Error),
    /// What was to be run cannot be run.
    #[error("{0}")]
    Refused(String),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Exit code, 128 + signal for a signal.
    pub(crate) code: i32,
    /// Epoch nanoseconds.
    pub(crate) at: i64,
}

/// A container's first process.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its pid, by the lab's count.
    pub(crate) pid: i32,
    ended: watch::Receiver<Option<Ended>>,
}

/// What a process writes.
#[derive(Debug)]
pub(crate) struct Output {
    /// Its stdout.
    pub(crate) stdout: ChildStdout,
    /// Its stderr.
    pub(crate) stderr: ChildStderr,
}

impl Process {
    /// Starts a container in a pod's network namespace (`None`: the lab's own). `socket` is a path
    /// that nobody else uses.
    pub(crate) async fn start(
        order: &ShimOrder,
        ns: Option<BorrowedFd<'_>>,
        socket: &Path,
    ) -> Result<(Self, Output), StartError> {
        let listener = UnixListener::bind(socket).map_err(StartError::Shim)?;
        let mut command = Command::from(itself(ns));
        let mut shim = command
            .args(["lab", "shim"])
            .arg(socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(StartError::Shim)?;
        let output = Output {
            stdout: shim.stdout.take().expect("stdout is a pipe"),
            stderr: shim.stderr.take().expect("stderr is a pipe"),
        };
        let accepted = tokio::time::timeout(SHIM_PATIENCE, listener.accept()).await;
        let (stream, _) = accepted
            .map_err(io::Error::from)
            .and_then(|accepted| accepted)
            .map_err(StartError::Shim)?;
        let _ = tokio::fs::remove_file(socket).await;
        let (reports, mut orders) = stream.into_split();
        let mut line = serde_json::to_vec(order).expect("an order is plain data");
        line.push(b'\n');
        orders.write_all(&line).await.map_err(StartError::Shim)?;
        let mut reports = BufReader::new(reports).lines();
        let pid = match next_report(&mut reports).await {
            Some(ShimReport::Started { pid }) => pid,
            Some(ShimReport::Failed { text }) => return Err(StartError::Refused(text)),
            _ => return Err(StartError::Shim(io::ErrorKind::UnexpectedEof.into())),
        };
        let (ended_tx, ended) = watch::channel(None);
        tokio::spawn(async move {
            let end = match next_report(&mut reports).await {
                Some(ShimReport::Ended { code, at }) => Ended { code, at },
                // The shim itself was killed, and its container with it.
                _ => Ended {
                    code: 137,
                    at: crate::lab::truth::now(),
                },
            };
            ended_tx.send_replace(Some(end));
            drop(orders);
            let _ = shim.wait().await;
        });
        Ok((Self { pid, ended }, output))
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        *self.ended.borrow()
    }

    /// Waits for its end.
    pub(crate) async fn wait(&self) -> Ended {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await;
        end.ok().and_then(|end| *end).unwrap_or(Ended {
            code: 137,
            at: crate::lab::truth::now(),
        })
    }

    /// Sends a signal; one to a process that has ended is lost.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.ended().is_none() {
            let _ = nix::sys::signal::kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Whether the process has a handler for a signal (`SigCgt` of its status).
    pub(crate) fn handles(&self, signal: Signal) -> bool {
        std::fs::read_to_string(format!("/proc/{}/status", self.pid))
            .ok()
            .and_then(|status| caught(&status))
            .is_some_and(|caught| caught & (1 << (signal as i32 - 1)) != 0)
    }
}

fn caught(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

async fn next_report(
    reports: &mut tokio::io::Lines<BufReader<tokio::net::unix::OwnedReadHalf>>,
) -> Option<ShimReport> {
    let line = reports.next_line().await.ok()??;
    serde_json::from_str(&line).ok()
}

/// This program, to be started again inside a network namespace.
fn itself(ns: Option<BorrowedFd<'_>>) -> std::process::Command {
    let mut command = std::process::Command::new(program());
    let spaces: Vec<_> = ns
        .map(|ns| (ns.as_raw_fd(), CloneFlags::CLONE_NEWNET))
        .into_iter()
        .collect();
    net::enter(&mut command, &spaces);
    command
}

/// The path of this program. A copy that was replaced meanwhile is still there under `/proc`.
pub(crate) fn program() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from("/proc/self/exe"),
    }
}

/// Lets `command` get this signal when the calling thread, which must be the process's first, ends.
pub(crate) fn end_with_parent(command: &mut std::process::Command, by: Signal) {
    #[expect(unsafe_code, reason = "between fork and exec only prctl is called")]
    unsafe {
        command.pre_exec(move || Ok(nix::sys::prctl::set_pdeathsig(by)?));
    }
}

/// The exit code as a shell gives it: 128 + signal for a signal.
pub(super) fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Runs a command beside a container's first process, in all of its namespaces, and gives its exit
/// code and the end of what it wrote. Dropping the future kills it.
pub(crate) async fn run_inside(
    pid: i32,
    isolated: bool,
    argv: &[String],
    env: &[(String, String)],
) -> io::Result<(i32, String)> {
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| io::Error::other("no command specified"))?;
    let mut command;
    let mut handles = Vec::new();
    if isolated {
        // The process namespace is entered by a process, but begins with its child: this program
        // goes in first and starts the command there.
        command = std::process::Command::new(self::program());
        command.args(["lab", "enter", &pid.to_string()]).args(argv);
        let network = File::open(format!("/proc/{pid}/ns/net"))?;
        handles.push((network, CloneFlags::CLONE_NEWNET));
    } else {
        command = std::process::Command::new(program);
        command.args(arguments);
    }
    let spaces: Vec<_> = handles
        .iter()
        .map(|(file, kind)| (file.as_raw_fd(), *kind))
        .collect();
    net::enter(&mut command, &spaces);
    command.env_clear();
    command.envs(env.iter().map(|(name, value)| (name, value)));
    let output = Command::from(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await?;
    let text = [output.stdout, output.stderr].concat();
    let code = exit_code(output.status);
    Ok((code, String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caught_signals_are_read_from_the_status_of_a_process() {
        let status = "Name:\tapp\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004000\n";
        assert_eq!(caught(status), Some(1 << 14), "SIGTERM is 15");
        assert_eq!(caught("Name:\tapp\n"), None);
    }
}
