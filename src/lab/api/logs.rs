//! What does `pods/log` ask for, and who answers?
//!
//! The API server checks the pod and the parameters; the lines are the node's, behind [`LogSource`].

use super::query::Query;
use crate::lab::store::{Status, object};
use bytes::Bytes;
use futures::Stream;
use serde_json::Value;
use std::pin::Pin;

/// The parameters of a log request, checked against the pod.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRequest {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid, since names of pods are used again.
    pub uid: String,
    /// The container; the only one when the client named none.
    pub container: String,
    /// Go on with what is written later, until the container has ended.
    pub follow: bool,
    /// The container's last terminated instance.
    pub previous: bool,
    /// Begin each line with the node's stamp of it.
    pub timestamps: bool,
    /// Leave out lines before this instant (of one second's resolution).
    pub since_time: Option<jiff::Timestamp>,
    /// Leave out lines older than this many seconds.
    pub since_seconds: Option<i64>,
    /// Begin at this many lines before the end.
    pub tail_lines: Option<u64>,
    /// End after this many bytes.
    pub limit_bytes: Option<u64>,
}

/// The bytes of a log. An error cuts the connection, as a broken kubelet does.
pub type LogStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// Who has the logs.
pub trait LogSource: Send + Sync {
    /// Opens a log. What a kubelet says inside a 200 body belongs into the stream.
    fn open(&self, request: LogRequest) -> Result<LogStream, Status>;
}

/// A cluster whose nodes keep no logs.
#[derive(Debug)]
pub struct NoLogs;

impl LogSource for NoLogs {
    fn open(&self, request: LogRequest) -> Result<LogStream, Status> {
        Err(Status::bad_request(&format!(
            "container \"{}\" in pod \"{}\" is waiting to start: ContainerCreating",
            request.container, request.pod
        )))
    }
}

/// Reads the parameters and chooses the container.
pub(super) fn request(pod: &Value, query: &Query) -> Result<LogRequest, Status> {
    let since_seconds = query.number("sinceSeconds")?;
    let since_time = match query.text("sinceTime") {
        None => None,
        Some(text) => Some(text.parse::<jiff::Timestamp>().map_err(|error| {
            Status::bad_request(&format!("unable to parse `sinceTime` {text:?}: {error}"))
        })?),
    };
    if since_seconds.is_some() && since_time.is_some() {
        return Err(Status::bad_request(
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        ));
    }
    let at_least = |name: &str, least: i64| -> Result<Option<u64>, Status> {
        match query.number(name)? {
            Some(given) if given < least => Err(Status::bad_request(&format!(
                "`{name}` must be at least {least}"
            ))),
            given => Ok(given.and_then(|given| u64::try_from(given).ok())),
        }
    };
    Ok(LogRequest {
        namespace: object::namespace(pod).to_owned(),
        pod: object::name(pod).to_owned(),
        uid: object::uid(pod).to_owned(),
        container: container(pod, query.text("container"))?,
        follow: query.flag("follow")?,
        previous: query.flag("previous")?,
        timestamps: query.flag("timestamps")?,
        since_time: since_time.map(floor),
        since_seconds,
        tail_lines: at_least("tailLines", 0)?,
        limit_bytes: at_least("limitBytes", 1)?,
    })
}

/// The API server forwards `sinceTime` with the resolution of one second.
fn floor(at: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn container(pod: &Value, asked: Option<&str>) -> Result<String, Status> {
    let names = |field: &str| -> Vec<&str> {
        object::items(&pod["spec"][field])
            .iter()
            .map(|container| object::text(&container["name"]))
            .collect()
    };
    let (regular, init) = (names("containers"), names("initContainers"));
    let pod = object::name(pod);
    match asked {
        Some(asked) if regular.contains(&asked) || init.contains(&asked) => Ok(asked.to_owned()),
        Some(asked) => Err(Status::bad_request(&format!(
            "container {asked} is not valid for pod {pod}"
        ))),
        None if regular.len() == 1 && init.is_empty() => Ok(regular[0].to_owned()),
        None if init.is_empty() => Err(Status::bad_request(&format!(
            "a container name must be specified for pod {pod}, choose one of: [{}]",
            regular.join(" ")
        ))),
        None => Err(Status::bad_request(&format!(
            "a container name must be specified for pod {pod}, choose one of: [{}] or one of the init containers: [{}]",
            regular.join(" "),
            init.join(" ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(init: bool) -> Value {
        let mut pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [{"name": "app"}]}});
        if init {
            pod["spec"]["initContainers"] = json!([{"name": "proxy"}]);
        }
        pod
    }

    #[test]
    fn the_only_container_need_not_be_named_and_others_must() {
        let asked = |pod: &Value, query: &str| request(pod, &Query::parse(query));
        assert_eq!(asked(&pod(false), "").unwrap().container, "app");
        assert_eq!(
            asked(&pod(true), "container=proxy").unwrap().container,
            "proxy"
        );
        assert_eq!(
            asked(&pod(true), "").unwrap_err().message,
            "a container name must be specified for pod p, choose one of: [app] or one of the init containers: [proxy]"
        );
        assert_eq!(
            asked(&pod(false), "container=x").unwrap_err().message,
            "container x is not valid for pod p"
        );
    }

    #[test]
    fn since_has_the_resolution_of_a_second_and_one_form() {
        let query = Query::parse("sinceTime=2026-01-02T03%3A04%3A05.9Z&follow=true&tailLines=3");
        let request = super::request(&pod(false), &query).unwrap();
        assert_eq!(
            request.since_time.unwrap().to_string(),
            "2026-01-02T03:04:05Z"
        );
        assert!(request.follow && !request.timestamps);
        assert_eq!(request.tail_lines, Some(3));
        for bad in [
            "sinceTime=x",
            "sinceTime=2026-01-02T03:04:05Z&sinceSeconds=3",
            "tailLines=-1",
            "limitBytes=0",
            "follow=maybe",
            "sinceSeconds=y",
        ] {
            assert_eq!(
                super::request(&pod(false), &Query::parse(bad))
                    .unwrap_err()
                    .code,
                400,
                "{bad}"
            );
        }
    }
}
