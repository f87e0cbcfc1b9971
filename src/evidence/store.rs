//! How is a run kept on disk, and read back?
//!
//! `runs/<id>/` holds `run.json`, `events.jsonl`, `logs/<pod>/<container>.log` and, from others,
//! `journal.jsonl` and `report.json` (design 5). The formats carry [`SCHEMA_VERSION`]; older ones
//! stay readable.

use super::event::Event;
use super::stamp::RunOffset;
use super::timeline::{ContainerLog, Timeline};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The version of the run directory's formats. A reader of version 1 takes lines of the kinds
/// `request-marked` and `retries-counted` for damage, so the first version with such lines is 2.
pub const SCHEMA_VERSION: u32 = 2;

/// What ran, when and against what: `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunInfo {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Version of the tool that wrote it.
    pub tool_version: String,
    /// The run's id, also in the labels and leases it makes.
    pub id: String,
    /// Driven by this tool, or read from a capture.
    pub origin: Origin,
    /// The command line.
    pub argv: Vec<String>,
    /// The harness's wall clock at run offset 0, nanoseconds since the epoch.
    pub started_at: i64,
    /// The cluster as the kubeconfig names it; of an import the folder.
    pub cluster: String,
    /// Namespace of the target.
    pub namespace: String,
    /// The target's workload, `deployment/demo`; `None` where an import found none.
    pub workload: Option<String>,
    /// The target's Service.
    pub service: Option<String>,
    /// The plan (`scenario::Plan`) or, of an import, its gates; `Null` for the defaults.
    pub plan: Value,
}

/// Where a run's events came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// This tool drove the rollout.
    Live,
    /// `lastwatch import` read a capture.
    Import,
}

impl RunInfo {
    /// A wall-clock instant of the harness (epoch nanoseconds) as an offset of this run.
    pub const fn offset_of(&self, epoch_nanos: i64) -> RunOffset {
        RunOffset(epoch_nanos.saturating_sub(self.started_at))
    }
}

/// One log line: the runtime's stamp (the node's clock) and the text after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Epoch nanoseconds by the node's clock; `None` where the line had no stamp.
    pub stamp: Option<i64>,
    /// The line as the container wrote it.
    pub text: String,
}

impl LogLine {
    /// Splits the stamp that `timestamps=true` puts before each line (facts 2).
    pub fn parse(raw: &str) -> Self {
        let raw = raw.strip_suffix('\n').unwrap_or(raw);
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        if let Some((head, text)) = raw.split_once(' ')
            && head.len() >= 20
            && head.as_bytes()[0].is_ascii_digit()
            && let Ok(stamp) = head.parse::<jiff::Timestamp>()
            && let Ok(stamp) = i64::try_from(stamp.as_nanosecond())
        {
            return Self {
                stamp: Some(stamp),
                text: text.to_owned(),
            };
        }
        Self {
            stamp: None,
            text: raw.to_owned(),
        }
    }
}

/// What went wrong with a run directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("failed to write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("`{}` line {line} is not of this format", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Whoever wrote it panicked.
    #[error("the record breaks off: its writer panicked")]
    Abandoned,
    /// The run was written by a newer version.
    #[error("`{}` has schema version {found}, this program reads up to {SCHEMA_VERSION}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// A run directory that is there to be read.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Names a run directory; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads `run.json`.
    pub fn info(&self) -> Result<RunInfo, Error> {
        let path = self.path.join("run.json");
        let text = fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let info: RunInfo = serde_json::from_str(&text).map_err(|source| Error::Format {
            path: path.clone(),
            line: source.line(),
            source,
        })?;
        if info.schema_version > SCHEMA_VERSION {
            return Err(Error::Newer {
                path,
                found: info.schema_version,
            });
        }
        Ok(info)
    }

    /// Reads the whole record. A last line that a crash cut short is left out.
    pub fn timeline(&self) -> Result<Timeline, Error> {
        Ok(Timeline {
            run: self.info()?,
            events: self.events()?,
            logs: self.logs()?,
        })
    }

    fn events(&self) -> Result<Vec<Event>, Error> {
        let path = self.path.join("events.jsonl");
        let text = fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let mut events = Vec::new();
        for (index, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(event) => events.push(event),
                Err(_) if !text.ends_with('\n') && index + 1 == text.lines().count() => {}
                Err(source) => {
                    return Err(Error::Format {
                        path,
                        line: index + 1,
                        source,
                    });
                }
            }
        }
        Ok(events)
    }

    fn logs(&self) -> Result<Vec<ContainerLog>, Error> {
        let root = self.path.join("logs");
        let mut logs = Vec::new();
        for pod in sorted_names(&root)? {
            for file in sorted_names(&root.join(&pod))? {
                let Some(container) = file.strip_suffix(".log") else {
                    continue;
                };
                logs.push(ContainerLog {
                    lines: read_log(&root.join(&pod).join(&file))?,
                    container: container.to_owned(),
                    pod: pod.clone(),
                });
            }
        }
        Ok(logs)
    }
}

