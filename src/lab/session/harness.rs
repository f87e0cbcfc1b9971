//! How does a command run inside a lab, with the lab's network and names, and nothing else of it?

use super::apply::CLIENT;
use super::outer::{Error, Mode, Session};
use super::place;
use crate::lab::net::{self, NODE_ADDRESSES};
use crate::lab::node::end_with_parent;
use crate::task::Hangup;
use nix::sched::CloneFlags;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use tokio::signal::unix::{SignalKind, signal};

/// What names a proxy. Nothing of a lab is behind one, and from its network none can be reached.
const PROXIES: &[&str] = &[
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

impl Session {
    /// Runs a command in the lab's network, as a program on the first node would be, or in the
    /// client's pod where there is one, and passes SIGINT, SIGTERM and SIGHUP on to it. It has its own
    /// process group, so that a Ctrl-C comes once, and to all of the group, as at a terminal.
    pub async fn run_inside(&self, mut command: Command) -> Result<ExitStatus, Error> {
        let (inner, client) = self.processes();
        if client.is_some() {
            // As a program in a pod finds them.
            command.env("KUBERNETES_SERVICE_HOST", NODE_ADDRESSES[0].to_string());
            command.env("HOSTNAME", CLIENT);
        }
        let isolated = *self.mode() == Mode::Isolated;
        run(isolated.then_some(Entrance { inner, client }), command).await
    }
}

/// Where a command goes in.
#[derive(Clone, Copy, Debug)]
struct Entrance {
    /// The inside's first process.
    inner: i32,
    /// A process inside, by the inside's count, whose network it is to be.
    client: Option<i32>,
}

/// Runs a command in the network of the lab whose folder this is.
pub async fn run_in(folder: &Path, command: Command) -> Result<ExitStatus, Error> {
    let inner = place::pid(folder, "inner.pid").ok_or_else(|| Error::NotUp {
        folder: folder.to_owned(),
    })?;
    let client = None;
    run(Some(Entrance { inner, client }), command).await
}

async fn run(entrance: Option<Entrance>, mut command: Command) -> Result<ExitStatus, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| Error::Run {
        program: program.clone(),
        source,
    };
    let spaces = entrance
        .map_or_else(|| Ok(Vec::new()), spaces)
        .map_err(failed)?;
    let handles: Vec<_> = spaces
        .iter()
        .map(|(file, kind)| (file.as_raw_fd(), *kind))
        .collect();
    net::enter(&mut command, &handles);
    stay_here(&mut command).map_err(failed)?;
    for name in PROXIES {
        command.env_remove(name);
    }
    // Whatever ends this program, nothing of what it ran is left; a run undoes its changes then.
    end_with_parent(&mut command, Signal::SIGTERM);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = Hangup::listen().map_err(failed)?;
    let mut child = tokio::process::Command::from(command)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let id = id.map(Pid::from_raw);
    loop {
        let _ = tokio::select! {
            status = child.wait() => return status.map_err(failed),
            _ = interrupt.recv() => id.map(|id| killpg(id, Signal::SIGINT)),
            _ = terminate.recv() => id.map(|id| kill(id, Signal::SIGTERM)),
            () = hangup.heard() => id.map(|id| killpg(id, Signal::SIGHUP)),
        };
    }
}

/// Entering other mounts leads to their root: goes back to the folder that the user is in.
fn stay_here(command: &mut Command) -> io::Result<()> {
    let here = std::env::current_dir()?.into_os_string().into_vec();
    let here = CString::new(here).map_err(io::Error::other)?;
    #[expect(unsafe_code, reason = "between fork and exec only chdir is called")]
    unsafe {
        command.pre_exec(move || Ok(nix::unistd::chdir(here.as_c_str())?));
    }
    Ok(())
}

/// The namespaces of a lab, in the order in which they can be entered: the user namespace gives the
/// right to the others. One that we are in already is left out.
fn spaces(entrance: Entrance) -> io::Result<Vec<(File, CloneFlags)>> {
    let inner = format!("/proc/{}", entrance.inner);
    // The client is found in the inside's own /proc.
    let network = entrance.client.map_or_else(
        || inner.clone(),
        |client| format!("{inner}/root/proc/{client}"),
    );
    let kinds = [
        (&inner, "user", CloneFlags::CLONE_NEWUSER),
        (&network, "net", CloneFlags::CLONE_NEWNET),
        (&inner, "mnt", CloneFlags::CLONE_NEWNS),
    ];
    let mut spaces = Vec::new();
    for (process, name, kind) in kinds {
        let path = format!("{process}/ns/{name}");
        if fs::read_link(&path)? != fs::read_link(format!("/proc/self/ns/{name}"))? {
            spaces.push((File::open(path)?, kind));
        }
    }
    Ok(spaces)
}
