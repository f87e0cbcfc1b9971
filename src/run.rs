//! How does one run proceed?

mod import;

pub use import::{Error as ImportError, Fault, ImportOptions, Imported, import};
