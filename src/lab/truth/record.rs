//! In which form is the truth written down?

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// One line of `truth.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Epoch nanoseconds by this machine's clock.
    pub(crate) t: i64,
    /// What happened.
    #[serde(flatten)]
    pub(crate) fact: Fact,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub(crate) enum Fact {
    /// A pod got its address.
    Pod {
        /// Its name.
        pod: String,
        /// Its uid.
        uid: String,
        /// Its address.
        address: String,
    },
    /// A pod's sandbox is gone: its address leads nowhere.
    SandboxGone {
        /// The pod.
        pod: String,
        /// Its uid.
        uid: String,
    },
    /// The kubelet learnt that the pod is to be deleted.
    Deleting {
        /// The pod.
        pod: String,
        /// Its uid.
        uid: String,
        /// Seconds of grace.
        grace: i64,
    },
    /// A container's first process was started.
    Started {
        /// The pod.
        pod: String,
        /// Its uid.
        uid: String,
        /// The container.
        container: String,
        /// The process, by the lab's count.
        pid: i32,
    },
    /// A signal was sent to a container's first process.
    Signal {
        /// The pod.
        pod: String,
        /// Its uid.
        uid: String,
        /// The container.
        container: String,
        /// `SIGTERM` or `SIGKILL`.
        signal: String,
        /// The process has a handler for it.
        handled: bool,
    },
    /// A container's first process has ended.
    Ended {
        /// The pod.
        pod: String,
        /// Its uid.
        uid: String,
        /// The container.
        container: String,
        /// Exit code, 128 + signal for a signal.
        code: i32,
    },
    /// The number of listening sockets on a port of a pod changed.
    Listen {
        /// The pod.
        pod: String,
        /// Its uid.
        uid: String,
        /// The port.
        port: u16,
        /// Listening sockets; 0: closed.
        sockets: usize,
    },
    /// A node's service proxy changed what a Service leads to.
    Rules {
        /// The node.
        node: String,
        /// `namespace/name:port`.
        service: String,
        /// `address:port`.
        endpoints: Vec<String>,
    },
    /// A connection was let through, and where it was sent to.
    Connection {
        /// Who opened it.
        from: SocketAddrV4,
        /// The address it asked for.
        to: SocketAddrV4,
        /// The address it was given.
        chosen: SocketAddrV4,
    },
    /// A pod's Envoy has ended. (Where its agent was killed, both have ended together.)
    ProxyEnded {
        /// The pod.
        pod: String,
        /// Its uid.
        uid: String,
    },
    /// A file of a proxy was replaced: its Envoy learns what is in it.
    Pushed {
        /// The proxy's pod.
        pod: String,
        /// Its uid.
        uid: String,
        /// The file.
        file: String,
        /// The endpoints in it, `address:port`, if it is about endpoints.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        endpoints: Vec<String>,
    },
    /// What a proxy knows of a request that failed, when it came to it (Envoy's own words).
    Proxied(Proxied),
    /// A pod's app has answered a request with an error of its own.
    Answered {
        /// The pod.
        pod: String,
        /// Its uid.
        uid: String,
        /// The request.
        id: String,
        /// The status.
        code: u16,
    },
    /// A call that a pod's app made was lost.
    CallLost {
        /// The pod.
        pod: String,
        /// Its uid.
        uid: String,
    },
}

/// A failed request as a proxy knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proxied {
    /// The proxy's pod.
    pub(crate) pod: String,
    /// Its uid.
    pub(crate) uid: String,
    /// The request, as the client called it.
    pub(crate) id: String,
    /// `outbound|...` towards others, `inbound|...` towards its own app.
    pub(crate) cluster: String,
    /// To whom the last attempt went; `-`: to nobody.
    pub(crate) host: String,
    /// From where; `-`: there was no connection.
    pub(crate) local: String,
    /// Envoy's flags, with commas between them.
    pub(crate) flags: String,
    /// The status; 0: there was none.
    pub(crate) code: u16,
    /// How long it took.
    pub(crate) millis: String,
    /// How often it was tried.
    pub(crate) attempts: String,
}

/// Writes `truth.jsonl`, each line at once: a lab that is killed has lost nothing. Several processes
/// write to its end: the lab, and what runs in its pods.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    file: Arc<Mutex<File>>,
    path: PathBuf,
}

