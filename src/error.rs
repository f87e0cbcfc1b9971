//! How is an error printed with its causes?
//!
//! Every module has its own `Error`; `Display` tells one level only. [`Chain`] prints the levels
//! below it, and leaves out a level that the line above already contains (several libraries repeat
//! their source in their own text).

use std::error::Error;
use std::fmt;

/// Prints an error and its sources, one level a line, without repeating a level.
///
/// ```text
/// failed to read `runs/x/run.json`
///   caused by: No such file or directory (os error 2)
/// ```
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut above = self.0.to_string();
        write!(f, "{above}")?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !above.contains(&text) {
                write!(f, "\n  caused by: {text}")?;
                above = text;
            }
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to open `x`: inner")]
    struct Repeats(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("failed to open `x`")]
    struct Quiet(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;

    #[test]
    fn a_cause_that_the_line_above_contains_is_not_printed_twice() {
        assert_eq!(
            Chain(&Repeats(Inner)).to_string(),
            "failed to open `x`: inner"
        );
        assert_eq!(
            Chain(&Quiet(Inner)).to_string(),
            "failed to open `x`\n  caused by: inner"
        );
    }
}
