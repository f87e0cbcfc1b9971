//! What do the lines of Prometheus' text format say?
//!
//! `name{label="value",...} value [timestamp]`; a line that is none is left out.

use std::borrow::Cow;

/// Names with their values, as they stand.
type Labels<'t> = Vec<(&'t str, Cow<'t, str>)>;

/// One value of a series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample<'t> {
    labels: Labels<'t>,
    value: f64,
}

impl Sample<'_> {
    /// A label's value.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        let own = self.labels.iter().find(|(own, _)| *own == name);
        own.map(|(_, value)| value.as_ref())
    }

    /// The value, where it is a count.
    pub(super) fn count(&self) -> Option<u64> {
        let is_count = self.value >= 0.0 && self.value <= MOST && self.value.fract() == 0.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was checked to be a whole number that fits"
        )]
        is_count.then_some(self.value as u64)
    }
}

/// Beyond this a float skips whole numbers.
const MOST: f64 = 9_007_199_254_740_992.0;

/// All values of the series of this name.
pub(super) fn named<'t>(text: &'t str, name: &str) -> impl Iterator<Item = Sample<'t>> {
    let lines = text.lines().map(str::trim_start);
    lines.filter_map(move |line| sample(line.strip_prefix(name)?))
}

/// What stands behind the name.
fn sample(rest: &str) -> Option<Sample<'_>> {
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None if rest.starts_with([' ', '\t']) => (Vec::new(), rest),
        // A longer name.
        None => return None,
    };
    let value = rest.split_ascii_whitespace().next()?;
    let value = value.parse().ok()?;
    Some(Sample { labels, value })
}

/// The labels, and what stands behind their closing brace.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, behind) = rest.split_once('=')?;
        let quoted = behind.trim_start().strip_prefix('"')?;
        let (value, behind) = unquoted(quoted)?;
        labels.push((name.trim(), value));
        rest = behind;
    }
}

/// A value up to its closing quote, and what stands behind that.
fn unquoted(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = quoted.find(['"', '\\'])?;
    if quoted.as_bytes()[end] == b'"' {
        return Some((Cow::Borrowed(&quoted[..end]), &quoted[end + 1..]));
    }
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), &quoted[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: &str = "envoy_cluster_upstream_rq_retry_success";

    fn read(text: &str) -> Vec<(Option<String>, Option<u64>)> {
        let samples = named(text, NAME);
        let read = samples.map(|sample| {
            let cluster = sample.label("cluster_name").map(str::to_owned);
            (cluster, sample.count())
        });
        read.collect()
    }

    #[test]
    fn values_are_read_with_their_labels_and_what_is_no_value_is_left_out() {
        let cluster = Some("outbound|80||demo.shop.svc.cluster.local".to_owned());
        let labelled = "{cluster_name=\"outbound|80||demo.shop.svc.cluster.local\"}";
        let cases = [
            (
                format!("{NAME}{labelled} 3"),
                vec![(cluster.clone(), Some(3))],
            ),
            (
                format!("  {NAME}{{a=\"b\", cluster_name = \"x\" ,}} 3.0 1795533600000"),
                vec![(Some("x".to_owned()), Some(3))],
            ),
            (
                format!("{NAME}{{cluster_name=\"a\\\"}}, b=\\\\\\n\"}} 1e3"),
                vec![(Some("a\"}, b=\\\n".to_owned()), Some(1000))],
            ),
            (format!("{NAME} 7"), vec![(None, Some(7))]),
            (
                format!("{NAME} +Inf\n{NAME} -1\n{NAME} 0.5\n{NAME} NaN"),
                vec![(None, None); 4],
            ),
            (
                format!("# TYPE {NAME} counter\n{NAME}_more{labelled} 3"),
                vec![],
            ),
            (format!("{NAME}{labelled}\n{NAME}{labelled} three"), vec![]),
            (
                format!("{NAME}{{cluster_name=\"x 3\n{NAME}{{cluster_name=x}} 3\n{NAME}"),
                vec![],
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(read(&text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(rest in "[ -~\\n\\\\\"{}é]{0,60}") {
            read(&format!("{NAME}{rest}"));
            read(&format!("{NAME}{{{rest}"));
        }
    }
}
