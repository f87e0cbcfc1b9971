//! Which field does a key of a JSON line name?
//!
//! Istio's own keys are found at once; those of Envoy Gateway and of custom maps are compared
//! without case and punctuation (`:authority`, `x-request-id`, `upstreamHost`).

use super::access::Field;

/// What a key of a JSON line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Access(Field),
    Time,
    Level,
    Scope,
    Message,
    /// A line that a container runtime has wrapped.
    Log,
}

/// The keys of Istio's encodings.
pub(super) fn exact(key: &str) -> Option<Key> {
    let field = match key {
        "start_time" => Field::StartTime,
        "method" => Field::Method,
        "path" => Field::Path,
        "protocol" => Field::Protocol,
        "response_code" => Field::ResponseCode,
        "response_flags" => Field::ResponseFlags,
        "response_code_details" => Field::ResponseCodeDetails,
        "connection_termination_details" => Field::ConnectionTerminationDetails,
        "upstream_transport_failure_reason" => Field::UpstreamTransportFailureReason,
        "bytes_received" => Field::BytesReceived,
        "bytes_sent" => Field::BytesSent,
        "duration" => Field::Duration,
        "upstream_service_time" => Field::UpstreamServiceTime,
        "x_forwarded_for" => Field::XForwardedFor,
        "user_agent" => Field::UserAgent,
        "request_id" => Field::RequestId,
        "authority" => Field::Authority,
        "upstream_host" => Field::UpstreamHost,
        "upstream_cluster" => Field::UpstreamCluster,
        "upstream_local_address" => Field::UpstreamLocalAddress,
        "downstream_local_address" => Field::DownstreamLocalAddress,
        "downstream_remote_address" => Field::DownstreamRemoteAddress,
        "requested_server_name" => Field::RequestedServerName,
        "route_name" => Field::RouteName,
        "time" => return Some(Key::Time),
        "level" => return Some(Key::Level),
        "scope" => return Some(Key::Scope),
        "msg" => return Some(Key::Message),
        "log" => return Some(Key::Log),
        _ => return None,
    };
    Some(Key::Access(field))
}

/// Lower case, letters and digits only.
pub(super) fn normalise(key: &str, into: &mut String) {
    into.extend(
        key.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|letter| letter.to_ascii_lowercase()),
    );
}

/// The keys of other people's maps, normalised.
pub(super) fn alias(key: &str) -> Option<Key> {
    let field = match key {
        "time" | "timestamp" | "ts" | "date" | "datetime" => return Some(Key::Time),
        "level" | "severity" => return Some(Key::Level),
        "scope" | "logger" => return Some(Key::Scope),
        "msg" | "message" => return Some(Key::Message),
        "starttime" | "requeststarttime" => Field::StartTime,
        "method" | "requestmethod" | "httpmethod" | "reqmethod" | "verb" => Field::Method,
        "path" | "requestpath" | "uri" | "url" | "requesturi" | "requesturl" | "urlpath"
        | "uripath" | "originalpath" | "xenvoyoriginalpath" | "xenvoyoriginpath" | "httppath"
        | "reqpath" => Field::Path,
        "protocol" | "requestprotocol" | "httpprotocol" | "httpversion" | "serverprotocol" => {
            Field::Protocol
        }
        "responsecode" | "status" | "statuscode" | "responsestatus" | "responsestatuscode"
        | "httpstatus" | "httpstatuscode" | "httpresponsecode" | "code" | "respcode" => {
            Field::ResponseCode
        }
        "responseflags" | "responseflag" | "flags" | "responseflagslong" | "respflags"
        | "envoyresponseflags" => Field::ResponseFlags,
        "responsecodedetails" | "responsedetails" | "codedetails" => Field::ResponseCodeDetails,
        "connectionterminationdetails" | "terminationdetails" => {
            Field::ConnectionTerminationDetails
        }
        "upstreamtransportfailurereason" | "transportfailurereason" | "upstreamfailurereason" => {
            Field::UpstreamTransportFailureReason
        }
        "bytesreceived" | "bytesin" | "requestsize" | "requestbytes" | "bytesrecv"
        | "receivedbytes" | "requestbodysize" | "requestlength" => Field::BytesReceived,
        "bytessent" | "bytesout" | "responsesize" | "responsebytes" | "bodybytessent"
        | "sentbytes" | "responsebodysize" => Field::BytesSent,
        "duration" | "durationms" | "totalduration" | "requestduration" | "durationmillis"
        | "requesttime" => Field::Duration,
        "upstreamservicetime"
        | "xenvoyupstreamservicetime"
        | "servicetime"
        | "upstreamtime"
        | "respxenvoyupstreamservicetime"
        | "upstreamresponsetime" => Field::UpstreamServiceTime,
        "xforwardedfor" | "forwardedfor" | "xff" | "reqxforwardedfor" | "httpxforwardedfor" => {
            Field::XForwardedFor
        }
        "useragent" | "httpuseragent" | "requestuseragent" | "requseragent" => Field::UserAgent,
        "requestid" | "xrequestid" | "reqid" | "reqxrequestid" => Field::RequestId,
        "authority" | "host" | "httphost" | "requesthost" | "requestauthority" | "vhost"
        | "requestedhost" => Field::Authority,
        "upstreamhost"
        | "upstreamaddress"
        | "upstreamremoteaddress"
        | "upstreamaddr"
        | "upstream" => Field::UpstreamHost,
        "upstreamcluster" | "upstreamclusterraw" | "upstreamclustername" | "cluster" => {
            Field::UpstreamCluster
        }
        "upstreamlocaladdress" | "upstreamlocaladdr" => Field::UpstreamLocalAddress,
        "downstreamlocaladdress" | "downstreamlocaladdr" => Field::DownstreamLocalAddress,
        "downstreamremoteaddress"
        | "downstreamremoteaddr"
        | "downstreamaddress"
        | "downstreamdirectremoteaddress"
        | "remoteaddress"
        | "remoteaddr"
        | "clientaddress" => Field::DownstreamRemoteAddress,
        "requestedservername" | "sni" | "servername" | "tlssni" => Field::RequestedServerName,
        "routename" | "route" => Field::RouteName,
        "upstreamrequestattemptcount" | "attemptcount" | "attempts" | "xenvoyattemptcount" => {
            Field::Attempts
        }
        _ => return None,
    };
    Some(Key::Access(field))
}
