//! Where is written what was changed, before it is changed?
//!
//! `journal.jsonl`: one record a line, on disk before the change is asked for. A last line that a
//! crash cut short was not on disk, so its change was never made.

use super::change::Change;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Version of the format.
const VERSION: u32 = 1;

/// The file's name in a run directory.
const FILE: &str = "journal.jsonl";

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Version of the format.
    pub version: u32,
    /// Number of the change, from 0. An intent and its outcome share it.
    pub change: u64,
    /// The harness's wall clock.
    pub at: Timestamp,
    /// What is said about the change.
    pub entry: Entry,
}

/// What a line says about a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// It is about to be asked for.
    Intend(Box<Change>),
    /// The API server has made it.
    Done {
        /// The object's resource version after it, where the answer told it.
        #[serde(rename = "resourceVersion")]
        resource_version: Option<String>,
    },
    /// The API server has refused it.
    NotMade {
        /// Why.
        reason: String,
    },
}

/// What went wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It could not be written.
    #[error(
        "failed to write `{}`\n\
         hint: is the disk full?",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has it open.
    #[error(
        "`{}` is in use: the run is still going on\n\
         hint: Ctrl-C stops and restores it",
        path.display()
    )]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// It could not be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is not a record.
    #[error("`{}` line {line} is not a journal record", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It was written by a newer program.
    #[error(
        "`{}` line {line} has version {found}, this program reads up to {VERSION}",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Its version.
        found: u32,
    },
}

/// A journal that is open: what it says so far, and where more is appended.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// `None`: what it says is kept elsewhere, in the Lease of the run.
    file: Option<File>,
    length: u64,
    records: Vec<Record>,
}

/// A process that is just being started holds the locks of its parent until it runs its program.
const STARTING: Duration = Duration::from_millis(500);

/// Takes the lock that the kernel gives back when its process ends, however it ends.
fn lock(file: &File) -> bool {
    let deadline = Instant::now() + STARTING;
    loop {
        if file.try_lock().is_ok() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(STARTING / 50);
    }
}