fn sorted_names(path: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(Error::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

fn read_log(path: &Path) -> Result<Vec<LogLine>, Error> {
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::new(File::open(path).map_err(read)?);
    let (mut lines, mut raw) = (Vec::new(), Vec::new());
    while reader.read_until(b'\n', &mut raw).map_err(read)? > 0 {
        lines.push(LogLine::parse(&String::from_utf8_lossy(&raw)));
        raw.clear();
    }
    Ok(lines)
}

/// A run directory that is being written. The recorder is its only user.
#[derive(Debug)]
pub struct RunWriter {
    path: PathBuf,
    events: BufWriter<File>,
    events_path: PathBuf,
    logs: HashMap<(String, String), BufWriter<File>>,
    next_seq: u64,
}

impl RunWriter {
    /// Makes the directory, writes `run.json` and opens `events.jsonl`.
    pub fn create(path: impl Into<PathBuf>, info: &RunInfo) -> Result<Self, Error> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|source| Error::Write {
            path: path.clone(),
            source,
        })?;
        let info_path = path.join("run.json");
        let text = serde_json::to_string_pretty(info).expect("a run's facts are plain data");
        fs::write(&info_path, text + "\n").map_err(|source| Error::Write {
            path: info_path,
            source,
        })?;
        let events_path = path.join("events.jsonl");
        let events = File::create(&events_path).map_err(|source| Error::Write {
            path: events_path.clone(),
            source,
        })?;
        Ok(Self {
            path,
            events: BufWriter::new(events),
            events_path,
            logs: HashMap::new(),
            next_seq: 0,
        })
    }

    /// Numbers and appends an event; gives the number back.
    pub fn append(&mut self, mut event: Event) -> Result<u64, Error> {
        event.seq = self.next_seq;
        self.next_seq += 1;
        let written = serde_json::to_writer(&mut self.events, &event)
            .map_err(io::Error::from)
            .and_then(|()| self.events.write_all(b"\n"));
        written.map_err(|source| Error::Write {
            path: self.events_path.clone(),
            source,
        })?;
        Ok(event.seq)
    }

    /// Appends a raw log line (with the runtime's stamp before it, as the API gave it).
    pub fn append_log(&mut self, pod: &str, container: &str, raw: &str) -> Result<(), Error> {
        let path = self
            .path
            .join("logs")
            .join(pod)
            .join(format!("{container}.log"));
        let write = |source| Error::Write {
            path: path.clone(),
            source,
        };
        let key = (pod.to_owned(), container.to_owned());
        if !self.logs.contains_key(&key) {
            let folder = path.parent().expect("a log file has a folder");
            fs::create_dir_all(folder).map_err(write)?;
            let file = File::create(&path).map_err(write)?;
            self.logs.insert(key.clone(), BufWriter::new(file));
        }
        let file = self.logs.get_mut(&key).expect("inserted above");
        file.write_all(raw.trim_end_matches('\n').as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .map_err(write)
    }

    /// Hands everything to the kernel. Called once a second and at the end.
    pub fn flush(&mut self) -> Result<(), Error> {
        let path = self.events_path.clone();
        self.events
            .flush()
            .and_then(|()| self.logs.values_mut().try_for_each(Write::flush))
            .map_err(|source| Error::Write { path, source })
    }
}
