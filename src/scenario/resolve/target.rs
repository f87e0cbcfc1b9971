//! Which workload and which address does the scenario name?

use super::{fault_at, is_object_name, object_name_hint};
use crate::scenario::fault::{Ledger, hint_known};
use crate::scenario::plan::{Target, Workload, WorkloadKind};
use crate::scenario::read::At;
use crate::scenario::schema::{self, Text};
use std::str::FromStr;

/// Resolves the target.
pub(super) fn target(at: At<schema::Target>, ledger: &mut Ledger) -> Option<Target> {
    let blamed = |key: &str| ledger.blames(&at.spot.key(key, "").path);
    if at.value.service.is_none() && at.value.url.is_none() && !blamed("service") && !blamed("url")
    {
        ledger.add(fault_at(
            &at,
            "names neither a `service` nor a `url`, so there is nothing to ask",
            "for instance `service: demo`, or `url: http://demo.example.org`",
        ));
    }
    let written = at.value;
    let namespace = written.namespace.and_then(|text| object_name(text, ledger));
    let service = written.service.and_then(|text| object_name(text, ledger));
    let port = written.port.and_then(|text| port(text, ledger));
    let url = written.url.and_then(|text| url(text, ledger));
    Some(Target {
        workload: workload(&written.workload?, ledger)?,
        namespace,
        service,
        port,
        url,
    })
}

/// A text that names an object.
pub(super) fn object_name(text: At<Text>, ledger: &mut Ledger) -> Option<String> {
    if is_object_name(&text.value.0) {
        return Some(text.value.0);
    }
    let problem = "is no name of an object";
    ledger.add(match object_name_hint(&text.value.0) {
        Some(hint) => text.fault_with(problem, hint),
        None => text.fault(problem),
    });
    None
}

/// The names of the kinds, as kubectl knows them.
const KINDS: &[(&str, WorkloadKind)] = &[
    ("deployment", WorkloadKind::Deployment),
    ("deployments", WorkloadKind::Deployment),
    ("deploy", WorkloadKind::Deployment),
    ("statefulset", WorkloadKind::StatefulSet),
    ("statefulsets", WorkloadKind::StatefulSet),
    ("sts", WorkloadKind::StatefulSet),
    ("daemonset", WorkloadKind::DaemonSet),
    ("daemonsets", WorkloadKind::DaemonSet),
    ("ds", WorkloadKind::DaemonSet),
    ("job", WorkloadKind::Job),
    ("jobs", WorkloadKind::Job),
];

fn workload(at: &At<Text>, ledger: &mut Ledger) -> Option<Workload> {
    match at.value.0.parse() {
        Ok(workload) => Some(workload),
        Err(Misnamed { problem, hint }) => {
            ledger.add(match hint {
                Some(hint) => at.fault_with(problem, hint),
                None => at.fault(problem),
            });
            None
        }
    }
}

/// Why a text names no workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misnamed {
    /// What is wrong, as a lowercase fragment that follows the text.
    pub problem: String,
    /// How it would be right, where that depends on what was written.
    pub hint: Option<String>,
}

impl FromStr for Workload {
    type Err = Misnamed;

    /// Reads `deployment/demo`, or a kind's short name, as kubectl does.
    fn from_str(text: &str) -> Result<Self, Misnamed> {
        let misnamed = |problem: String, hint: Option<String>| Err(Misnamed { problem, hint });
        let Some((kind, name)) = text.split_once('/') else {
            return misnamed("has no kind".to_owned(), None);
        };
        let known = KINDS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(kind));
        let Some((_, kind)) = known else {
            let names = ["deployment", "statefulset", "daemonset", "job"];
            let problem = format!("has the unknown kind `{kind}`");
            return misnamed(problem, Some(hint_known(kind, &names)));
        };
        if !is_object_name(name) {
            let problem = "has no name of an object after the `/`".to_owned();
            return misnamed(problem, object_name_hint(name));
        }
        Ok(Self {
            kind: *kind,
            name: name.to_owned(),
        })
    }
}

fn port(at: At<Text>, ledger: &mut Ledger) -> Option<String> {
    let text = &at.value.0;
    let fine = match text.parse::<u64>() {
        Ok(number) => (1..=65_535).contains(&number),
        Err(_) => {
            text.len() <= 15
                && text.bytes().any(|b| b.is_ascii_lowercase())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        }
    };
    if fine {
        return Some(at.value.0);
    }
    ledger.add(at.fault("is neither a port's number nor a port's name"));
    None
}

fn url(at: At<Text>, ledger: &mut Ledger) -> Option<String> {
    let problem = match at.value.0.parse::<http::Uri>() {
        Err(error) => format!("is no URL: {error}"),
        Ok(uri) if uri.host().is_none_or(str::is_empty) => "has no host".to_owned(),
        Ok(uri) => match uri.scheme_str() {
            Some("http" | "https") => return Some(at.value.0),
            Some(other) => {
                format!("has the scheme `{other}`; the load speaks HTTP/1.1, over http or https")
            }
            None => "has no scheme".to_owned(),
        },
    };
    ledger.add(at.fault(problem));
    None
}
