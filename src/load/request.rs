//! What exactly is sent for a class, and which answer is fine?

use super::config::LoadTarget;
use super::error::Error;
use crate::scenario::RequestClass;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body_util::Full;
use regex::bytes::Regex;
use std::time::Duration;
use uuid::Uuid;

/// The proxies' name for a request's id.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Our own, which no proxy alters.
const X_LASTWATCH_ID: HeaderName = HeaderName::from_static("x-lastwatch-id");

/// A request class, ready to be sent.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) name: String,
    pub(super) method: Method,
    pub(super) path: PathAndQuery,
    pub(super) timeout: Duration,
    pub(super) body: Bytes,
    id_in_query: bool,
    kept_headers: HeaderMap,
    own_headers: HeaderMap,
    plan: RequestClass,
    pub(super) pattern: Option<Regex>,
}

impl Class {
    pub(super) fn new(class: &RequestClass, target: &LoadTarget) -> Result<Self, Error> {
        let fault = |field, value: &str, source| Error::Class {
            class: class.name.clone(),
            field,
            value: value.to_owned(),
            source,
        };
        let method = Method::from_bytes(class.method.as_bytes())
            .map_err(|source| fault("method", &class.method, source.into()))?;
        let path = format!("{}{}", target.prefix, class.path);
        let path: PathAndQuery = path
            .parse()
            .map_err(|source: http::uri::InvalidUri| fault("path", &class.path, source.into()))?;
        let pattern = class
            .expect_body
            .as_deref()
            .map(|pattern| {
                Regex::new(pattern).map_err(|source| fault("body pattern", pattern, source.into()))
            })
            .transpose()?;
        let mut kept_headers = HeaderMap::new();
        let host = HeaderValue::from_str(&target.host_header)
            .map_err(|source| fault("host", &target.host_header, source.into()))?;
        kept_headers.insert(header::HOST, host);
        let agent = concat!("lastwatch/", env!("CARGO_PKG_VERSION"));
        kept_headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        for (name, value) in &class.headers {
            let key = HeaderName::from_bytes(name.as_bytes())
                .map_err(|source| fault("header name", name, source.into()))?;
            // The value may be a secret: the fault shows the name.
            let value = HeaderValue::from_str(value)
                .map_err(|source| fault("value of header", name, source.into()))?;
            kept_headers.insert(key, value);
        }
        let mut own_headers = kept_headers.clone();
        own_headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        Ok(Self {
            name: class.name.clone(),
            method,
            path,
            timeout: class.timeout,
            body: class.body.clone().map(Bytes::from).unwrap_or_default(),
            id_in_query: class.id_in_query,
            kept_headers,
            own_headers,
            plan: class.clone(),
            pattern,
        })
    }

    /// The path with its query as it is sent for `id`.
    pub(super) fn path_for(&self, id: Uuid) -> PathAndQuery {
        if !self.id_in_query {
            return self.path.clone();
        }
        let mark = if self.path.query().is_some() {
            '&'
        } else {
            '?'
        };
        format!("{}{mark}lastwatch-id={id}", self.path)
            .parse()
            .expect("a valid path and a uuid make a valid path")
    }

    /// The request for `id`; `close`: the connection is for it alone.
    pub(super) fn request(&self, id: Uuid, close: bool) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.path_for(id));
        let headers = if close {
            &self.own_headers
        } else {
            &self.kept_headers
        };
        *request.headers_mut() = headers.clone();
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = HeaderValue::from_str(id.hyphenated().encode_lower(&mut text))
            .expect("a uuid is a valid header value");
        request.headers_mut().insert(X_REQUEST_ID, id.clone());
        request.headers_mut().insert(X_LASTWATCH_ID, id);
        request
    }

    /// The status is one of those that are fine.
    pub(super) fn expects(&self, status: u16) -> bool {
        self.plan.accepts(status)
    }
}
