//! How does a process get, make and enter namespaces?

use super::Error;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Puts this process, which must have one thread only, into namespaces of its own: network, mounts
/// and (for its children) processes. Without the right to do so as it is, it first becomes root of
/// a user namespace of its own.
pub(crate) fn isolate() -> Result<(), Error> {
    let spaces = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if !uid.is_root() || unshare(spaces).is_err() {
        unshare(CloneFlags::CLONE_NEWUSER | spaces).map_err(failed("unshare namespaces"))?;
        let write = |file: &str, text: String| {
            fs::write(format!("/proc/self/{file}"), text).map_err(|source| Error::Namespace {
                what: "map the user into a namespace",
                source,
            })
        };
        write("setgroups", "deny".to_owned())?;
        write("uid_map", format!("0 {uid} 1"))?;
        write("gid_map", format!("0 {gid} 1"))?;
    }
    private_mounts()
}

/// Gives the calling thread mounts and a host name of its own, and its next child a process
/// namespace of which that is the first member.
pub(crate) fn share_nothing() -> Result<(), Error> {
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)
        .map_err(failed("unshare a container's namespaces"))?;
    private_mounts()
}

fn private_mounts() -> Result<(), Error> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .map_err(failed("make the mounts private"))
}

fn failed(what: &'static str) -> impl Fn(nix::Error) -> Error {
    move |errno| Error::Namespace {
        what,
        source: errno.into(),
    }
}

/// A network namespace that nobody is in yet. It lives as long as the handle, or a socket in it.
pub(super) fn fresh() -> Result<OwnedFd, Error> {
    let made = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
        File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
    });
    made.join()
        .expect("making a namespace does not panic")
        .map_err(|source| Error::Namespace {
            what: "make a network namespace",
            source,
        })
}

/// Runs `task` on a thread inside a network namespace; `None` is the caller's own.
pub(crate) fn in_namespace<T: Send>(
    ns: Option<BorrowedFd<'_>>,
    task: impl FnOnce() -> T + Send,
) -> Result<T, Error> {
    let Some(ns) = ns else {
        return Ok(task());
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(ns, CloneFlags::CLONE_NEWNET).map_err(failed("enter a network namespace"))?;
            Ok(task())
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Lets `command` start inside the namespaces behind `spaces`, entered in this order. The handles
/// must stay open until the command has been spawned.
pub(crate) fn enter<'a>(
    command: &'a mut Command,
    spaces: &[(RawFd, CloneFlags)],
) -> &'a mut Command {
    let spaces = spaces.to_vec();
    let entering = move || {
        for &(fd, kind) in &spaces {
            #[expect(
                unsafe_code,
                reason = "the caller keeps the handle open until the spawn is over"
            )]
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            setns(fd, kind)?;
        }
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "between fork and exec only setns is called, a bare system call"
    )]
    unsafe {
        command.pre_exec(entering)
    }
}

/// What [`enter`] takes for one network namespace.
pub(super) fn network(ns: Option<&OwnedFd>) -> Vec<(RawFd, CloneFlags)> {
    ns.map(|ns| (ns.as_fd().as_raw_fd(), CloneFlags::CLONE_NEWNET))
        .into_iter()
        .collect()
}
