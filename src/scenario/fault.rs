//! What is wrong with a scenario, where, and how would it be right?
//!
//! Reading never stops at the first fault: a [`Ledger`] collects them, and [`Faults`] carries all
//! of them to whoever prints.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// One thing that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line in the file, counted from 1; 0 where the file itself is at fault.
    pub line: usize,
    /// The path of the key, as in `spec.load.rate`; empty for the document itself.
    pub path: String,
    /// The value as it was written, where there is one.
    pub value: Option<String>,
    /// What is wrong, as a lowercase fragment that follows the value.
    pub problem: String,
    /// An example of a good value, or what else to do.
    pub hint: String,
}

/// All faults of a scenario, in the order of the file; exit code 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The file as the user named it.
    file: String,
    /// Never empty.
    faults: Vec<Fault>,
}

impl Faults {
    /// The only fault of the scenario at `path`.
    pub fn one(path: &Path, fault: Fault) -> Self {
        Self {
            file: path.display().to_string(),
            faults: vec![fault],
        }
    }

    /// The faults, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    /// A line with the number, then for each fault `file:line: path: what` and its hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match self.faults.len() {
            1 => write!(f, "1 fault in `{file}`")?,
            many => write!(f, "{many} faults in `{file}`")?,
        }
        for fault in &self.faults {
            write!(f, "\n{file}:")?;
            if fault.line > 0 {
                write!(f, "{}:", fault.line)?;
            }
            write!(f, " {fault}\n  hint: {}", fault.hint)?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    /// `path: value what`, without the place in the file and the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        if let Some(value) = &self.value {
            write!(f, "`{value}` ")?;
        }
        f.write_str(&self.problem)
    }
}

/// Collects faults while a scenario is read.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    faults: Vec<Fault>,
}

impl Ledger {
    /// Adds a fault.
    pub(super) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// A fault was found at this path already.
    pub(super) fn blames(&self, path: &str) -> bool {
        self.faults.iter().any(|fault| fault.path == path)
    }

    /// The faults in the order of the file, each told once.
    pub(super) fn into_result<T>(self, file: &str, outcome: Option<T>) -> Result<T, Faults> {
        let mut faults = self.faults;
        let mut seen = BTreeSet::new();
        faults.retain(|fault| seen.insert((fault.line, fault.path.clone(), fault.to_string())));
        faults.sort_by_key(|fault| fault.line);
        match outcome {
            Some(outcome) if faults.is_empty() => Ok(outcome),
            _ => Err(Faults {
                file: file.to_owned(),
                faults,
            }),
        }
    }
}

/// The known name nearest to one that is not known, if one is near enough to be meant.
pub(super) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = written.to_lowercase();
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), *name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// A hint for a name that is not known: the one that was meant, or all.
pub(super) fn hint_known(written: &str, known: &[&str]) -> String {
    match nearest(written, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}
