//! What do the parameters behind a path's question mark say?

use crate::lab::store::Status;

/// The parameters, decoded; the first of a name counts, except for `all`.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        Self(
            text.split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// A value; an empty one counts as absent, as for the API server.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Status> {
        match self.text(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(Status::bad_request(&format!(
                "`{name}` must be `true` or `false`, not {other:?}"
            ))),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    Status::bad_request(&format!("`{name}` must be a whole number, not {text:?}"))
                })
            })
            .transpose()
    }

    /// `dryRun=All`, which is the only value there is.
    pub(super) fn dry_run(&self) -> Result<bool, Status> {
        match self.text("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Status::bad_request(&format!(
                "`dryRun` supports the value `All`, not {other:?}"
            ))),
        }
    }
}

/// Decodes `%41` and `+`. What is not UTF-8 afterwards is replaced, never a panic.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => decoded.push(b' '),
            b'%' => match hex(bytes.get(at + 1), bytes.get(at + 2)) {
                Some(byte) => {
                    decoded.push(byte);
                    at += 2;
                }
                None => decoded.push(b'%'),
            },
            byte => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex(high: Option<&u8>, low: Option<&u8>) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high?)? * 16 + digit(low?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_checked() {
        let query =
            Query::parse("labelSelector=app%3Dweb%2Cx+in+%28a%29&watch=1&limit=5&empty=&bad=%zz");
        assert_eq!(query.text("labelSelector"), Some("app=web,x in (a)"));
        assert!(query.flag("watch").unwrap());
        assert_eq!(query.number("limit").unwrap(), Some(5));
        assert_eq!(query.text("empty"), None);
        assert_eq!(query.text("bad"), Some("%zz"));
        assert_eq!(query.number("labelSelector").unwrap_err().code, 400);
    }
}