impl Truth {
    /// Starts the file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        File::create(path)?;
        Self::join(path)
    }

    /// Goes on with a file that another process has started.
    pub(crate) fn join(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).open(path)?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
            path: path.to_owned(),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a witness that writes in pieces writes its records: an Envoy, which would tear others'
    /// lines. [`gather`] takes them up.
    pub(crate) fn beside(&self, witness: &str) -> PathBuf {
        self.path.with_extension(format!("{witness}.jsonl"))
    }

    /// Writes what happens now.
    pub(crate) fn tell(&self, fact: Fact) {
        self.tell_at(super::now(), fact);
    }

    /// Writes what happened at an instant that its witness took.
    pub(crate) fn tell_at(&self, t: i64, fact: Fact) {
        let mut line = serde_json::to_vec(&Record { t, fact }).expect("a record is plain data");
        line.push(b'\n');
        let file = self.file.lock();
        let mut file = file.unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = file.write_all(&line) {
            tracing::warn!(%error, "the lab's truth has lost a line");
        }
    }
}

/// The text up to the end of its last whole line: its writer may be at the next one.
pub(crate) fn whole_lines(text: &str) -> &str {
    &text[..text.rfind('\n').map_or(0, |end| end + 1)]
}

/// The records in a text; other lines are passed over.
pub(crate) fn records(text: &str) -> impl DoubleEndedIterator<Item = Record> {
    let lines = text.lines();
    lines.filter_map(|line| serde_json::from_str(line).ok())
}

/// Adds a witness's records to the truth; gives how many of its lines are none. An Envoy that was
/// killed may have left half a line, and the one that was started after it goes on in that line.
fn take_up(all: &mut String, witness: &[u8]) -> usize {
    let text = String::from_utf8_lossy(witness);
    let mut torn = 0;
    for line in whole_lines(&text).lines() {
        if serde_json::from_str::<Record>(line).is_ok() {
            all.push_str(line);
            all.push('\n');
        } else {
            torn += 1;
        }
    }
    torn
}

/// The whole truth: the file's lines, then those of the witnesses beside it. It may be gathered
/// while the lab still writes.
///
/// # Errors
///
/// When a file cannot be read.
pub(crate) fn gather(path: &Path) -> io::Result<String> {
    let mut all = whole_lines(&fs::read_to_string(path)?).to_owned();
    let folder = path.parent().unwrap_or(Path::new("."));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut beside: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|other| {
            let name = other.file_name().unwrap_or_default().to_string_lossy();
            let witness = name
                .strip_prefix(&*stem)
                .and_then(|rest| rest.strip_prefix('.'));
            other != path && witness.is_some_and(|rest| rest.ends_with(".jsonl"))
        })
        .collect();
    beside.sort();
    let mut torn = 0;
    for witness in beside {
        torn += take_up(&mut all, &fs::read(witness)?);
    }
    if torn > 0 {
        tracing::warn!(
            torn,
            "lines that a killed Envoy tore are left out of the truth"
        );
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(uid: &str) -> String {
        let (pod, uid) = ("demo-1".to_owned(), uid.to_owned());
        let record = Record {
            t: 0,
            fact: Fact::ProxyEnded { pod, uid },
        };
        serde_json::to_string(&record).expect("plain data") + "\n"
    }

    #[test]
    fn the_whole_truth_has_the_whole_lines_of_every_witness() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("truth.jsonl");
        let truth = Truth::create(&path).expect("a file");
        let [own, first, second] = ["own", "first", "second"].map(line);
        let half = &own[..own.len() / 2];
        let write = |path: &Path, text: &str| fs::write(path, text).expect("it is writable");
        write(&path, &format!("{own}{half}"));
        write(&truth.beside("b"), &format!("{second}{half}"));
        write(&truth.beside("a"), &first);
        write(&folder.path().join("hosts"), "no truth\n");
        let all = gather(&path).expect("readable");
        assert_eq!(all, format!("{own}{first}{second}"));
    }

    #[test]
    fn a_line_that_an_envoy_tore_and_another_went_on_with_is_left_out_and_counted() {
        let [first, torn, last] = ["first", "torn", "last"].map(line);
        // In the middle of a character, as a kill may have it.
        let mut file = first.clone().into_bytes();
        file.extend_from_slice(&torn.as_bytes()[..20]);
        file.push(0xc3);
        file.extend_from_slice(torn.as_bytes());
        file.extend_from_slice(last.as_bytes());
        let mut all = String::new();
        assert_eq!(take_up(&mut all, &file), 1);
        assert_eq!(all, format!("{first}{last}"));
    }
}
