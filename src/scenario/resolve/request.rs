//! What does a class of requests send, and what does it expect?

use super::Surroundings;
use crate::scenario::fault::Ledger;
use crate::scenario::plan::RequestClass;
use crate::scenario::read::{At, Named};
use crate::scenario::schema::{self, Count, OneOrMany, Text, TextFrom};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The patience where none is written.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Headers that the load itself sets: another value would falsify the measurement.
const OWN_HEADERS: &[&str] = &[
    "connection",
    "content-length",
    "transfer-encoding",
    "x-request-id",
    "x-lastwatch-id",
];

/// Resolves one class.
pub(super) fn request(
    written: schema::Request,
    around: &Surroundings<'_>,
    ledger: &mut Ledger,
) -> Option<RequestClass> {
    let method = written
        .method
        .map_or_else(|| Some("GET".to_owned()), |at| method(&at, ledger));
    let (headers, secret_headers) = written
        .headers
        .map(|headers| headers_of(headers.value, around, ledger))
        .unwrap_or_default();
    let secret_body = matches!(
        written.body.as_ref().map(|at| &at.value),
        Some(TextFrom::Environment(_) | TextFrom::File(_))
    );
    let body = written.body.and_then(|at| text(at.value, around, ledger));
    if let Some(timeout) = &written.timeout
        && timeout.value.0.is_zero()
    {
        ledger.add(timeout.fault("leaves no time for an answer"));
    }
    let (expect_status, expect_body) = written
        .expect
        .map(|expect| expected(expect.value, ledger))
        .unwrap_or_default();
    let path = path(written.path?, ledger)?;
    Some(RequestClass {
        name: written.name.map_or_else(|| path.clone(), |at| at.value.0),
        weight: written.weight.map_or(1.0, |at| at.value.0),
        method: method?,
        path,
        headers,
        body,
        timeout: written.timeout.map_or(DEFAULT_TIMEOUT, |at| at.value.0),
        id_in_query: written.id_in_query.is_some_and(|at| at.value.0),
        expect_status,
        expect_body,
        secret_headers,
        secret_body,
    })
}

fn method(at: &At<Text>, ledger: &mut Ledger) -> Option<String> {
    let upper = at.value.0.to_ascii_uppercase();
    if http::Method::from_bytes(upper.as_bytes()).is_err() {
        ledger.add(at.fault("is no HTTP method"));
        return None;
    }
    if upper == "CONNECT" {
        ledger.add(at.fault("asks for a tunnel, not for an answer"));
        return None;
    }
    Some(upper)
}

fn path(at: At<Text>, ledger: &mut Ledger) -> Option<String> {
    let text = &at.value.0;
    let problem = if !text.starts_with('/') {
        "does not begin with `/`".to_owned()
    } else {
        match text.parse::<http::uri::PathAndQuery>() {
            Ok(_) => return Some(at.value.0),
            Err(error) => format!("is no path: {error}"),
        }
    };
    ledger.add(at.fault(problem));
    None
}

type Headers = (BTreeMap<String, String>, BTreeSet<String>);

fn headers_of(written: Named<TextFrom>, around: &Surroundings<'_>, ledger: &mut Ledger) -> Headers {
    let mut found = Headers::default();
    for (name, at) in written.0 {
        let lower = name.to_ascii_lowercase();
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            ledger.add(at.fault_with(
                format!("has the name `{name}`, which is no name of a header"),
                "for instance `x-tenant: blue`",
            ));
            continue;
        }
        if OWN_HEADERS.contains(&lower.as_str()) {
            ledger.add(at.fault_with(
                format!("is given to `{lower}`, which the load sets itself"),
                "leave it out",
            ));
            continue;
        }
        let (line, spot) = (at.line, at.spot.clone());
        let secret = !matches!(at.value, TextFrom::Here(_));
        let Some(value) = text(at.value, around, ledger) else {
            continue;
        };
        // A file that was written by an editor ends with a line break.
        let value = value.trim_end_matches(['\r', '\n']).to_owned();
        if http::HeaderValue::from_str(&value).is_err() {
            ledger.add(crate::scenario::fault::Fault {
                line,
                path: spot.path,
                value: None,
                problem: "the value has characters that no header can carry".to_owned(),
                hint: "line breaks and control characters must go".to_owned(),
            });
            continue;
        }
        if secret {
            found.1.insert(lower.clone());
        }
        found.0.insert(lower, value);
    }
    found
}

/// The text itself, wherever it comes from.
fn text(from: TextFrom, around: &Surroundings<'_>, ledger: &mut Ledger) -> Option<String> {
    match from {
        TextFrom::Here(text) => Some(text),
        TextFrom::Environment(name) => {
            let value = (around.env)(&name.value.0);
            if value.is_none() {
                ledger.add(name.fault_with(
                    "is not set in the environment",
                    format!("set it: `export {}=..`", name.value.0),
                ));
            }
            value
        }
        TextFrom::File(name) => {
            let file = around.folder.join(&name.value.0);
            std::fs::read_to_string(&file)
                .map_err(|error| {
                    ledger.add(name.fault_with(
                        format!("cannot be read: {error}"),
                        format!("the file is looked for at `{}`", file.display()),
                    ));
                })
                .ok()
        }
    }
}

fn expected(expect: schema::Expect, ledger: &mut Ledger) -> (Vec<u16>, Option<String>) {
    let statuses = expect
        .status
        .map(|at| statuses(&at, ledger))
        .unwrap_or_default();
    (statuses, expect.body.map(|at| at.value.0))
}

fn statuses(at: &At<OneOrMany<Count>>, ledger: &mut Ledger) -> Vec<u16> {
    let mut found = Vec::new();
    for Count(status) in &at.value.0 {
        match u16::try_from(*status) {
            Ok(status) if (100..=599).contains(&status) => found.push(status),
            _ => ledger.add(crate::scenario::fault::Fault {
                value: Some(status.to_string()),
                ..at.fault("is no HTTP status")
            }),
        }
    }
    if at.value.0.is_empty() {
        ledger.add(super::fault_at(
            at,
            "is empty, so no answer would be fine",
            at.spot.hint(),
        ));
    }
    found
}
