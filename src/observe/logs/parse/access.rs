//! What does Envoy say about a request that it has finished?

use super::flags::ResponseFlags;
use std::borrow::Cow;

/// A text field of a line: borrowed from it wherever that is possible.
pub(super) type Text<'a> = Option<Cow<'a, str>>;

/// An access line of Envoy, TEXT or JSON, under the names of Istio's JSON encoding (facts 4.2).
///
/// `None` is a `-`, a `null`, or a field that the format or a cut line does not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessLine<'a> {
    /// When the request's headers (of TCP: the connection) arrived, epoch nanoseconds.
    pub start: Option<i64>,
    /// The same as it was written.
    pub start_time: Option<Cow<'a, str>>,
    /// HTTP method.
    pub method: Option<Cow<'a, str>>,
    /// Path with its query.
    pub path: Option<Cow<'a, str>>,
    /// `HTTP/1.1`, `HTTP/2`, ...
    pub protocol: Option<Cow<'a, str>>,
    /// Status; 0 when no response began.
    pub response_code: Option<u16>,
    /// Why Envoy answered itself or cut.
    pub response_flags: ResponseFlags<'a>,
    /// Where the response came from, blanks as underscores.
    pub response_code_details: Option<Cow<'a, str>>,
    /// Why Envoy closed the downstream connection.
    pub connection_termination_details: Option<Cow<'a, str>>,
    /// Why the upstream transport failed.
    pub upstream_transport_failure_reason: Option<Cow<'a, str>>,
    /// Bytes of the request's body.
    pub bytes_received: Option<u64>,
    /// Bytes of the response's body.
    pub bytes_sent: Option<u64>,
    /// Milliseconds from `start` to the last byte out.
    pub duration_ms: Option<u64>,
    /// Milliseconds until the upstream's headers; `None`: it sent none.
    pub upstream_service_time_ms: Option<u64>,
    /// `x-forwarded-for`.
    pub x_forwarded_for: Option<Cow<'a, str>>,
    /// `user-agent`.
    pub user_agent: Option<Cow<'a, str>>,
    /// `x-request-id`; compare with index 14 masked (facts 4.7).
    pub request_id: Option<Cow<'a, str>>,
    /// `:authority`.
    pub authority: Option<Cow<'a, str>>,
    /// Address of the last attempt's host.
    pub upstream_host: Option<Cow<'a, str>>,
    /// `outbound|80||demo...`, `inbound|8080||`, ...: tells which side wrote the line.
    pub upstream_cluster: Option<Cow<'a, str>>,
    /// Envoy's own address towards the upstream: the same one again is a reused connection.
    pub upstream_local_address: Option<Cow<'a, str>>,
    /// Where the client connected to.
    pub downstream_local_address: Option<Cow<'a, str>>,
    /// Where the client connected from.
    pub downstream_remote_address: Option<Cow<'a, str>>,
    /// SNI.
    pub requested_server_name: Option<Cow<'a, str>>,
    /// Name of the route.
    pub route_name: Option<Cow<'a, str>>,
    /// How often Envoy tried the upstream, where the format says so; a stock Istio does not.
    pub attempts: Option<u64>,
}

/// An operator of an access-log format that a line's field can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    StartTime,
    Method,
    Path,
    Protocol,
    ResponseCode,
    ResponseFlags,
    ResponseCodeDetails,
    ConnectionTerminationDetails,
    UpstreamTransportFailureReason,
    BytesReceived,
    BytesSent,
    Duration,
    UpstreamServiceTime,
    XForwardedFor,
    UserAgent,
    RequestId,
    Authority,
    UpstreamHost,
    UpstreamCluster,
    UpstreamLocalAddress,
    DownstreamLocalAddress,
    DownstreamRemoteAddress,
    RequestedServerName,
    RouteName,
    Attempts,
}

impl Field {
    /// The field holds a number (or `-`).
    pub(super) const fn is_number(self) -> bool {
        matches!(
            self,
            Self::ResponseCode
                | Self::BytesReceived
                | Self::BytesSent
                | Self::Duration
                | Self::UpstreamServiceTime
                | Self::Attempts
        )
    }
}

// === impl AccessLine ===

impl<'a> AccessLine<'a> {
    /// The sidecar of the server wrote this line: it sent the request on to its own app.
    pub fn is_inbound(&self) -> bool {
        self.upstream_cluster
            .as_deref()
            .is_some_and(|cluster| cluster.starts_with("inbound") || cluster.starts_with("Inbound"))
    }

    /// The request's id: where its sender put it into the path (`idInQuery`), that one, since
    /// something on the way may have replaced the other.
    pub fn id(&self) -> Option<&str> {
        let query = self.path.as_deref().and_then(|path| path.split_once('?'));
        let mut parameters = query.into_iter().flat_map(|(_, query)| query.split('&'));
        let sent = parameters.find_map(|one| one.strip_prefix("lastwatch-id="));
        sent.or(self.request_id.as_deref())
    }

    /// By how many nanoseconds `start` may be floored: as its stamp is written.
    pub fn start_floor(&self) -> i64 {
        self.start_time.as_deref().map_or(0, super::time::floor)
    }

    /// When the last byte went out, epoch nanoseconds.
    pub fn end(&self) -> Option<i64> {
        let duration = i64::try_from(self.duration_ms?).ok()?;
        self.start?.checked_add(duration.checked_mul(1_000_000)?)
    }

