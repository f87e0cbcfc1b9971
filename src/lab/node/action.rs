//! How does the kubelet ask a container something: by HTTP, by a connect, by a command?
//!
//! Probes and hooks share these. The words of a failure are those that a kubelet puts into Events.

use super::process;
use crate::lab::store::object::{items, text};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// A GET that must be answered 200 to 399.
    HttpGet {
        address: SocketAddr,
        host: String,
        path: String,
        headers: Vec<(String, String)>,
    },
    /// A connect that must succeed.
    Connect(SocketAddr),
    /// A command inside the container that must end with 0.
    Exec(Vec<String>),
    /// Waiting.
    Sleep(Duration),
}

/// Where a command runs.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    /// The container's first process.
    pub(crate) pid: i32,
    /// It has namespaces of its own.
    pub(crate) isolated: bool,
    /// Its environment.
    pub(crate) env: Vec<(String, String)>,
}

/// Reads a probe or a hook of a container.
pub(crate) fn action(handler: &Value, container: &Value, pod_ip: &str) -> Option<Action> {
    let target = |get: &Value| -> Option<(SocketAddr, String)> {
        let host = match text(&get["host"]) {
            "" => pod_ip,
            host => host,
        };
        let port = port(&get["port"], container)?;
        Some((
            SocketAddr::new(host.parse().ok()?, port),
            format!("{host}:{port}"),
        ))
    };
    if handler["httpGet"].is_object() {
        let get = &handler["httpGet"];
        let (address, host) = target(get)?;
        let path = match text(&get["path"]) {
            path if path.starts_with('/') => path.to_owned(),
            path => format!("/{path}"),
        };
        let headers = items(&get["httpHeaders"])
            .iter()
            .map(|header| {
                (
                    text(&header["name"]).to_owned(),
                    text(&header["value"]).to_owned(),
                )
            })
            .collect();
        return Some(Action::HttpGet {
            address,
            host,
            path,
            headers,
        });
    }
    if handler["tcpSocket"].is_object() {
        return target(&handler["tcpSocket"]).map(|(address, _)| Action::Connect(address));
    }
    if handler["exec"].is_object() {
        let argv = items(&handler["exec"]["command"]).iter();
        return Some(Action::Exec(
            argv.map(|part| text(part).to_owned()).collect(),
        ));
    }
    let seconds = handler["sleep"]["seconds"].as_u64()?;
    Some(Action::Sleep(Duration::from_secs(seconds)))
}

/// A port by number or by the name that the container gives it.
fn port(port: &Value, container: &Value) -> Option<u16> {
    if let Some(number) = port.as_u64() {
        return u16::try_from(number).ok();
    }
    let name = text(port);
    items(&container["ports"])
        .iter()
        .find(|candidate| text(&candidate["name"]) == name)
        .and_then(|found| u16::try_from(found["containerPort"].as_u64()?).ok())
        .or_else(|| name.parse().ok())
}

impl Action {
    /// Asks, at most for `patience`. The error says what a kubelet would say.
    pub(crate) async fn ask(&self, inside: &Inside, patience: Duration) -> Result<(), String> {
        match self {
            Self::HttpGet {
                address,
                host,
                path,
                headers,
            } => {
                let url = format!("http://{host}{path}");
                match timeout(patience, get(*address, host, path, headers)).await {
                    Err(_) => Err(format!(
                        "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                    )),
                    Ok(Err(error)) => Err(format!("Get \"{url}\": {error}")),
                    Ok(Ok(200..=399)) => Ok(()),
                    Ok(Ok(code)) => Err(format!("HTTP probe failed with statuscode: {code}")),
                }
            }
            Self::Connect(address) => match timeout(patience, TcpStream::connect(address)).await {
                Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
                Ok(Err(error)) => Err(dial(*address, &error)),
                Ok(Ok(_)) => Ok(()),
            },
            Self::Exec(argv) => {
                let run = process::run_inside(inside.pid, inside.isolated, argv, &inside.env);
                match timeout(patience, run).await {
                    Err(_) => Err(format!(
                        "command timed out: {argv:?} timed out after {patience:?}"
                    )),
                    Ok(Err(error)) => Err(error.to_string()),
                    Ok(Ok((0, _))) => Ok(()),
                    Ok(Ok((code, output))) if output.trim().is_empty() => {
                        Err(format!("command {argv:?} exited with {code}"))
                    }
                    Ok(Ok((_, output))) => Err(output),
                }
            }
            Self::Sleep(length) => match timeout(patience, tokio::time::sleep(*length)).await {
                Err(_) => Err("the grace period is over".to_owned()),
                Ok(()) => Ok(()),
            },
        }
    }
}

fn dial(address: SocketAddr, error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset by peer",
        io::ErrorKind::HostUnreachable => "no route to host",
        _ => return format!("dial tcp {address}: connect: {error}"),
    };
    format!("dial tcp {address}: connect: {words}")
}

async fn get(
    address: SocketAddr,
    host: &str,
    path: &str,
    headers: &[(String, String)],
) -> Result<u16, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| dial(address, &error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let mut request = Request::get(path)
        .header("user-agent", "kube-probe/1.33")
        .header("accept", "*/*")
        .header("connection", "close");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        request = request.header("host", host);
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await;
    connection.abort();
    response
        .map(|response| response.status().as_u16())
        .map_err(|_| "EOF".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_handler_is_read_and_ports_have_names() {
        let container = json!({"ports": [{"name": "http", "containerPort": 8080}]});
        let read = |handler: Value| action(&handler, &container, "10.244.0.3");
        assert_eq!(
            read(json!({"httpGet": {"path": "healthz", "port": "http"}})),
            Some(Action::HttpGet {
                address: "10.244.0.3:8080".parse().unwrap(),
                host: "10.244.0.3:8080".to_owned(),
                path: "/healthz".to_owned(),
                headers: Vec::new(),
            })
        );
        assert_eq!(
            read(json!({"tcpSocket": {"port": 9}})),
            Some(Action::Connect("10.244.0.3:9".parse().unwrap()))
        );
        assert_eq!(
            read(json!({"sleep": {"seconds": 3}})),
            Some(Action::Sleep(Duration::from_secs(3)))
        );
        assert_eq!(
            read(json!({"exec": {"command": ["true"]}})),
            Some(Action::Exec(vec!["true".to_owned()]))
        );
        assert_eq!(read(json!({"httpGet": {"port": "metrics"}})), None);
    }

    #[tokio::test]
    async fn a_refused_probe_speaks_as_the_kubelet_does() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let inside = Inside {
            pid: 0,
            isolated: false,
            env: Vec::new(),
        };
        let get = Action::HttpGet {
            address,
            host: address.to_string(),
            path: "/healthz".to_owned(),
            headers: Vec::new(),
        };
        let error = get.ask(&inside, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(
            error,
            format!(
                "Get \"http://{address}/healthz\": dial tcp {address}: connect: connection refused"
            )
        );
    }
}
