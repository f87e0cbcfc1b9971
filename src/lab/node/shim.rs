//! How does a container's first process come to life and how is its end told?
//!
//! [`main`] is a small process between the lab and a container, as `containerd-shim` is: it makes
//! the container's namespaces, starts its first process as PID 1 of them, tells the lab its pid and
//! then its end, and takes it down when the lab is gone. It does nothing else and has no runtime.

use super::root;
use super::volumes::Mount;
use crate::lab::net;
use nix::mount::{MsFlags, mount};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// What the shim is told to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShimOrder {
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// The whole environment.
    pub(crate) env: Vec<(String, String)>,
    /// The folder to start in.
    pub(crate) cwd: Option<PathBuf>,
    /// The host name.
    pub(crate) hostname: String,
    /// The file that is the container's `/etc/hosts`.
    pub(crate) hosts: PathBuf,
    /// What it sees beside this machine's files.
    pub(crate) mounts: Vec<Mount>,
    /// Where a root with these mounts is made.
    pub(crate) scratch: PathBuf,
    /// In namespaces of its own. Without them the process gets SIGTERM ignored, which is what an
    /// unhandled SIGTERM does to a PID 1.
    pub(crate) isolated: bool,
}

/// What the shim tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ShimReport {
    /// The first process runs, under this pid of the lab's process namespace.
    Started {
        /// Its pid.
        pid: i32,
    },
    /// It could not be started.
    Failed {
        /// Why not.
        text: String,
    },
    /// It has ended.
    Ended {
        /// Exit code, 128 + signal for a signal.
        code: i32,
        /// Epoch nanoseconds.
        at: i64,
    },
}

/// Carries out the order that comes over the socket at `socket`.
pub(crate) fn main(socket: &Path) -> ExitCode {
    match serve(socket) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // The lab sees the socket close.
    }
}

fn serve(socket: &Path) -> io::Result<()> {
    let stream = UnixStream::connect(socket)?;
    let mut reports = stream.try_clone()?;
    let mut orders = BufReader::new(stream);
    let mut line = String::new();
    orders.read_line(&mut line)?;
    let order: ShimOrder = serde_json::from_str(&line)?;
    // Once the next child is to be in another process namespace, no thread can be made any more.
    let started = Arc::new(AtomicI32::new(0));
    let known = Arc::clone(&started);
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // The lab never sends a second order: the end of the stream is the end of the lab.
        let _ = orders.read_to_end(&mut rest);
        let pid = known.load(Ordering::SeqCst);
        if pid > 0 {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::process::exit(1);
    });
    let mut child = match start(&order) {
        Ok(child) => child,
        Err(text) => return tell(&mut reports, &ShimReport::Failed { text }),
    };
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    started.store(pid, Ordering::SeqCst);
    tell(&mut reports, &ShimReport::Started { pid })?;
    let status = child.wait()?;
    let at = crate::lab::truth::now();
    if !order.isolated {
        // What a process namespace does by itself: nobody outlives its first process.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let code = super::process::exit_code(status);
    tell(&mut reports, &ShimReport::Ended { code, at })
}

fn tell(reports: &mut UnixStream, report: &ShimReport) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    reports.write_all(&line)
}

fn start(order: &ShimOrder) -> Result<Child, String> {
    if order.isolated {
        net::share_nothing().map_err(text)?;
        nix::unistd::sethostname(&order.hostname).map_err(text)?;
        let bind = MsFlags::MS_BIND;
        let hosts = Some(order.hosts.as_path());
        mount(hosts, "/etc/hosts", None::<&str>, bind, None::<&str>).map_err(text)?;
        if !order.mounts.is_empty() {
            root::enter(&order.mounts, &order.scratch).map_err(text)?;
        }
    }
    let Some((program, arguments)) = order.argv.split_first() else {
        return Err("no command specified".to_owned());
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.process_group(0);
    command.envs(order.env.iter().map(|(name, value)| (name, value)));
    if let Some(cwd) = &order.cwd {
        command.current_dir(cwd);
    }
    let isolated = order.isolated;
    let first_process = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if isolated {
            mount_proc()?;
        } else {
            ignore_sigterm()?;
        }
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "between fork and exec only system calls are made"
    )]
    unsafe {
        command.pre_exec(first_process);
    }
    command
        .spawn()
        .map_err(|error| format!("exec: \"{program}\": {error}"))
}

fn text<E: std::error::Error + 'static>(error: E) -> String {
    crate::error::Chain(&error).to_string()
}

fn mount_proc() -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)?;
    Ok(())
}

fn ignore_sigterm() -> io::Result<()> {
    use nix::sys::signal::{SigHandler, signal};
    #[expect(unsafe_code, reason = "no handler of this process is replaced")]
    unsafe {
        signal(Signal::SIGTERM, SigHandler::SigIgn)?;
    }
    Ok(())
}
