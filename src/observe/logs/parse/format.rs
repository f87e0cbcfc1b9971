//! How is a TEXT access line read whose format the mesh has changed (`accessLogFormat`)?
//!
//! The format string is Envoy's own. Values are not escaped in a line, so each operator's value
//! ends where the literal after it stands, and a value that cannot be one of its operator sends the
//! search on to the next such place.

use super::access::{AccessLine, Field};
use super::{flags, prefix, time};
use memchr::memmem;
use std::borrow::Cow;

/// Places that are tried for one line before it is given up.
const MAX_TRIES: u32 = 4_096;

/// An access-log format, compiled from Envoy's format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFormat {
    /// The text before the first operator.
    opening: String,
    operators: Vec<Operator>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Operator {
    field: Option<Field>,
    /// Its value may be any text, also where the field's usual form is narrower.
    free: bool,
    /// The literal text behind it.
    literal: String,
}

/// What is wrong with a format string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A `%` opens an operator that no `%` closes.
    #[error("the operator that begins at `{place}` is not closed by a `%`")]
    Unclosed {
        /// The text from there on.
        place: String,
    },
    /// The format holds no operator that tells anything about a request.
    #[error(
        "the format `{format}` names nothing of a request\nhint: an example is `[%START_TIME%] %REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %REQ(X-REQUEST-ID)%`"
    )]
    Empty {
        /// The format.
        format: String,
    },
}

impl TextFormat {
    /// Compiles a format string such as `[%START_TIME%] "%REQ(:METHOD)%" %RESPONSE_CODE%`.
    ///
    /// # Errors
    ///
    /// When an operator is not closed, or none tells anything about a request.
    pub fn new(format: &str) -> Result<Self, FormatError> {
        let text = format.trim_end_matches(['\n', '\r']);
        let text = text.strip_suffix("\\n").unwrap_or(text);
        let mut compiled = Self {
            opening: String::new(),
            operators: Vec::new(),
        };
        let mut rest = text;
        while let Some((literal, operator)) = rest.split_once('%') {
            compiled.literal(literal);
            if let Some(after) = operator.strip_prefix('%') {
                compiled.literal("%");
                rest = after;
                continue;
            }
            let end = closing(operator).ok_or_else(|| FormatError::Unclosed {
                place: format!("%{operator}"),
            })?;
            compiled.operators.push(operator_of(&operator[..end]));
            rest = &operator[end + 1..];
        }
        compiled.literal(rest);
        if compiled.operators.iter().all(|one| one.field.is_none()) {
            return Err(FormatError::Empty {
                format: format.to_owned(),
            });
        }
        Ok(compiled)
    }

    fn literal(&mut self, text: &str) {
        match self.operators.last_mut() {
            Some(operator) => operator.literal.push_str(text),
            None => self.opening.push_str(text),
        }
    }

    /// Whether the lines carry the request id, by which they are joined to requests.
    pub fn has_request_id(&self) -> bool {
        self.operators
            .iter()
            .any(|one| one.field == Some(Field::RequestId))
    }

    /// Reads a line of this format; `None` where it is of another.
    pub fn read<'a>(&self, line: &'a str) -> Option<AccessLine<'a>> {
        let line = line.trim_end_matches(['\n', '\r']);
        let stripped = prefix::strip(line);
        let unstamped = time::scan(line).and_then(|(_, used)| line[used..].strip_prefix(' '));
        let found = self.whole(line).or_else(|| {
            let other = (stripped.len() < line.len()).then(|| self.whole(stripped));
            other.flatten()
        });
        found.or_else(|| self.whole(unstamped?))
    }

    fn whole<'a>(&self, line: &'a str) -> Option<AccessLine<'a>> {
        let rest = line.strip_prefix(self.opening.as_str())?;
        let mut values = Vec::with_capacity(self.operators.len());
        let mut tries = MAX_TRIES;
        if !fit(&self.operators, rest, &mut values, &mut tries) {
            return None;
        }
        let mut access = AccessLine::default();
        for (operator, value) in self.operators.iter().zip(values) {
            if let Some(field) = operator.field {
                access.set(field, Cow::Borrowed(value));
            }
        }
        Some(access)
    }
}

