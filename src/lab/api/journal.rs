//! Which requests did the API server get?
//!
//! A test compares them with the rights that a Role gives.

use super::access::User;
use super::path::Address;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Requests kept: a run of an hour makes some ten a second.
const KEPT: usize = 65_536;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// When it came, in microseconds since the epoch.
    pub at_us: i64,
    /// Who asked.
    pub user: String,
    /// What for (`get`, `list`, `watch`, ...).
    pub verb: &'static str,
    /// The API group.
    pub group: String,
    /// The resource.
    pub resource: &'static str,
    /// `log`, `scale`, ...; empty for the object itself.
    pub subresource: String,
    /// The namespace, empty for all of them.
    pub namespace: String,
    /// The object, empty for many.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

/// The newest requests.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<VecDeque<RequestRecord>>);

impl Journal {
    pub(super) fn note(&self, user: &User, address: &Address, code: u16) {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let record = RequestRecord {
            at_us: jiff::Timestamp::now().as_microsecond(),
            user: user.name.clone(),
            verb: address.verb.word(),
            group: address.group.clone(),
            resource: address.resource.plural,
            subresource: text(&address.subresource),
            namespace: text(&address.namespace),
            name: text(&address.name),
            code,
        };
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() == KEPT {
            records.pop_front();
        }
        records.push_back(record);
    }

    pub(super) fn records(&self) -> Vec<RequestRecord> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().cloned().collect()
    }
}
