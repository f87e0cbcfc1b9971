//! How is the agent asked that runs the sidecar of our own pod?

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use std::io;
use tokio::net::TcpStream;

/// Where pilot-agent listens, in the network of its pod.
const AGENT: (&str, u16) = ("127.0.0.1", 15_020);

/// The longest answer that is read: the statistics of 100,000 clusters fit.
const LONGEST: usize = 64 << 20;

/// One request on a connection of its own, without patience of its own: the status, and the body where
/// all of it came.
pub(crate) async fn ask_agent(
    method: Method,
    path: &str,
) -> io::Result<(StatusCode, io::Result<Bytes>)> {
    let stream = TcpStream::connect(AGENT).await?;
    exchange(stream, method, path).await
}

async fn exchange(
    stream: TcpStream,
    method: Method,
    path: &str,
) -> io::Result<(StatusCode, io::Result<Bytes>)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", AGENT.0)
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answered = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        let body = body.map(|body| body.to_bytes()).map_err(io::Error::other);
        Ok((status, body))
    };
    let answered = answered.await;
    connection.abort();
    answered
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// What a peer is told that answers like this.
    async fn told(answer: &'static str) -> (StatusCode, io::Result<Bytes>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let read = peer.read(&mut head).await.unwrap();
            assert!(head[..read].starts_with(b"GET /stats/prometheus HTTP/1.1\r\n"));
            peer.write_all(answer.as_bytes()).await.unwrap();
        };
        let asking = async {
            let stream = TcpStream::connect(address).await.unwrap();
            exchange(stream, Method::GET, "/stats/prometheus").await
        };
        let ((), told) = tokio::join!(answering, asking);
        told.expect("a status")
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body_and_its_status_stands() {
        let (status, body) = told("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na 12").await;
        assert_eq!((status, &body.unwrap()[..]), (StatusCode::OK, &b"a 12"[..]));
        let (status, body) = told("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\na 12").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.is_err(), "the count may go on");
    }
}
