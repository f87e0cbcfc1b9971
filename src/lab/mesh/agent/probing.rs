//! How does the agent ask the app on the kubelet's behalf, in probes and hooks?

use super::admin;
use super::log::{AgentLog, write_line};
use super::options::Options;
use http::StatusCode;
use serde_json::Value;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// The address from which the mesh speaks to the app.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);

/// A hook has no time limit of its own: whoever asks gives up.
const HOOK_PATIENCE: Duration = Duration::from_secs(600);

/// Carries out one probe or hook.
pub(super) async fn ask(
    prober: &Value,
    path: &str,
    options: &Options,
    log: &AgentLog,
) -> StatusCode {
    let patience = prober["timeoutSeconds"].as_u64();
    let patience = patience.map_or(HOOK_PATIENCE, Duration::from_secs);
    let handler = if prober["httpGet"].is_object() {
        &prober["httpGet"]
    } else {
        &prober["tcpSocket"]
    };
    let Some(address) = address(handler, options) else {
        return StatusCode::INTERNAL_SERVER_ERROR;
    };
    if prober["tcpSocket"].is_object() {
        return match tokio::time::timeout(patience, connect(address)).await {
            Ok(Ok(_)) => StatusCode::OK,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
    }
    let target = handler["path"].as_str().unwrap_or("/");
    let asking = tokio::time::timeout(patience, get(address, target, handler));
    let problem = match asking.await {
        Ok(Ok(status)) => {
            return StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        }
        Ok(Err(error)) => words(address, &error),
        Err(_) => {
            "context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned()
        }
    };
    log.scoped(
        "error",
        "probes",
        &format!(
            "Request to probe app failed: Get \"http://{address}{target}\": {problem}, original URL path = {path}"
        ),
    );
    write_line(&format!("app URL path = {target}"));
    StatusCode::INTERNAL_SERVER_ERROR
}

fn address(handler: &Value, options: &Options) -> Option<SocketAddr> {
    let port = u16::try_from(handler["port"].as_u64()?).ok()?;
    Some(SocketAddr::new(options.address.parse().ok()?, port))
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(SOURCE.into(), 0))?;
    socket.connect(address).await
}

async fn get(address: SocketAddr, target: &str, handler: &Value) -> io::Result<u16> {
    let headers: Vec<_> = handler["httpHeaders"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|header| {
            let name = header["name"].as_str()?.to_owned();
            Some((name, header["value"].as_str()?.to_owned()))
        })
        .collect();
    let stream = connect(address).await?;
    let answer = admin::exchange(stream, &address.to_string(), "GET", target, &headers).await;
    answer.map(|(status, _)| status)
}

/// An error as Go words it.
fn words(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("dial tcp {SOURCE}:0->{address}: connect: connection refused")
        }
        _ => error.to_string(),
    }
}
