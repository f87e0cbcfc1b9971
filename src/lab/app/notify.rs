//! How does the app call others, while it shuts down (`NOTIFY_URL`) and for an answer (`CALL_URL`),
//! and how does it log the lost calls?
//!
//! The words are those of a Go program, which is what most clusters run: what matters to an
//! observer is the errno at their end.

use super::clock::AppLog;
use super::settings::Settings;
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

const PATIENCE: Duration = Duration::from_secs(2);

/// Makes `NOTIFY_COUNT` calls, spread evenly over `NOTIFY_OVER`.
pub(super) async fn notify(settings: &Settings, log: &AppLog) {
    let Some(url) = &settings.notify_url else {
        return;
    };
    let count = settings.notify_count;
    let start = Instant::now();
    for number in 1..=count {
        sleep_until(start + settings.notify_over * (number - 1) / count).await;
        if let Err(text) = call(url).await {
            settings.witness.call_lost();
            log.say(&format!("notify {number} failed: Post \"{url}\": {text}"));
        }
    }
}

/// Posts to `url`; an error is in the words of Go.
pub(super) async fn call(url: &str) -> Result<(), String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("parse \"{url}\": {error}"))?;
    let host = uri.host().unwrap_or_default();
    let address = tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80)))
        .await
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| format!("dial tcp: lookup {host}: no such host"))?;
    let stream = match timeout(PATIENCE, TcpStream::connect(address)).await {
        Err(_) => return Err(format!("dial tcp {address}: i/o timeout")),
        Ok(Err(error)) => return Err(format!("dial tcp {address}: connect: {}", words(&error))),
        Ok(Ok(stream)) => stream,
    };
    let local = stream.local_addr().ok();
    match timeout(PATIENCE, exchange(stream, &uri)).await {
        Err(_) => Err(read(local, address, "i/o timeout")),
        Ok(Err(error)) => Err(error.map_or_else(
            || "EOF".to_owned(),
            |error| read(local, address, &format!("read: {}", words(&error))),
        )),
        Ok(Ok(status)) if status.is_success() => Ok(()),
        Ok(Ok(status)) => Err(format!("unexpected status {}", status.as_u16())),
    }
}

fn read(local: Option<SocketAddr>, remote: SocketAddr, what: &str) -> String {
    let local = local.map(|local| local.to_string()).unwrap_or_default();
    format!("read tcp {local}->{remote}: {what}")
}

/// Sends the request; an error of `None` is a connection that was closed without an answer.
async fn exchange(stream: TcpStream, uri: &Uri) -> Result<http::StatusCode, Option<io::Error>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io_error)?;
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", authority)
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Some(io::Error::other(error)))?;
    let response = sender.send_request(request).await.map_err(io_error);
    connection.abort();
    Ok(response?.status())
}

fn io_error(error: hyper::Error) -> Option<io::Error> {
    use std::error::Error;
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(found) = inner.downcast_ref::<io::Error>() {
            return Some(
                found
                    .raw_os_error()
                    .map_or_else(|| found.kind().into(), io::Error::from_raw_os_error),
            );
        }
        source = inner.source();
    }
    None
}

/// The kernel's words, as Go prints them.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        _ => error.to_string(),
    }
}
