//! By which labels do we know what we created?

use std::collections::BTreeMap;

/// The label that carries the id of the run that made an object, shortened where it is too long.
pub const RUN_LABEL: &str = "lastwatch.dev/run";

/// Our name as field manager, user agent and `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "lastwatch";

/// The labels of everything that a run creates.
pub fn ownership_labels(run: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (
            "app.kubernetes.io/managed-by".to_owned(),
            MANAGER.to_owned(),
        ),
        (RUN_LABEL.to_owned(), label_value(run)),
    ])
}

/// The longest value that a label may have.
const LONGEST: usize = 63;

/// The random end of a run's id, which makes it unlike any other.
const END: usize = 4;

/// A run's id as a label may carry it: letters and digits at both ends. One that is too long loses
/// what is between its beginning, which tells when, and its end.
fn label_value(run: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let value: String = run.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    let edge = |c: char| !c.is_ascii_alphanumeric();
    let value = value.trim_matches(edge);
    if value.len() <= LONGEST {
        return value.to_owned();
    }
    let end = &value[value.len() - END..];
    let beginning = value[..LONGEST - END - 1].trim_end_matches(edge);
    format!("{beginning}-{}", end.trim_start_matches(edge))
}

/// An object with these labels was made by this program (by whichever run).
pub fn is_ours(labels: &BTreeMap<String, String>) -> bool {
    labels.contains_key(RUN_LABEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_carries_any_run_and_tells_two_long_ones_apart() {
        let run = |scenario: &str, end: &str| format!("20261124-172500-{scenario}-{end}");
        let short = run("rolling-restart", "ab12");
        assert_eq!(label_value(&short), short);
        // A scenario's name has up to 63 characters; the cut may fall on a dot or a dash.
        for length in 40..=63 {
            for filler in ["a", "a-", "a.-"] {
                let name = format!("{}z", &filler.repeat(63)[..length - 1]);
                let labels = ["ab12", "ab13"].map(|end| label_value(&run(&name, end)));
                assert_ne!(labels[0], labels[1]);
                for label in labels {
                    assert!(label.len() <= 63, "{label}");
                    assert!(label.starts_with("20261124-172500-a"), "{label}");
                    assert!(label.ends_with(|c: char| c.is_ascii_alphanumeric()));
                }
            }
        }
        assert_eq!(label_value("a run/of mine."), "a-run-of-mine");
    }
}
