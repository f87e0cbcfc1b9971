//! What does the agent ask Envoy, and others at the pod's own addresses?

use super::super::xds::ADMIN_PORT;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// Envoy's administration answers at once, or it is of no use.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks something at the pod's loopback; gives status and body.
pub(super) async fn ask(port: u16, method: &str, path: &str) -> io::Result<(u16, String)> {
    let asking = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        exchange(stream, &format!("127.0.0.1:{port}"), method, path, &[]).await
    };
    tokio::time::timeout(PATIENCE, asking).await?
}

/// One request on a new connection.
pub(super) async fn exchange(
    stream: TcpStream,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
) -> io::Result<(u16, String)> {
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
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
        .map_err(io::Error::other)?;
    let response = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?;
    connection.abort();
    Ok((
        status,
        String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    ))
}

/// Whether Envoy has its first configuration and serves; the error says why not.
pub(super) async fn ready() -> Result<(), String> {
    let stats = "/stats?filter=^(server.state|listener_manager.workers_started|listener_manager.lds.update_success|cluster_manager.cds.update_success)$";
    let (_, body) = ask(ADMIN_PORT, "GET", stats)
        .await
        .map_err(|error| format!("failed to get readiness stats: {error}"))?;
    judge(&body)
}

/// The agent's order of questions.
fn judge(stats: &str) -> Result<(), String> {
    let of = |name: &str| {
        let mut lines = stats.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(key, _)| *key == name);
        found
            .and_then(|(_, value)| value.trim().parse::<u64>().ok())
            .unwrap_or(0)
    };
    let clusters = of("cluster_manager.cds.update_success");
    let listeners = of("listener_manager.lds.update_success");
    if clusters == 0 || listeners == 0 {
        return Err(format!(
            "config not received from XDS server (is Istiod running?): cds updates: {clusters} successful, 0 rejected; lds updates: {listeners} successful, 0 rejected"
        ));
    }
    match of("server.state") {
        0 => {}
        state => {
            let name = ["LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING"];
            let name = usize::try_from(state).ok().and_then(|at| name.get(at));
            let name = name.unwrap_or(&"UNKNOWN");
            return Err(format!("server is not live, current state is: {name}"));
        }
    }
    if of("listener_manager.workers_started") == 0 {
        return Err("workers have not yet started".to_owned());
    }
    Ok(())
}

/// Lets Envoy drain; `stay`: it goes on accepting for as long as it lives.
pub(super) async fn drain(stay: bool) -> io::Result<()> {
    let path = if stay {
        "/drain_listeners?inboundonly&graceful&skip_exit"
    } else {
        "/drain_listeners?inboundonly&graceful"
    };
    ask(ADMIN_PORT, "POST", path).await.map(|_| ())
}

/// Everything that Envoy counts, as text for Prometheus.
pub(super) async fn prometheus() -> io::Result<String> {
    let (_, body) = ask(ADMIN_PORT, "GET", "/stats/prometheus").await?;
    Ok(body)
}

/// How many connections apps and clients have to Envoy; `None`: it does not say.
pub(super) async fn active_connections() -> io::Result<Option<u64>> {
    let stats = "/stats?usedonly&filter=downstream_cx_active$";
    match ask(ADMIN_PORT, "GET", stats).await? {
        (200, body) => Ok(active(&body)),
        (code, _) => Err(io::Error::other(format!("unexpected status {code}"))),
    }
}

/// The sum over the listeners that carry the app's traffic.
fn active(stats: &str) -> Option<u64> {
    const OTHERS: &[&str] = &["admin", "_15021.", "_15090.", "envoy_internal_", "worker_"];
    let mut counted = stats
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| name.starts_with("listener."))
        .filter_map(|(name, value)| Some((name, value.trim().parse::<u64>().ok()?)))
        .peekable();
    counted.peek()?;
    let own = counted.filter(|(name, _)| !OTHERS.iter().any(|other| name.contains(other)));
    Some(own.map(|(_, count)| count).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_probes_and_administration_are_not_counted() {
        let stats = "listener.0.0.0.0_15006.downstream_cx_active: 2\n\
            listener.0.0.0.0_15006.worker_0.downstream_cx_active: 2\n\
            listener.0.0.0.0_15001.downstream_cx_active: 1\n\
            listener.0.0.0.0_15021.downstream_cx_active: 7\n\
            listener.admin.downstream_cx_active: 1\n\
            http.agent.downstream_cx_active: 7\n";
        assert_eq!(active(stats), Some(3));
        assert_eq!(active(""), None);
        assert_eq!(active("listener.admin.downstream_cx_active: 1\n"), Some(0));
    }

    #[test]
    fn envoy_is_ready_with_its_configuration_its_state_and_its_workers() {
        let stats = |cds: u32, state: u32, workers: u32| {
            format!(
                "cluster_manager.cds.update_success: {cds}\nlistener_manager.lds.update_success: 1\nlistener_manager.workers_started: {workers}\nserver.state: {state}\n"
            )
        };
        assert_eq!(judge(&stats(1, 0, 1)), Ok(()));
        assert!(
            judge(&stats(0, 0, 1))
                .unwrap_err()
                .starts_with("config not received")
        );
        assert!(judge(&stats(1, 1, 1)).unwrap_err().ends_with("DRAINING"));
        assert_eq!(
            judge(&stats(1, 0, 0)).unwrap_err(),
            "workers have not yet started"
        );
    }
}
