//! How does an answer look on the wire?

use crate::lab::store::Status;
use axum::body::Body;
use http::{Response, StatusCode, header};
use serde_json::Value;

pub(super) type Answer = Response<Body>;

/// An object, with the HTTP status that goes with it.
pub(super) fn json(code: u16, value: &Value) -> Answer {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let json = header::HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    let private = header::HeaderValue::from_static("no-cache, private");
    headers.insert(header::CACHE_CONTROL, private);
    response
}

/// A failure, with `Retry-After` where the status says when to ask again.
pub(super) fn failure(status: &Status) -> Answer {
    let mut response = json(status.code, &status.to_object());
    if let Some(seconds) = status.retry_after() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
    }
    response
}

/// A body that grows.
pub(super) fn stream(kind: &'static str, body: Body) -> Answer {
    let mut response = Response::new(body);
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// In which form the client wants objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Full,
    /// Rows for people (`as=Table`).
    Table,
    /// Their metadata only (`as=PartialObjectMetadata` and its list).
    Metadata,
}

impl Form {
    /// The first form of an `Accept` header that is known; JSON is all there is, protobuf is passed
    /// over.
    pub(super) fn parse(accept: Option<&str>) -> Self {
        for choice in accept.unwrap_or_default().split(',') {
            let choice = choice.trim();
            let json = choice.starts_with("application/json") || choice.starts_with("*/*");
            if !json {
                continue;
            }
            return match choice
                .split(';')
                .find_map(|part| part.trim().strip_prefix("as="))
            {
                Some("Table") => Self::Table,
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Self::Metadata,
                _ => Self::Full,
            };
        }
        Self::Full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_form_is_taken() {
        for (accept, form) in [
            (None, Form::Full),
            (Some("application/json"), Form::Full),
            (
                Some("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
                Form::Table,
            ),
            (
                Some("application/vnd.kubernetes.protobuf,application/json"),
                Form::Full,
            ),
            (
                Some("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
                Form::Metadata,
            ),
            (Some("text/plain"), Form::Full),
        ] {
            assert_eq!(Form::parse(accept), form, "{accept:?}");
        }
    }
}
