//! Does a name look like production?

/// Words that name production.
const PRODUCTION: &[&str] = &["prod", "production", "prd", "live"];

/// Words that, before one of those, say the opposite: `non-prod`, `pre-production`.
const DENIALS: &[&str] = &["non", "pre", "no", "not", "fake", "test", "like"];

/// The word in a context's or namespace's name that looks like production, if one does.
pub fn looks_like_production(name: &str) -> Option<String> {
    let words = words(name);
    words
        .iter()
        .enumerate()
        .find(|(index, word)| {
            let bare = word.trim_end_matches(|c: char| c.is_ascii_digit());
            let denied = *index > 0 && DENIALS.contains(&words[index - 1].as_str());
            PRODUCTION.contains(&bare) && !denied
        })
        .map(|(_, word)| word.clone())
}

/// The words of a name, in lower case: `gke_acme-ProdEU1` has `gke`, `acme`, `prod`, `eu1`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let starts = c.is_uppercase() && before.is_lowercase();
        if starts || !c.is_alphanumeric() {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            let word = words.last_mut().expect("there is always a word");
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_is_recognised_by_its_words_and_not_by_their_letters() {
        for (name, word) in [
            ("prod", Some("prod")),
            ("prod-eu-1", Some("prod")),
            ("shop-production", Some("production")),
            ("gke_acme-prod_europe-west1_main", Some("prod")),
            ("arn:aws:eks:eu-west-1:42:cluster/prd2", Some("prd2")),
            ("AcmeProdEU", Some("prod")),
            ("live", Some("live")),
            ("kind-demo", None),
            ("staging", None),
            ("products", None),
            ("product-catalog", None),
            ("nonprod", None),
            ("non-prod", None),
            ("pre-production", None),
            ("preprod", None),
            ("delivery", None),
            ("in-cluster", None),
            ("", None),
        ] {
            assert_eq!(looks_like_production(name).as_deref(), word, "{name}");
        }
    }
}
