//! In which words does Envoy log a request (facts 4.1, 4.2)?

use crate::lab::mesh::clock;
use crate::lab::mesh::settings::{AccessLog, Settings};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Istio's default TEXT format.
const TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/// Istio's JSON encoding: key and operator.
const JSON: &[(&str, &str)] = &[
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    (
        "connection_termination_details",
        "%CONNECTION_TERMINATION_DETAILS%",
    ),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    (
        "upstream_service_time",
        "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    ),
    (
        "upstream_transport_failure_reason",
        "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    ),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
];

fn text(format: &str) -> Value {
    json!({"text_format_source": {"inline_string": clock::marked(format)}})
}

/// Where a proxy writes what it knows of failed requests, for the lab's truth and nobody else.
#[derive(Clone, Debug)]
pub(crate) struct TruthLog {
    /// The truth's file.
    pub(crate) path: PathBuf,
    /// The proxy's pod.
    pub(crate) pod: String,
    /// Its uid.
    pub(crate) uid: String,
}

/// The `access_log` of a listener's filter: what the mesh logs, if anything, and the truth.
pub(super) fn access_log(settings: &Settings, truth: &TruthLog) -> Value {
    let format = match &settings.access_log {
        AccessLog::Off => return json!([truth.log()]),
        AccessLog::Text => text(TEXT),
        AccessLog::Custom(format) => text(format),
        AccessLog::Json => {
            let keys = JSON
                .iter()
                .map(|(key, operator)| ((*key).to_owned(), json!(clock::marked(operator))));
            json!({"json_format": keys.collect::<serde_json::Map<_, _>>()})
        }
    };
    json!([file(Path::new("/dev/stdout"), &format), truth.log()])
}

fn file(path: &Path, format: &Value) -> Value {
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": format,
        },
    })
}

impl TruthLog {
    /// Records of the truth (`Fact::Proxied`), of the requests that failed only.
    fn log(&self) -> Value {
        let format = format!(
            "{{\"t\":%START_TIME(%s%9f)%,\"kind\":\"proxied\",\"pod\":\"{}\",\"uid\":\"{}\",{OUTCOME}}}\n",
            self.pod, self.uid
        );
        let mut log = file(
            &self.path,
            &json!({"text_format_source": {"inline_string": format}}),
        );
        let server_error = json!({"status_code_filter": {"comparison": {
            "op": "GE",
            "value": {"default_value": 500, "runtime_key": "lab.truth"},
        }}});
        log["filter"] =
            json!({"or_filter": {"filters": [server_error, {"response_flag_filter": {}}]}});
        log
    }
}

/// The rest of a record: nothing in it can hold a quote.
const OUTCOME: &str = "\"id\":\"%REQ(X-LASTWATCH-ID)%\",\"cluster\":\"%UPSTREAM_CLUSTER_RAW%\",\"host\":\"%UPSTREAM_HOST%\",\"local\":\"%UPSTREAM_LOCAL_ADDRESS%\",\"flags\":\"%RESPONSE_FLAGS%\",\"code\":%RESPONSE_CODE%,\"millis\":\"%DURATION%\",\"attempts\":\"%UPSTREAM_REQUEST_ATTEMPT_COUNT%\"";
