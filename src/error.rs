//! How is an error printed with its causes?
//!
//! Every module has its own `Error`; `Display` tells one level only. [`Chain`] prints the levels
//! below it, and leaves out a level that the line above already contains (several libraries repeat
//! their source in their own text). What helps stands last: a level's `hint:` line comes after the
//! causes.

use std::error::Error;
use std::fmt;

/// Prints an error and its sources, one level a line, without repeating a level.
///
/// ```text
/// failed to read `runs/x/run.json`
///   caused by: No such file or directory (os error 2)
/// hint: name the directory of a run
/// ```
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut above = self.0.to_string();
        let (told, hint) = split(&above);
        write!(f, "{told}")?;
        let mut hints: Vec<String> = hint.map(str::to_owned).into_iter().collect();
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !above.contains(&text) {
                let (told, hint) = split(&text);
                write!(f, "\n  caused by: {told}")?;
                hints.extend(hint.map(str::to_owned));
                above = text;
            }
            source = error.source();
        }
        hints.iter().try_for_each(|hint| write!(f, "\n{hint}"))
    }
}

/// What a level tells, and the hint at its end. Faults of a scenario have theirs one by one, further
/// in: those stay.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.find("\nhint: ") {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to open `x`\nhint: name another file")]
    struct Helps(#[source] Inner);

    #[test]
    fn what_helps_stands_after_the_causes() {
        assert_eq!(
            Chain(&Helps(Inner)).to_string(),
            "failed to open `x`\n  caused by: inner\nhint: name another file"
        );
    }

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