    /// Sets one field from its text; a field that is set already stays.
    pub(super) fn set(&mut self, field: Field, value: Cow<'a, str>) {
        if let Some(slot) = self.number_slot(field) {
            if slot.is_none() {
                *slot = number(&value);
            }
            return;
        }
        match field {
            Field::ResponseCode => {
                if self.response_code.is_none() {
                    self.response_code = number(&value).and_then(|code| u16::try_from(code).ok());
                }
            }
            Field::ResponseFlags => {
                if self.response_flags.is_empty() {
                    self.response_flags = ResponseFlags::new(value);
                }
            }
            Field::StartTime => {
                if self.start_time.is_none() {
                    self.start = super::time::epoch_nanos(&value).or_else(|| epoch(&value));
                    self.start_time = present(value);
                }
            }
            _ => {
                if let Some(slot) = self.text_slot(field)
                    && slot.is_none()
                {
                    *slot = present(value);
                }
            }
        }
    }

    fn number_slot(&mut self, field: Field) -> Option<&mut Option<u64>> {
        match field {
            Field::BytesReceived => Some(&mut self.bytes_received),
            Field::BytesSent => Some(&mut self.bytes_sent),
            Field::Duration => Some(&mut self.duration_ms),
            Field::UpstreamServiceTime => Some(&mut self.upstream_service_time_ms),
            Field::Attempts => Some(&mut self.attempts),
            _ => None,
        }
    }

    fn text_slot(&mut self, field: Field) -> Option<&mut Text<'a>> {
        Some(match field {
            Field::Method => &mut self.method,
            Field::Path => &mut self.path,
            Field::Protocol => &mut self.protocol,
            Field::ResponseCodeDetails => &mut self.response_code_details,
            Field::ConnectionTerminationDetails => &mut self.connection_termination_details,
            Field::UpstreamTransportFailureReason => &mut self.upstream_transport_failure_reason,
            Field::XForwardedFor => &mut self.x_forwarded_for,
            Field::UserAgent => &mut self.user_agent,
            Field::RequestId => &mut self.request_id,
            Field::Authority => &mut self.authority,
            Field::UpstreamHost => &mut self.upstream_host,
            Field::UpstreamCluster => &mut self.upstream_cluster,
            Field::UpstreamLocalAddress => &mut self.upstream_local_address,
            Field::DownstreamLocalAddress => &mut self.downstream_local_address,
            Field::DownstreamRemoteAddress => &mut self.downstream_remote_address,
            Field::RequestedServerName => &mut self.requested_server_name,
            Field::RouteName => &mut self.route_name,
            _ => return None,
        })
    }

    pub(super) fn into_owned(self) -> AccessLine<'static> {
        AccessLine {
            start: self.start,
            start_time: own(self.start_time),
            method: own(self.method),
            path: own(self.path),
            protocol: own(self.protocol),
            response_code: self.response_code,
            response_flags: self.response_flags.into_owned(),
            response_code_details: own(self.response_code_details),
            connection_termination_details: own(self.connection_termination_details),
            upstream_transport_failure_reason: own(self.upstream_transport_failure_reason),
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
            duration_ms: self.duration_ms,
            upstream_service_time_ms: self.upstream_service_time_ms,
            x_forwarded_for: own(self.x_forwarded_for),
            user_agent: own(self.user_agent),
            request_id: own(self.request_id),
            authority: own(self.authority),
            upstream_host: own(self.upstream_host),
            upstream_cluster: own(self.upstream_cluster),
            upstream_local_address: own(self.upstream_local_address),
            downstream_local_address: own(self.downstream_local_address),
            downstream_remote_address: own(self.downstream_remote_address),
            requested_server_name: own(self.requested_server_name),
            route_name: own(self.route_name),
            attempts: self.attempts,
        }
    }
}

fn own(text: Text<'_>) -> Text<'static> {
    text.map(|text| Cow::Owned(text.into_owned()))
}

/// A value, unless it is Envoy's sign for a missing one.
fn present(value: Cow<'_, str>) -> Text<'_> {
    (value != "-").then_some(value)
}

/// A whole number; of a fraction its floor, `ms` behind it is allowed.
pub(super) fn number(text: &str) -> Option<u64> {
    let text = text.strip_suffix("ms").unwrap_or(text);
    if text.is_empty() || text.len() > 25 || !text.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    whole.parse().ok()
}

/// A start time in seconds or milliseconds since the epoch (`%START_TIME(%s.%3f)%`).
fn epoch(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let value: i64 = whole.parse().ok().filter(|value| *value > 0)?;
    let scale: i64 = match whole.len() {
        9..=10 => 1_000_000_000,
        12..=13 => 1_000_000,
        15..=16 => 1_000,
        18..=19 => 1,
        _ => return None,
    };
    let mut nanos = value.checked_mul(scale)?;
    let mut unit = scale;
    for byte in fraction.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        unit /= 10;
        nanos = nanos.checked_add(i64::from(byte - b'0') * unit)?;
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_time_in_epoch_seconds_or_milliseconds_is_read() {
        assert_eq!(epoch("1767323045.678"), Some(1_767_323_045_678_000_000));
        assert_eq!(epoch("1767323045678"), Some(1_767_323_045_678_000_000));
        assert_eq!(epoch("17"), None);
        assert_eq!(epoch("-"), None);
    }

    #[test]
    fn numbers_are_whole_or_absent() {
        assert_eq!(number("73"), Some(73));
        assert_eq!(number("73.9"), Some(73));
        assert_eq!(number("73ms"), Some(73));
        for text in ["-", "", "-1", "1e3", "0x10", "99999999999999999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn the_id_that_a_sender_put_into_the_path_outlives_a_replaced_one() {
        let line = |path: &'static str| AccessLine {
            path: Some(path.into()),
            request_id: Some("theirs".into()),
            ..AccessLine::default()
        };
        assert_eq!(line("/orders?shop=1&lastwatch-id=ours").id(), Some("ours"));
        assert_eq!(line("/orders?shop=1").id(), Some("theirs"));
        assert_eq!(AccessLine::default().id(), None);
    }
}
