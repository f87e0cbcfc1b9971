//! The client of the recordings: half of its requests on new connections, half on 8 kept ones in turn
//! that it uses without a look whether they are still open, open loop, no retry. (The harness's own
//! client looks, and so it meets a closed connection more rarely.)

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Kept connections.
const POOL: usize = 8;

/// Shorter than the recorded client's 12 s: what comes after 4 s does not come at all.
const PATIENCE: Duration = Duration::from_secs(4);

/// What a failure looked like: connection, phase, error.
type Failure = (&'static str, &'static str, &'static str);

/// Sends until stdin closes; gives the number of requests and the failures.
pub(super) async fn run(target: SocketAddr, rate: u32) -> (u32, Vec<Failure>) {
    let stop = tokio::task::spawn_blocking(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
    });
    let pool: Arc<Mutex<Pool>> = Arc::default();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut requests = tokio::task::JoinSet::new();
    let mut sent = 0;
    while !stop.is_finished() {
        ticks.tick().await;
        sent += 1;
        if sent % 2 == 0 {
            requests.spawn(new(target));
        } else {
            requests.spawn(kept(target, Arc::clone(&pool)));
        }
    }
    let ended = requests.join_all().await;
    (sent, ended.into_iter().flatten().collect())
}

async fn new(target: SocketAddr) -> Option<Failure> {
    let mut stream = match connect(target).await {
        Ok(stream) => stream,
        Err(error) => return Some(("new", "connect", error)),
    };
    let answered = ask(&mut stream).await;
    answered.err().map(|error| ("new", "wait-headers", error))
}

/// The kept connections.
#[derive(Default)]
struct Pool {
    idle: VecDeque<TcpStream>,
    /// Those that are idle, in use, or being opened.
    open: usize,
}

async fn kept(target: SocketAddr, pool: Arc<Mutex<Pool>>) -> Option<Failure> {
    let idle = {
        let mut pool = pool.lock().expect("nothing panics in between");
        let idle = (pool.open >= POOL).then(|| pool.idle.pop_front()).flatten();
        pool.open += usize::from(idle.is_none());
        idle
    };
    let kind = if idle.is_some() { "reused" } else { "new" };
    let asking = async {
        let mut stream = match idle {
            Some(stream) => stream,
            None => connect(target)
                .await
                .map_err(|error| (kind, "connect", error))?,
        };
        let answered = ask(&mut stream).await;
        answered.map_err(|error| (kind, "wait-headers", error))?;
        Ok(stream)
    };
    let asked = asking.await;
    let mut pool = pool.lock().expect("nothing panics in between");
    match asked {
        Ok(stream) if pool.open <= POOL => pool.idle.push_back(stream),
        Ok(_) => pool.open -= 1,
        Err(failure) => {
            pool.open -= 1;
            return Some(failure);
        }
    }
    None
}

async fn connect(target: SocketAddr) -> Result<TcpStream, &'static str> {
    match timeout(PATIENCE, TcpStream::connect(target)).await {
        Err(_) => Err("timeout"),
        Ok(Err(error)) => Err(class(error.kind())),
        Ok(Ok(stream)) => Ok(stream),
    }
}

async fn ask(stream: &mut TcpStream) -> Result<(), &'static str> {
    let exchange = async {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        while !is_whole(&answer) {
            let mut part = [0; 1024];
            match stream.read(&mut part).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                length => answer.extend_from_slice(&part[..length]),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    match timeout(PATIENCE, exchange).await {
        Err(_) => Err("timeout"),
        Ok(answered) => answered.map_err(|error| class(error.kind())),
    }
}

/// An answer with its body, whose length is told.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length
        .and_then(|length| length.parse().ok())
        .expect("a length");
    body.len() >= length
}

fn class(error: ErrorKind) -> &'static str {
    match error {
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::ConnectionReset => "reset",
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => "closed",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "unreachable",
        _ => "other",
    }
}
