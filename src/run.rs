//! How does one run proceed?
//!
//! [`import`] reads a capture into an ordinary run. [`conclude`] is where every run ends, driven or
//! imported: the frozen timeline becomes findings, a verdict and a report, by pure functions.
//! [`live`] drives a rollout and hands what it sees to the [`Recorder`].
//! `lastwatch replay` is nothing but that on a stored run.

mod conclude;
mod import;
pub mod live;
mod recorder;

pub use conclude::{Conclusion, Error as ConcludeError, conclude, conclude_timeline};
pub use import::{Error as ImportError, Fault, ImportOptions, Imported, import};
pub use recorder::{Recorded, Recorder};