impl Journal {
    /// Opens the journal of a run directory, makes it where there is none, and reads what it says.
    pub fn open(run: &Path) -> Result<Self, JournalError> {
        let path = run.join(FILE);
        let write = |source| JournalError::Write {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        let mut file = options.open(&path).map_err(write)?;
        if !lock(&file) {
            return Err(JournalError::Busy { path });
        }
        let mut bytes = Vec::new();
        if let Err(source) = file.read_to_end(&mut bytes) {
            return Err(JournalError::Read { path, source });
        }
        // What follows the last line feed was cut short.
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
        let records = parse(&path, &String::from_utf8_lossy(&bytes[..whole]))?;
        let length = u64::try_from(whole).expect("the length of a file");
        file.set_len(length).map_err(write)?;
        // The file's name must be on disk as well, or a crash loses the whole file.
        file.sync_all()
            .and_then(|()| File::open(run)?.sync_all())
            .map_err(write)?;
        Ok(Self {
            path,
            file: Some(file),
            length,
            records,
        })
    }

    /// The journal of changes whose own journal is lost. Nothing more is kept of it: what is undone
    /// shows in the cluster.
    pub(crate) fn in_memory(changes: Vec<Change>) -> Self {
        let records = (0..).zip(changes).map(|(change, intended)| Record {
            version: VERSION,
            change,
            at: Timestamp::now(),
            entry: Entry::Intend(Box::new(intended)),
        });
        Self {
            path: PathBuf::new(),
            file: None,
            length: 0,
            records: records.collect(),
        }
    }

    /// From now on the disk is full.
    #[cfg(test)]
    pub(crate) fn fill_the_disk(&mut self) {
        self.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
    }

    /// Whether a run directory has a journal.
    pub fn exists(run: &Path) -> bool {
        run.join(FILE).is_file()
    }

    /// What it says so far.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Writes that a change is about to be asked for. When this returns, the line is on disk.
    pub fn intend(&mut self, change: Change) -> Result<u64, JournalError> {
        let last = self.records.iter().map(|record| record.change).max();
        let number = last.map_or(0, |last| last + 1);
        self.append(number, Entry::Intend(Box::new(change)))?;
        Ok(number)
    }

    /// Writes that the API server has made a change.
    pub fn done(
        &mut self,
        change: u64,
        resource_version: Option<String>,
    ) -> Result<(), JournalError> {
        self.append(change, Entry::Done { resource_version })
    }

    /// Writes that the API server has refused a change.
    pub fn not_made(&mut self, change: u64, reason: &str) -> Result<(), JournalError> {
        let reason = reason.to_owned();
        self.append(change, Entry::NotMade { reason })
    }

    fn append(&mut self, change: u64, entry: Entry) -> Result<(), JournalError> {
        let record = Record {
            version: VERSION,
            change,
            at: Timestamp::now(),
            entry,
        };
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(&record).expect("a record is plain data");
            line.push(b'\n');
            let written = file.write_all(&line).and_then(|()| file.sync_data());
            if let Err(source) = written {
                // Half a line must not stand before a whole one.
                let _ = file.set_len(self.length);
                return Err(JournalError::Write {
                    path: self.path.clone(),
                    source,
                });
            }
            self.length += u64::try_from(line.len()).expect("the length of a line");
        }
        self.records.push(record);
        Ok(())
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Record>, JournalError> {
    let mut records = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let record: Record = serde_json::from_str(line).map_err(|source| JournalError::Format {
            path: path.to_owned(),
            line: line_number,
            source,
        })?;
        if record.version > VERSION {
            return Err(JournalError::Newer {
                path: path.to_owned(),
                line: line_number,
                found: record.version,
            });
        }
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disrupt::{Field, ObjectRef, Purpose};
    use serde_json::json;

    fn change() -> Change {
        Change {
            purpose: Purpose::Step { index: 1 },
            object: ObjectRef {
                name: "deployment/demo".to_owned(),
                path: "/apis/apps/v1/namespaces/shop/deployments/demo".to_owned(),
                uid: "d1".to_owned(),
            },
            field: Field::Replicas,
            before: json!(3),
            after: json!(1),
            resource_version: "7".to_owned(),
        }
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_taken_back() {
        let run = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(run.path()).unwrap();
        let number = journal.intend(change()).unwrap();
        let whole = std::fs::read(run.path().join(FILE)).unwrap();
        journal.done(number, Some("8".to_owned())).unwrap();
        drop(journal);
        let all = std::fs::read(run.path().join(FILE)).unwrap();
        for cut in whole.len()..all.len() {
            std::fs::write(run.path().join(FILE), &all[..cut]).unwrap();
            let mut journal = Journal::open(run.path()).unwrap();
            assert_eq!(journal.records().len(), 1, "cut at {cut}");
            assert_eq!(journal.intend(change()).unwrap(), 1);
            drop(journal);
            assert_eq!(Journal::open(run.path()).unwrap().records().len(), 2);
        }
    }

    #[test]
    fn a_journal_reads_back_as_it_was_written_and_has_one_writer() {
        let run = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(run.path()).unwrap();
        let number = journal.intend(change()).unwrap();
        journal.not_made(number, "409 Conflict").unwrap();
        let error = Journal::open(run.path()).unwrap_err();
        assert!(matches!(error, JournalError::Busy { .. }), "{error}");
        let written = journal.records().to_vec();
        drop(journal);
        assert_eq!(Journal::open(run.path()).unwrap().records(), written);
    }

    #[test]
    fn a_line_in_the_middle_that_is_no_record_is_named() {
        let run = tempfile::tempdir().unwrap();
        Journal::open(run.path()).unwrap().intend(change()).unwrap();
        let path = run.path().join(FILE);
        let good = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{good}nonsense\n{good}")).unwrap();
        let error = Journal::open(run.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("line 2 is not a journal record")
        );
    }
}
