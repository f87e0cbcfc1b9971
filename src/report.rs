//! How do we tell people and machines?
//!
//! [`Report`] is the one model; each format is a file that renders it: [`terminal`], [`json`],
//! [`junit`], [`markdown`]. [`explain`] tells one failed request as a time line. All of them are
//! pure functions of the record, so that a replay gives the same bytes.

mod advice;
mod build;
mod explain;
mod json;
mod junit;
mod markdown;
mod model;
mod place;
mod terminal;
mod words;

pub use advice::Advice;
pub use explain::{ExplainError, Story, explain};
pub use json::json;
pub use junit::junit;
pub use markdown::markdown;
pub use model::{
    CauseSummary, ClientSummary, FailureEntry, HarnessSummary, REPORT_VERSION, Report, RunSummary,
};
pub use terminal::terminal;
pub(crate) use words::{thousands, transport};

/// The formats that `--report FORMAT=FILE` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As printed at the end of a run.
    Terminal,
    /// The documented model.
    Json,
    /// For CI systems.
    Junit,
    /// For a comment on a pull request.
    Markdown,
}

impl Format {
    /// All of them, by the name that is typed.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("terminal", Self::Terminal),
        ("json", Self::Json),
        ("junit", Self::Junit),
        ("markdown", Self::Markdown),
    ];

    /// Renders a report.
    pub fn render(self, report: &Report) -> String {
        match self {
            Self::Terminal => terminal(report),
            Self::Json => json(report),
            Self::Junit => junit(report),
            Self::Markdown => markdown(report),
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(known, _)| *known == name);
        known.map(|(_, format)| *format).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("unknown format `{name}`; one of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests;
