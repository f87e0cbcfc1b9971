//! Which name did the user mean?

/// How alike two names must be for a suggestion (Jaro-Winkler, 1.0: the same).
const ALIKE: f64 = 0.8;

/// How many names a message lists before it says how many more there are.
const LISTED: usize = 10;

/// The existing name that is most like `name`, if one is like it at all.
pub(super) fn nearest<'a>(name: &str, existing: &'a [String]) -> Option<&'a str> {
    existing
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.as_str())
}

/// `` `a`, `b`, and 3 more ``; without any: `none`.
pub(super) fn listed(existing: &[String]) -> String {
    if existing.is_empty() {
        return "none".to_owned();
    }
    let mut text = existing
        .iter()
        .take(LISTED)
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if existing.len() > LISTED {
        text.push_str(&format!(", and {} more", existing.len() - LISTED));
    }
    text
}

/// `did you mean `demo`? ` or nothing, for the start of a hint.
pub(super) fn did_you_mean(name: &str, existing: &[String]) -> String {
    nearest(name, existing)
        .map(|candidate| format!("did you mean `{candidate}`? "))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_recognised_and_a_stranger_is_not() {
        let existing = ["demo".to_owned(), "checkout".to_owned()];
        assert_eq!(nearest("dmeo", &existing), Some("demo"));
        assert_eq!(nearest("chekout", &existing), Some("checkout"));
        assert_eq!(nearest("billing", &existing), None);
    }

    #[test]
    fn a_long_list_of_names_is_cut_and_says_so() {
        let many: Vec<String> = (0..12).map(|n| format!("n{n}")).collect();
        let text = listed(&many);
        assert!(text.starts_with("`n0`, `n1`"), "{text}");
        assert!(text.ends_with("`n9`, and 2 more"), "{text}");
        assert_eq!(listed(&[]), "none");
    }
}
