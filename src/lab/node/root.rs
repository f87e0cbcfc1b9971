//! How does a container see a folder at a place that this machine does not have?
//!
//! The lab's containers see this machine's files, and nothing may be made among them. So a container
//! that mounts something gets a root of its own: an empty file system in which everything that is in
//! `/` is bound again, and in which folders can be made. A place further down is reached in the same
//! way, level by level.

use super::volumes::Mount;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::pivot_root;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

/// Gives the calling process, which must have mounts of its own, a root with all `mounts` in it.
/// `scratch` is a folder for that, made here.
pub(super) fn enter(mounts: &[Mount], scratch: &Path) -> io::Result<()> {
    fs::create_dir_all(scratch)?;
    let mut root = Root::over(scratch)?;
    for mount in mounts {
        root.add(mount)?;
    }
    std::env::set_current_dir(scratch)?;
    // The old root comes to lie over the new one, and is taken away.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")
}

/// A root that is being built.
struct Root {
    path: PathBuf,
    /// Folders of it, by their path from the root, in which something can be made.
    own: BTreeSet<PathBuf>,
}

impl Root {
    fn over(path: &Path) -> io::Result<Self> {
        empty(path)?;
        bind_all(Path::new("/"), path)?;
        Ok(Self {
            path: path.to_owned(),
            own: BTreeSet::from([PathBuf::from("/")]),
        })
    }

    /// Where a path of the container is while the root is being built.
    fn place(&self, path: &Path) -> PathBuf {
        self.path.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn add(&mut self, wanted: &Mount) -> io::Result<()> {
        let target = resolved(&wanted.target)?;
        let mut here = PathBuf::from("/");
        for part in target.components() {
            let Component::Normal(part) = part else {
                continue;
            };
            let next = here.join(part);
            if !self.place(&next).exists() {
                self.open(&here)?;
                if wanted.source.is_file() && next == target {
                    fs::write(self.place(&next), "")?;
                } else {
                    fs::create_dir(self.place(&next))?;
                    self.own.insert(next.clone());
                }
            }
            here = next;
        }
        let place = self.place(&target);
        bind(&wanted.source, &place)?;
        if wanted.read_only {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(None::<&str>, &place, None::<&str>, flags, None::<&str>)?;
        }
        Ok(())
    }

    /// Lets something be made in a folder: what is in it is bound into an empty one in its place.
    fn open(&mut self, folder: &Path) -> io::Result<()> {
        if !self.own.insert(folder.to_owned()) {
            return Ok(());
        }
        let aside = self.path.join(format!(".aside-{}", self.own.len()));
        fs::create_dir(&aside)?;
        empty(&aside)?;
        bind_all(folder, &aside)?;
        let place = self.place(folder);
        mount(
            Some(&aside),
            &place,
            None::<&str>,
            MsFlags::MS_MOVE,
            None::<&str>,
        )?;
        fs::remove_dir(aside)
    }
}

/// The path without links, as far as it is there.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let there = path.ancestors().find(|part| part.exists());
    let there = there.unwrap_or(Path::new("/"));
    let rest = path.strip_prefix(there).unwrap_or(path);
    let found = fs::canonicalize(there)?;
    Ok(if rest.as_os_str().is_empty() {
        found
    } else {
        found.join(rest)
    })
}

fn empty(path: &Path) -> io::Result<()> {
    let options = Some("mode=0755");
    mount(
        Some("tmpfs"),
        path,
        Some("tmpfs"),
        MsFlags::empty(),
        options,
    )?;
    Ok(())
}

/// Binds everything that is in a folder into another. What holds that other comes first, so that
/// it is bound while there is nothing below it.
fn bind_all(from: &Path, to: &Path) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(from)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(|entry| !to.starts_with(entry.path()));
    for entry in entries {
        let place = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, place)?;
            continue;
        }
        if kind.is_dir() {
            fs::create_dir(&place)?;
        } else {
            fs::write(&place, "")?;
        }
        bind(&entry.path(), &place)?;
    }
    Ok(())
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(from), to, None::<&str>, flags, None::<&str>)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_resolved_as_far_as_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        fs::create_dir(real.join("run")).unwrap();
        symlink(real.join("run"), real.join("link")).unwrap();
        let wanted = real.join("link/secrets/account");
        assert_eq!(resolved(&wanted).unwrap(), real.join("run/secrets/account"));
        assert_eq!(resolved(&real.join("link")).unwrap(), real.join("run"));
        let nowhere = Path::new("/no-such-folder/x");
        assert_eq!(resolved(nowhere).unwrap(), nowhere);
    }
}
