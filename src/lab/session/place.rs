//! Where does a lab keep its files?

use super::outer::Error;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const PREFIX: &str = "lastwatch-lab-";

/// A lab's folder, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
}

impl Place {
    /// Makes a folder that only this user can read, and sweeps away what killed labs have left.
    pub(crate) fn new() -> io::Result<Self> {
        sweep();
        let name = format!("{PREFIX}{:08x}", rand::random::<u32>());
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let place = Self { path };
        // Renamed into place: another lab's sweep takes an empty file for that of a dead process.
        let written = place.path.join("outer.pid.new");
        fs::write(&written, std::process::id().to_string())?;
        fs::rename(written, place.path.join("outer.pid"))?;
        Ok(place)
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn folders() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(PREFIX))
        })
        .collect()
}

/// A pid that a lab wrote into its folder, if that process lives.
pub(super) fn pid(folder: &Path, file: &str) -> Option<i32> {
    let pid: i32 = fs::read_to_string(folder.join(file))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}

fn sweep() {
    for folder in folders() {
        if folder.join("outer.pid").exists() && pid(&folder, "outer.pid").is_none() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// The folder of the lab that runs; the newest when there are several.
pub fn find_running() -> Result<PathBuf, Error> {
    let started = |folder: &PathBuf| {
        fs::metadata(folder.join("inner.pid"))
            .and_then(|f| f.modified())
            .ok()
    };
    folders()
        .into_iter()
        .filter(|folder| pid(folder, "outer.pid").is_some() && pid(folder, "inner.pid").is_some())
        .max_by_key(started)
        .ok_or(Error::NoneRuns)
}
