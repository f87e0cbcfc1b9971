//! A server that does to each connection what a test tells it to.

use socket2::SockRef;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Listens on a loopback port; each connection is served by a thread of its own.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    /// By the client's address: when its connection had been closed here.
    closed: Arc<Mutex<HashMap<SocketAddr, Instant>>>,
}

impl Server {
    /// `serve` gets each connection.
    pub(super) fn start(serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it has one");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let closed: Arc<Mutex<HashMap<_, _>>> = Arc::default();
        let (seen, gone) = (Arc::clone(&requests), Arc::clone(&closed));
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let peer = Peer {
                    stream,
                    seen: Arc::clone(&seen),
                };
                let (serve, gone) = (Arc::clone(&serve), Arc::clone(&gone));
                std::thread::spawn(move || {
                    let client = peer.stream.peer_addr();
                    serve(peer);
                    // A client that has left already has no address any more.
                    gone.lock()
                        .unwrap()
                        .extend(client.ok().map(|client| (client, Instant::now())));
                });
            }
        });
        Self {
            address,
            requests,
            closed,
        }
    }

    /// When the connection from this address had been closed.
    pub(super) fn closed_at(&self, client: &str) -> Option<Instant> {
        let client: SocketAddr = client.parse().expect("an address");
        self.closed.lock().unwrap().get(&client).copied()
    }

    /// The heads of all requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// One connection, seen from the server.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// Reads the head of the next request; `None` once the client has closed.
    pub(super) fn request(&mut self) -> Option<String> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(head).expect("a head is text");
        self.seen.lock().unwrap().push(head.clone());
        Some(head)
    }

    pub(super) fn say(&mut self, text: &str) {
        // The client may have left.
        let _ = self.stream.write_all(text.as_bytes());
    }

    pub(super) fn answer(&mut self, body: &str) {
        let length = body.len();
        self.say(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nx-pod-name: pod-a\r\n\r\n{body}"
        ));
    }

    /// Closes with a RST.
    pub(super) fn reset(self) {
        let socket = SockRef::from(&self.stream);
        socket
            .set_linger(Some(Duration::ZERO))
            .expect("it can be set");
    }

    /// Waits for the client to close.
    pub(super) fn hang(mut self) {
        let mut rest = [0; 512];
        while self.stream.read(&mut rest).is_ok_and(|count| count > 0) {}
    }
}

/// An address that nobody listens on.
pub(super) fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("it has one")
}

/// The value of a header in a head.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