/// Finds values for the operators that fill the text to its end.
fn fit<'a>(
    operators: &[Operator],
    text: &'a str,
    values: &mut Vec<&'a str>,
    tries: &mut u32,
) -> bool {
    let Some((operator, others)) = operators.split_first() else {
        return text.is_empty();
    };
    if others.is_empty() {
        let Some(value) = text.strip_suffix(operator.literal.as_str()) else {
            return false;
        };
        values.push(value);
        return operator.allows(value);
    }
    let places = memmem::find_iter(text.as_bytes(), operator.literal.as_bytes());
    for at in places {
        let Some(left) = tries.checked_sub(1) else {
            return false;
        };
        *tries = left;
        // An operator without a literal behind it ends at any place; not within a letter.
        if !text.is_char_boundary(at) || !operator.allows(&text[..at]) {
            continue;
        }
        let depth = values.len();
        values.push(&text[..at]);
        if fit(others, &text[at + operator.literal.len()..], values, tries) {
            return true;
        }
        values.truncate(depth);
    }
    false
}

/// The `%` that closes an operator: not one within its arguments.
fn closing(operator: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in operator.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'%' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

fn operator_of(text: &str) -> Operator {
    let (name, argument) = match text.split_once('(') {
        Some((name, rest)) => (
            name,
            rest.rsplit_once(')').map_or(rest, |(inside, _)| inside),
        ),
        None => (text.split(':').next().unwrap_or_default(), ""),
    };
    let field = match name {
        "REQ" | "REQ_WITHOUT_QUERY" | "REQUEST_HEADER" => header(argument),
        "RESP" | "RESPONSE_HEADER" => argument
            .eq_ignore_ascii_case("x-envoy-upstream-service-time")
            .then_some(Field::UpstreamServiceTime),
        "PATH" => Some(Field::Path),
        _ => plain(name),
    };
    Operator {
        field,
        free: name == "START_TIME" && !argument.is_empty(),
        literal: String::new(),
    }
}

/// `X-ENVOY-ORIGINAL-PATH?:PATH`: the first header of the two that we know.
fn header(argument: &str) -> Option<Field> {
    let names = argument.split_once('?');
    let (first, second) = names.unwrap_or((argument, ""));
    [first, second].into_iter().find_map(|name| {
        Some(match name.to_ascii_lowercase().as_str() {
            ":method" => Field::Method,
            ":path" | "x-envoy-original-path" | "path" => Field::Path,
            ":authority" | "host" => Field::Authority,
            "x-forwarded-for" => Field::XForwardedFor,
            "user-agent" => Field::UserAgent,
            "x-request-id" => Field::RequestId,
            _ => return None,
        })
    })
}

fn plain(name: &str) -> Option<Field> {
    Some(match name {
        "START_TIME" => Field::StartTime,
        "PROTOCOL" => Field::Protocol,
        "RESPONSE_CODE" => Field::ResponseCode,
        "RESPONSE_FLAGS" | "RESPONSE_FLAGS_LONG" => Field::ResponseFlags,
        "RESPONSE_CODE_DETAILS" => Field::ResponseCodeDetails,
        "CONNECTION_TERMINATION_DETAILS" => Field::ConnectionTerminationDetails,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => Field::UpstreamTransportFailureReason,
        "BYTES_RECEIVED" => Field::BytesReceived,
        "BYTES_SENT" => Field::BytesSent,
        "DURATION" => Field::Duration,
        "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => Field::UpstreamHost,
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Field::UpstreamCluster,
        "UPSTREAM_LOCAL_ADDRESS" => Field::UpstreamLocalAddress,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => Field::Attempts,
        "DOWNSTREAM_LOCAL_ADDRESS" => Field::DownstreamLocalAddress,
        "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => {
            Field::DownstreamRemoteAddress
        }
        "REQUESTED_SERVER_NAME" => Field::RequestedServerName,
        "ROUTE_NAME" => Field::RouteName,
        _ => return None,
    })
}

impl Operator {
    /// Whether a text can be this operator's value.
    fn allows(&self, value: &str) -> bool {
        let Some(field) = self.field else {
            return true;
        };
        if value == "-" || value.is_empty() || self.free {
            return true;
        }
        match field {
            Field::StartTime => time::epoch_nanos(value).is_some(),
            Field::Method => value.bytes().all(|byte| byte.is_ascii_graphic()),
            Field::Protocol => value.starts_with("HTTP/"),
            Field::ResponseFlags => flags::plausible(value),
            Field::RequestId | Field::UpstreamHost | Field::UpstreamCluster => {
                !value.contains([' ', '"'])
            }
            other if other.is_number() => value.bytes().all(|byte| byte.is_ascii_digit()),
            _ => true,
        }
    }
}
